//! The processes of this host as a tree: who started whom, and under which `warden run`.
//!
//! A child whose parent has ended is another process's from then on, so who started whom can be
//! asked of now only. What outlives that is the mark that `warden run` leaves on all that it starts,
//! since children inherit it: in the environment ([`Owner::VARIABLE`]), which a program may clear or
//! write over, and in a limit that nothing else uses ([`Owner::mark_number`]), which somebody may set
//! otherwise. Either will do.
//!
//! A number may be given to another process at any moment. What is to be ended is therefore held by
//! a pidfd first and looked at then.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use warden::Owner;

use crate::process::{self, Environment, Stat};

/// How long it is waited for a process that is becoming another program: usually it takes a
/// millisecond, more on a busy machine or where the program is read from a disk, and for ever where
/// that one hangs.
const EXEC: Duration = Duration::from_secs(1);
const EXEC_PAUSE: Duration = Duration::from_micros(200);

/// So often at most it is looked for those that were started during a look, and so many of them.
const CHASES: usize = 64;
const CHASED: u32 = 1024;

/// A process among all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since boot: with the number it names one process.
    pub start: u64,
    /// Who started it, or has it since that one ended.
    pub parent: u32,
    /// What it calls itself; at most 15 bytes of it.
    pub name: String,
    /// By whose mark it runs.
    pub mark: Option<Owner>,
}

/// All processes of this host, each as it was at some instant of one look.
#[derive(Debug, Default)]
pub struct Census {
    all: HashMap<u32, Member>,
    is_whole: bool,
}

impl Census {
    /// Looks at all. `marks_since` says from which start time on their marks are read, where
    /// anybody's are: nobody carries the mark of one that started later. Blocks for a few
    /// milliseconds.
    ///
    /// # Errors
    /// Where there is no `/proc` to be read.
    pub fn take(marks_since: Option<u64>) -> io::Result<Self> {
        let mut census = Self::default();
        let deadline = Instant::now() + EXEC;
        let mut newest = newest_number();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            if let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) {
                census.look_at(pid, marks_since, deadline);
            }
        }
        // Names are read many at a time: one that ends before it is looked at, and has started
        // another by then, would be missed with all that comes of it.
        for _ in 0..CHASES {
            let before = std::mem::replace(&mut newest, newest_number());
            let (Some(before), Some(newest)) = (before, newest) else {
                // Where the kernel tells no number there is no more to be known.
                census.is_whole = true;
                break;
            };
            census.is_whole = newest == before;
            // Once round, numbers are low again: the next look is as good.
            if newest <= before || newest - before > CHASED {
                break;
            }
            for pid in before + 1..=newest {
                // Threads are numbered with the processes.
                if let Ok(Some(_)) = process::look(pid) {
                    census.look_at(pid, marks_since, deadline);
                }
            }
        }
        Ok(census)
    }

    /// Whether nobody can have escaped it by starting another and ending meanwhile.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    fn look_at(&mut self, pid: u32, marks_since: Option<u64>, deadline: Instant) {
        // Who cannot be looked at is nobody that we could do anything about.
        let Ok(Some(stat)) = process::read(pid, "stat") else {
            return;
        };
        let text = String::from_utf8_lossy(&stat);
        let Some(stat) = Stat::parse(&text) else {
            return;
        };
        let may_be_marked = marks_since.is_some_and(|since| since <= stat.start);
        let member = Member {
            pid,
            start: stat.start,
            parent: stat.parent,
            name: stat.name.to_owned(),
            mark: may_be_marked.then(|| mark_by(pid, deadline)).flatten(),
        };
        self.all.insert(pid, member);
    }

    /// Everyone.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.all.values()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, pid: u32) -> Option<&Member> {
        self.all.get(&pid)
    }

    /// Those that carry an owner's mark, but for that one itself.
    pub fn marked(&self, owner: Owner) -> impl Iterator<Item = &Member> {
        let all = self.all.values();
        all.filter(move |member| member.mark == Some(owner) && !member.is(owner))
    }

    /// These and all that descend from them, without those that are `left_out` and theirs.
    pub fn with_descendants<'a>(
        &'a self,
        roots: impl IntoIterator<Item = &'a Member>,
        left_out: impl Fn(&Member) -> bool,
    ) -> Vec<&'a Member> {
        let mut children: HashMap<u32, Vec<&Member>> = HashMap::new();
        for member in self.all.values() {
            children.entry(member.parent).or_default().push(member);
        }
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        let mut next: Vec<&Member> = roots.into_iter().collect();
        while let Some(member) = next.pop() {
            if left_out(member) || !seen.insert(member.pid) {
                continue;
            }
            found.push(member);
            next.extend(children.get(&member.pid).into_iter().flatten());
        }
        found
    }
}

