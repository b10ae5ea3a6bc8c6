//! Processes of this host: who they are, and whether they still are.

use std::fs::{self, File};
use std::io::{self, Read as _};

use warden::Owner;

/// How long environments usually are at most, in bytes.
const ENVIRONMENT: usize = 32 * 1024;

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
    let (Some(status), Some(stat)) = (read(pid, "status")?, read(pid, "stat")?) else {
        return Ok(None);
    };
    Ok(parse(
        pid,
        &String::from_utf8_lossy(&status),
        &String::from_utf8_lossy(&stat),
    ))
}

/// A file of a process under `/proc`; nothing where there is no such process.
pub(crate) fn read(pid: u32, name: &str) -> io::Result<Option<Vec<u8>>> {
    match fs::read(format!("/proc/{pid}/{name}")) {
        Ok(bytes) => Ok(Some(bytes)),
        // `ESRCH` is what a process answers that ends while it is read.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A process's environment, of one program of it: nothing where there is no such process.
pub(crate) fn environment(pid: u32) -> io::Result<Option<Vec<u8>>> {
    // What is open is the memory of the program that it was then. When the process becomes another
    // one, it goes, and a second `read` would find an end where there is none.
    let mut buffer = vec![0; ENVIRONMENT];
    loop {
        let mut file = match File::open(format!("/proc/{pid}/environ")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = match file.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            Err(error) => return Err(error),
        };
        if length < buffer.len() {
            buffer.truncate(length);
            return Ok(Some(buffer));
        }
        buffer.resize(2 * length, 0);
    }
}

/// The soft limit `RLIMIT_LOCKS` of a process; nothing where it has none, or there is no such process.
pub(crate) fn lock_limit(pid: u32) -> Option<u64> {
    let limits = read(pid, "limits").ok()??;
    let limits = String::from_utf8_lossy(&limits);
    let locks = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max file locks"))?;
    locks.split_whitespace().next()?.parse().ok()
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
    let start = Stat::parse(stat)?.start;
    Some(Process { start, uid })
}

/// What `stat` says of a process that is more than its own remains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat<'a> {
    /// What it calls itself; at most 15 bytes of it.
    pub(crate) name: &'a str,
    /// Who started it, or has it since that one ended.
    pub(crate) parent: u32,
    /// When it started, in clock ticks since boot.
    pub(crate) start: u64,
    pub(crate) environment: Environment,
}

/// What there is of a process's environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Environment {
    /// None: it was given none, has no memory any more, or is a part of the kernel.
    None,
    /// The process is becoming another program, whose environment is not in place yet.
    InExec,
    /// It is there to be read.
    InPlace,
}

impl<'a> Stat<'a> {
    /// Nothing where all of it has ended and only waits for its parent to take note. One whose
    /// first thread has ended before the others lives.
    pub(crate) fn parse(stat: &'a str) -> Option<Self> {
        // The name, in brackets, may hold anything, brackets and spaces included.
        let (head, rest) = stat.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let mut fields = rest.split_whitespace();
        // Field 3; then 4, 20, 22, 23, 26, 50 and 51, as proc_pid_stat(5) counts them.
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let threads: u32 = fields.nth(15)?.parse().ok()?;
        let start = fields.nth(1)?.parse().ok()?;
        let has_memory = fields.next()? != "0";
        // Where its code begins is the last that is known of a new program (`load_elf_binary`).
        let is_loaded = fields.nth(2)? != "0";
        let environment = match (fields.nth(23), fields.next()) {
            _ if has_memory && !is_loaded => Environment::InExec,
            (Some(from), Some(to)) if has_memory && from != to => Environment::InPlace,
            _ => Environment::None,
        };
        let has_ended = state == "X" || state == "Z" && threads <= 1;
        (!has_ended).then_some(Self {
            name,
            parent,
            start,
            environment,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let status = "Name:\tx\nTgid:\t7\nUid:\t1000\t0\t0\t0\n";
        let tail = "1 7 7 0 -1 4194304 1 0 0 0 1 2 0 0 20 0 1 0 4242 1000 5 9 1 2 3";
        let stat = format!("7 (a) S (b) R {tail}");
        let expected = Process {
            start: 4242,
            uid: 1000,
        };
        assert_eq!(parse(7, status, &stat), Some(expected));
        assert_eq!(parse(8, status, &stat), None, "a thread of 7");
        assert_eq!(parse(7, status, &format!("7 (a) Z {tail}")), None);
        let stat = Stat::parse(&stat).unwrap();
        assert_eq!((stat.name, stat.parent), ("a) S (b", 1));
        let threads = tail.replace(" 20 0 1 ", " 20 0 2 ");
        let stat = format!("7 (a) Z {threads}");
        assert_eq!(
            parse(7, status, &stat),
            Some(expected),
            "another thread goes on"
        );
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
