//! The command and everything that it started: reaped, counted, signalled.
//!
//! This process takes in the orphans among its descendants: a process whose parent ends becomes our
//! child and not init's, whatever group or session it is in. So nothing of the command is left when
//! we have no child but those that are not its: the witness, what `--on-yield` runs, and what this
//! process had before it began (a shell that becomes us by `exec` leaves us its own).

use std::ffi::OsString;
use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpgid, getpgrp};
use warden::Owner;
use warden_broker::tree::{Census, Held, Member, mark_of};

use crate::exit::Exit;
use crate::run::command::{CannotStart, Child, end_of};
use crate::run::witness::Witness;

/// The command, its descendants, and who else is a child of this process.
#[derive(Debug)]
pub struct Family {
    command: Child,
    witness: Option<Witness>,
    /// What runs because the lease is asked for.
    helpers: Vec<Pid>,
    /// How those ended, until it is asked for.
    helpers_ended: Vec<Exit>,
    /// Children that were there before the command.
    strangers: Vec<u32>,
    /// This process, whose mark the command and its descendants carry.
    own: Owner,
}

impl Family {
    /// Starts the command in this process's group, with this added to its environment. Must be
    /// called on the main thread, in a runtime, and once a process.
    pub fn start(
        command: &[OsString],
        environment: &[(&'static str, String)],
        own: Owner,
    ) -> Result<Self, CannotStart> {
        let strangers = children().unwrap_or_default();
        if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
            tracing::warn!(%error, "what the command leaves behind cannot be followed");
        }
        let witness = Witness::start()
            .inspect_err(|error| tracing::debug!(%error, "no witness for signals"))
            .ok();
        Ok(Self {
            command: Child::start(command, environment, own)?,
            witness,
            helpers: Vec::new(),
            helpers_ended: Vec::new(),
            strangers,
            own,
        })
    }

    /// The command itself.
    pub fn command(&self) -> &Child {
        &self.command
    }

    /// This process.
    pub fn own(&self) -> Owner {
        self.own
    }

    /// A child that is not of the command.
    pub fn add_helper(&mut self, pid: Pid) {
        self.helpers.push(pid);
    }

    /// How helpers ended since this was asked last.
    pub fn helpers_ended(&mut self) -> Vec<Exit> {
        std::mem::take(&mut self.helpers_ended)
    }

    /// Takes in what has become of all children; to be called on every SIGCHLD.
    pub fn poll(&mut self) -> io::Result<()> {
        let options = WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
        loop {
            let (pid, status) = match rustix::process::wait(options) {
                Ok(Some(changed)) => changed,
                Ok(None) | Err(Errno::CHILD) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            if pid == self.command.pid() {
                self.command.take_in(status);
            } else if let Some(exit) = end_of(status) {
                self.reaped(pid, exit);
            }
        }
    }

    /// Its number may be another process's from here on.
    fn reaped(&mut self, pid: Pid, exit: Exit) {
        if let Some(witness) = self.witness.take_if(|witness| witness.pid() == pid) {
            witness.forget();
        }
        let raw = number(pid);
        self.strangers.retain(|stranger| *stranger != raw);
        if let Some(at) = self.helpers.iter().position(|helper| *helper == pid) {
            self.helpers.swap_remove(at);
            self.helpers_ended.push(exit);
        }
    }

    /// Whether the command has ended and nothing that it started is left.
    pub fn is_over(&self) -> bool {
        self.command.ended().is_some() && self.own_children().is_empty()
    }

    /// Everyone of the family that lives.
    pub fn members(&self) -> Vec<Member> {
        let census = Census::take(None).unwrap_or_else(|error| {
            tracing::warn!(%error, "what the command started cannot be found");
            Census::default()
        });
        let children = self.own_children();
        let roots = children.into_iter().filter_map(|pid| census.get(pid));
        let all = census.with_descendants(roots, |member| self.is_other(member.pid));
        all.into_iter().cloned().collect()
    }

    /// Sends a signal to everyone of the family. One who forks meanwhile may have a child that it
    /// does not reach.
    pub fn signal_all(&self, signal: Signal) {
        self.command.signal(signal);
        let command = number(self.command.pid());
        for member in self.members() {
            if member.pid != command {
                send(&member, signal);
            }
        }
    }

    /// Whether a signal that this process got just now, and of which one of its group is asked,
    /// reached the whole group.
    pub async fn group_got(&mut self, signal: Signal) -> bool {
        match &mut self.witness {
            Some(witness) => witness.saw(signal).await,
            None => comes_from_keys(signal) && is_foreground(),
        }
    }

    /// Children that are of the family, dead ones that are not reaped yet included. Nobody but us
    /// reaps them, so none is missed.
    fn own_children(&self) -> Vec<u32> {
        let is_own = |pid: &u32| {
            // Where there were others before, an orphan may be one of theirs.
            let is_known = self.strangers.is_empty() || *pid == number(self.command.pid());
            !self.is_other(*pid) && (is_known || mark_of(*pid) == Some(self.own))
        };
        let children = children().unwrap_or_else(|error| {
            tracing::warn!(%error, "what the command left behind cannot be found");
            Vec::new()
        });
        children.into_iter().filter(is_own).collect()
    }

    fn is_other(&self, pid: u32) -> bool {
        let witness = self.witness.as_ref().map(Witness::pid);
        let mut others = witness.iter().chain(&self.helpers);
        others.any(|other| number(*other) == pid) || self.strangers.contains(&pid)
    }
}

/// Sends a signal to one of the family, and to nobody else who may have its number by now.
pub fn send(member: &Member, signal: Signal) {
    let sent = Held::of(member).and_then(|held| match held {
        Some(held) => held.signal(signal),
        None => Ok(()),
    });
    if let Err(error) = sent {
        tracing::warn!(%error, pid = member.pid, "cannot be sent a signal");
    }
}

/// Whether it is in our process group, and gets what the group gets.
pub fn is_in_our_group(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| getpgid(Some(pid)) == Ok(getpgrp()))
}

/// Without a witness this much is sure: what the terminal sends, it sends to all in front of it.
fn comes_from_keys(signal: Signal) -> bool {
    [Signal::INT, Signal::QUIT, Signal::TSTP, Signal::WINCH].contains(&signal)
}

fn is_foreground() -> bool {
    rustix::termios::tcgetpgrp(io::stdin()) == Ok(getpgrp())
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

/// Everyone whose parent is this process, whichever thread of it.
fn children() -> io::Result<Vec<u32>> {
    let mut all = Vec::new();
    for task in fs::read_dir("/proc/self/task")? {
        let text = match fs::read_to_string(task?.path().join("children")) {
            Ok(text) => text,
            // A kernel without these lists, or a thread that has just ended.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return looked_for(),
            Err(error) => return Err(error),
        };
        all.extend(
            text.split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
    }
    Ok(all)
}

fn looked_for() -> io::Result<Vec<u32>> {
    let own = std::process::id();
    let census = Census::take(None)?;
    let children = census.all().filter(|member| member.parent == own);
    Ok(children.map(|member| member.pid).collect())
}