impl Member {
    /// Whether it is this very process.
    #[must_use]
    pub fn is(&self, owner: Owner) -> bool {
        self.pid == owner.pid && owner.start.is_none_or(|start| start == self.start)
    }
}

/// The number that the kernel gave out last, to a process or a thread; nothing where it tells none.
fn newest_number() -> Option<u32> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().nth(4)?.parse().ok()
}

/// By whose mark a process runs; nothing where it has none that is ours to read. Blocks, where its
/// environment has to tell, for as long as the process is becoming another program, and [`EXEC`] at
/// most.
#[must_use]
pub fn mark_of(pid: u32) -> Option<Owner> {
    mark_by(pid, Instant::now() + EXEC)
}

/// The same until this moment at most.
fn mark_by(pid: u32, deadline: Instant) -> Option<Owner> {
    if let Some(owner) = process::lock_limit(pid).and_then(Owner::of_mark_number) {
        return Some(owner);
    }
    loop {
        let environment = process::environment(pid).ok()??;
        if !environment.is_empty() {
            return mark_in(&environment);
        }
        let stat = process::read(pid, "stat").ok()??;
        let state = Stat::parse(&String::from_utf8_lossy(&stat))?.environment;
        if state == Environment::None || Instant::now() >= deadline {
            return None;
        }
        // Nobody tells when it is through.
        thread::sleep(EXEC_PAUSE);
    }
}

/// A mark without a lease is none.
fn mark_in(environment: &[u8]) -> Option<Owner> {
    let value = |name: &str| {
        let mut variables = environment.split(|byte| *byte == 0);
        variables.find_map(|variable| {
            let rest = variable.strip_prefix(name.as_bytes())?;
            rest.strip_prefix(b"=")
        })
    };
    value(Owner::LEASE_VARIABLE)?;
    Owner::of_mark(std::str::from_utf8(value(Owner::VARIABLE)?).ok()?)
}

/// A process that was there when it was taken hold of, for good.
#[derive(Debug)]
pub struct Held(OwnedFd);

impl Held {
    /// Takes hold of a process; nothing where it has ended.
    ///
    /// # Errors
    /// Where the system gives no pidfd.
    pub fn of(member: &Member) -> io::Result<Option<Self>> {
        let Some(held) = Self::of_number(member.pid)? else {
            return Ok(None);
        };
        // Held first, compared then: the number cannot change hands in between.
        let process = process::look(member.pid)?;
        Ok(process
            .filter(|process| process.start == member.start)
            .map(|_| held))
    }

