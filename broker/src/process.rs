//! Processes of this host: who they are, and whether they still are.

use std::fs;
use std::io;

use warden::Owner;

/// What is known of a live process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Field 22 of its `stat`: when it started, in clock ticks since boot.
    pub(crate) start: u64,
    /// Its real user.
    pub(crate) uid: u32,
}

/// Looks at a process; nothing where there is none of that number, or only its remains.
pub(crate) fn look(pid: u32) -> io::Result<Option<Process>> {
    let read = |name: &str| match fs::read_to_string(format!("/proc/{pid}/{name}")) {
        Ok(text) => Ok(Some(text)),
        // `ESRCH` is what a process answers that ends while it is read.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    };
    let (Some(status), Some(stat)) = (read("status")?, read("stat")?) else {
        return Ok(None);
    };
    Ok(parse(pid, &status, &stat))
}

/// Whether this very process still runs.
pub(crate) fn lives(owner: &Owner) -> bool {
    match look(owner.pid) {
        Ok(Some(process)) => owner.start.is_none_or(|start| start == process.start),
        Ok(None) => false,
        // Who cannot be looked at is not declared dead.
        Err(_) => true,
    }
}

fn parse(pid: u32, status: &str, stat: &str) -> Option<Process> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    // Threads can be found under /proc too, but are nobody's owner.
    if field("Tgid:")?.trim().parse::<u32>().ok()? != pid {
        return None;
    }
    let uid = field("Uid:")?.split_whitespace().next()?.parse().ok()?;
    // The name, in brackets, may hold anything, brackets and spaces included.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    // That was field 3; the start is field 22.
    let start = fields.nth(18)?.parse().ok()?;
    Some(Process { start, uid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let status = "Name:\tx\nTgid:\t7\nUid:\t1000\t0\t0\t0\n";
        let tail = "1 7 7 0 -1 4194304 1 0 0 0 1 2 0 0 20 0 1 0 4242 1000 5";
        let stat = format!("7 (a) S (b) R {tail}");
        let expected = Process {
            start: 4242,
            uid: 1000,
        };
        assert_eq!(parse(7, status, &stat), Some(expected));
        assert_eq!(parse(8, status, &stat), None, "a thread of 7");
        assert_eq!(parse(7, status, &format!("7 (a) Z {tail}")), None);
    }

    #[test]
    fn we_live() {
        let us = std::process::id();
        let process = look(us).unwrap().unwrap();
        assert_eq!(process.uid, rustix::process::getuid().as_raw());
        let start = Some(process.start);
        assert!(lives(&Owner { pid: us, start }));
        let start = Some(process.start + 1);
        assert!(
            !lives(&Owner { pid: us, start }),
            "an earlier one of our number"
        );
    }
}