    /// Takes hold of whoever has this number.
    pub(crate) fn of_number(pid: u32) -> io::Result<Option<Self>> {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(pidfd) => Ok(Some(Self(pidfd))),
            Err(Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends it a signal; one that has ended has no use for it.
    ///
    /// # Errors
    /// Where it may not be sent one.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(self.0.as_fd(), signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The descriptor, which becomes readable when it ends.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_one_text_and_counts_with_a_lease_only() {
        let owner = Owner {
            pid: 4711,
            start: Some(99),
        };
        let marked = b"PATH=/bin\0WARDEN_LEASE=l-1\0WARDEN_OWNER=4711:99\0X=1\0";
        assert_eq!(mark_in(marked), Some(owner));
        for other in [
            &b""[..],
            b"WARDEN_OWNER=4711:99\0",
            b"WARDEN_LEASE=l-1\0",
            b"WARDEN_LEASE=l-1\0WARDEN_OWNER=+4711:99\0",
            b"WARDEN_LEASE=l-1\0WARDEN_OWNER=4711:099\0",
            b"WARDEN_LEASE=l-1\0WARDEN_OWNER=4711\0",
            b"WARDEN_LEASE=l-1\0XWARDEN_OWNER=4711:99\0",
            b"WARDEN_LEASE=l-1\0WARDEN_OWNER=4711:99 \0",
        ] {
            assert_eq!(mark_in(other), None, "{}", other.escape_ascii());
        }
    }

    #[test]
    fn a_mark_is_seen_of_who_is_becoming_another_program_too() {
        let again = r#"[ "$1" -gt 0 ] && exec sh -c "$0" "$0" $(($1 - 1))"#;
        let mut command = std::process::Command::new("sh");
        command.args(["-c", again, again, "1000"]);
        command.env(Owner::LEASE_VARIABLE, "l-1");
        command.env(Owner::VARIABLE, "4711:99");
        let mut child = command.spawn().unwrap();
        let mut seen = 0;
        while mark_of(child.id()).is_some() {
            seen += 1;
        }
        let stat = process::read(child.id(), "stat").unwrap().unwrap();
        let stat = String::from_utf8_lossy(&stat);
        let is_ending = Stat::parse(&stat).is_none_or(|stat| stat.environment == Environment::None);
        assert!(is_ending, "none at look {seen}, and it is {stat}");
        assert!(seen > 100, "{seen} looks");
        child.wait().unwrap();
    }

    #[test]
    fn the_marks_number_is_one_owners_and_other_limits_are_nobodys() {
        let owner = |pid, start| Owner {
            pid,
            start: Some(start),
        };
        for some in [
            owner(1, 1),
            owner(4_194_303, 2_199_023_255_551),
            owner(4711, 99),
        ] {
            let number = some.mark_number().unwrap();
            assert!(number < 1 << 63);
            assert_eq!(Owner::of_mark_number(number), Some(some));
        }
        let (pid, start) = (4711, None);
        for none in [
            owner(4_194_304, 1),
            owner(1, 1 << 41),
            owner(1, 0),
            Owner { pid, start },
        ] {
            assert_eq!(none.mark_number(), None, "{none:?}");
        }
        for limit in [0, 4096, 4_194_303, 1 << 63, u64::MAX] {
            assert_eq!(Owner::of_mark_number(limit), None, "{limit}");
        }
    }

    #[test]
    fn nobodys_environment_is_awaited_for_ever() {
        let mut command = std::process::Command::new("sleep");
        let mut child = command.arg("600").env_clear().spawn().unwrap();
        assert_eq!(mark_of(child.id()), None);
        child.kill().unwrap();
        assert_eq!(mark_of(child.id()), None);
        child.wait().unwrap();
        assert_eq!(mark_of(2), None, "the kernel's own");
    }

    fn member(pid: u32, parent: u32) -> Member {
        Member {
            pid,
            start: 1,
            parent,
            name: String::new(),
            mark: None,
        }
    }

    #[test]
    fn descendants_are_followed_but_not_past_one_left_out() {
        let tree = [(2, 1), (3, 2), (4, 3), (5, 3), (6, 1), (7, 7)];
        let tree = tree.map(|(pid, parent)| (pid, member(pid, parent)));
        let census = Census {
            all: tree.into(),
            is_whole: true,
        };
        let pids = |roots: &[u32], left_out: u32| {
            let roots = roots.iter().filter_map(|pid| census.get(*pid));
            let found = census.with_descendants(roots, |member| member.pid == left_out);
            let mut pids: Vec<u32> = found.iter().map(|member| member.pid).collect();
            pids.sort_unstable();
            pids
        };
        assert_eq!(pids(&[2], 0), [2, 3, 4, 5]);
        assert_eq!(pids(&[2, 3, 7], 0), [2, 3, 4, 5, 7]);
        assert_eq!(pids(&[2], 3), [2]);
        assert_eq!(pids(&[9], 0), [] as [u32; 0]);
    }

    #[test]
    fn all_of_this_host_are_seen() {
        let census = Census::take(Some(0)).unwrap();
        let us = census.get(std::process::id()).unwrap();
        assert!(census.get(us.parent).is_some());
        assert!(Held::of(us).unwrap().is_some());
        let earlier = Member {
            start: us.start + 1,
            ..us.clone()
        };
        assert!(
            Held::of(&earlier).unwrap().is_none(),
            "another one of our number"
        );
    }
}
