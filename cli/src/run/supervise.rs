//! While the command runs, and after it while anything that it started does: signals are passed on,
//! the lease is kept, and a lease that is lost ends all of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};
use warden::wire::Outcome;
use warden_broker::tree::Member;
use warden_client::{Lease, LeaseState, Refusal};

use crate::exit::Exit;
use crate::run::family::{Family, is_in_our_group, send};
use crate::run::yielding::{self, OnYield};
use crate::run::{Session, stop_self};

/// What a command whose lease is lost has between TERM and KILL: half of what the broker waits at
/// most before it grants the GPUs on (`drain_ms`, 10 s).
const GRACE: Duration = Duration::from_secs(5);
/// What is over so soon after the command needs no words.
const QUIET: Duration = Duration::from_millis(500);
/// So many of those that go on are named.
const NAMED: usize = 5;

/// How the command ended, and how the lease did, where that was first.
#[derive(Debug)]
pub struct Ended {
    /// The command's own end.
    pub exit: Exit,
    /// The broker's word that the lease is over.
    pub lost: Option<Arc<Refusal>>,
}

/// What runs under the lease.
#[derive(Debug)]
pub struct Work<'a> {
    /// The command and what it started.
    pub family: Family,
    /// What tells it of its lease.
    pub environment: Vec<(&'static str, String)>,
    /// What is done when the lease is asked for.
    pub on_yield: Option<&'a OnYield>,
}

/// How far it has come.
#[derive(Debug, Default)]
struct SoFar {
    lost: Option<Arc<Refusal>>,
    /// When whoever is still there is killed.
    kill_at: Option<Instant>,
    is_killing: bool,
    /// When it is said who goes on after the command.
    tell_at: Option<Instant>,
    is_told: bool,
    is_asked: bool,
}

impl Session<'_> {
    /// Watches until the command, and all that it started, is over.
    pub(super) async fn supervise(
        &mut self,
        work: &mut Work<'_>,
        lease: &Lease,
    ) -> io::Result<Ended> {
        let mut children = signal(SignalKind::child())?;
        let mut standing = lease.watch();
        let mut so_far = SoFar::default();
        loop {
            // First, since what happened before SIGCHLD was listened to is in no stream.
            work.family.poll()?;
            if let Some(exit) = self.look(work, &mut so_far) {
                let lost = so_far.lost;
                return Ok(Ended { exit, lost });
            }
            tokio::select! {
                _ = children.recv() => {}
                sent = self.signals.next() => self.pass(&mut work.family, sent).await?,
                Ok(()) = standing.changed(), if so_far.lost.is_none() => {
                    let state = standing.borrow_and_update().clone();
                    self.heed(&state, work, &mut so_far);
                }
                () = at(so_far.kill_at), if so_far.kill_at.is_some() => {
                    so_far.kill_at = None;
                    so_far.is_killing = true;
                    let who = match work.family.command().ended() {
                        None => "the command",
                        Some(_) => "what the command had started",
                    };
                    self.progress
                        .say(format_args!("{who} did not end when asked; killing it"));
                }
                () = at(so_far.tell_at), if so_far.tell_at.is_some() => {
                    so_far.tell_at = None;
                    so_far.is_told = true;
                    self.tell_who_goes_on(&work.family);
                }
            }
        }
    }

    /// Does what has become due by what children did; gives the command's end once all is over.
    fn look(&mut self, work: &mut Work<'_>, so_far: &mut SoFar) -> Option<Exit> {
        for exit in work.family.helpers_ended() {
            if exit.code() != 0 {
                let code = exit.code();
                self.progress
                    .say(format_args!("the command of --on-yield ended with {code}"));
            }
        }
        let command = work.family.command();
        if command.take_stop() {
            // So that the shell that waits for us sees a stopped job, whoever stopped it.
            stop_self();
        }
        if let Some(exit) = command.ended() {
            if work.family.is_over() {
                return Some(exit);
            }
            if !so_far.is_told && so_far.lost.is_none() && so_far.tell_at.is_none() {
                so_far.tell_at = Some(Instant::now() + QUIET);
            }
        }
        if so_far.is_killing {
            // Again at each end: it may have started another just before.
            work.family.signal_all(Signal::KILL);
        }
        None
    }

    /// Passes a signal on to whom it has not reached.
    async fn pass(&mut self, family: &mut Family, sent: Signal) -> io::Result<()> {
        family.poll()?;
        if family.command().ended().is_some() {
            self.pass_to_rest(family, sent).await;
            return Ok(());
        }
        // A continuation has not reached what is still stopped, whoever else got it.
        let is_due = sent == Signal::CONT && family.command().is_stopped();
        let is_in_group = family.command().is_in_our_group();
        let is_due = is_due || !is_in_group || !family.group_got(sent).await;
        if is_due && !self.signals.is_undone(sent) {
            family.command().signal(sent);
        }
        Ok(())
    }

    /// The same when the command has ended: what it started gets it in its place.
    async fn pass_to_rest(&mut self, family: &mut Family, sent: Signal) {
        let rest = family.members();
        let is_in_group = |member: &Member| is_in_our_group(member.pid);
        let has_reached_group = rest.iter().any(is_in_group) && family.group_got(sent).await;
        if self.signals.is_undone(sent) {
            return;
        }
        for member in &rest {
            if is_deaf(member, sent) {
                send(member, Signal::TERM);
            } else if sent == Signal::CONT || !(has_reached_group && is_in_group(member)) {
                send(member, sent);
            }
        }
        if sent == Signal::TSTP {
            stop_self();
        }
    }

    /// Heeds what the broker says of the lease.
    fn heed(&mut self, state: &LeaseState, work: &mut Work<'_>, so_far: &mut SoFar) {
        match state {
            LeaseState::Held => {
                if std::mem::take(&mut so_far.is_asked) {
                    self.progress
                        .say("nobody more urgent asks for the GPU any more");
                }
            }
            LeaseState::YieldAsked => {
                so_far.is_asked = true;
                self.yield_asked(work);
            }
            LeaseState::Lost(refusal) => {
                self.progress
                    .say(format_args!("{}; ending the command", reason(refusal)));
                work.family.signal_all(Signal::TERM);
                // One that is stopped would not hear it.
                work.family.signal_all(Signal::CONT);
                so_far.kill_at = Some(Instant::now() + GRACE);
                so_far.tell_at = None;
                so_far.lost = Some(Arc::clone(refusal));
            }
        }
    }

    /// Does what is to be done when somebody more urgent asks for the GPU.
    fn yield_asked(&mut self, work: &mut Work<'_>) {
        const ASKED: &str = "a more urgent waiter asks for the GPU";
        let Some(on_yield) = work.on_yield else {
            self.progress.say(ASKED);
            return;
        };
        self.progress.say(format_args!("{ASKED}; {on_yield}"));
        match on_yield {
            OnYield::Signal(_, signal) => match work.family.command().ended() {
                None => work.family.command().signal(*signal),
                Some(_) => work.family.signal_all(*signal),
            },
            OnYield::Command(command) => {
                match yielding::run(command, &work.environment, work.family.own()) {
                    Ok(pid) => work.family.add_helper(pid),
                    Err(error) => self
                        .progress
                        .say(format_args!("sh cannot be started: {error}")),
                }
            }
        }
    }

    fn tell_who_goes_on(&mut self, family: &Family) {
        let members = family.members();
        let Some(exit) = family.command().ended().filter(|_| !members.is_empty()) else {
            return;
        };
        let named = members.iter().take(NAMED);
        let named: Vec<String> = named
            .map(|member| format!("{} ({})", member.pid, member.name))
            .collect();
        let more = match members.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (goes_on, them) = match members.len() {
            1 => (
                "1 process that it started goes on and keeps".to_owned(),
                "it",
            ),
            many => (
                format!("{many} processes that it started go on and keep"),
                "them",
            ),
        };
        self.progress.say(format_args!(
            "the command has ended with {}; {goes_on} the GPU: {}{more}; Ctrl+C ends {them}",
            exit.code(),
            named.join(", ")
        ));
    }
}

/// Whether this is one that a shell put into the background and thereby told to ignore the keys,
/// which are to end it all the same.
fn is_deaf(member: &Member, signal: Signal) -> bool {
    let is_key = [Signal::INT, Signal::QUIT].contains(&signal);
    let ignores = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", member.pid)).ok()?;
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix("SigIgn:"))?;
        let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
        Some(mask >> (signal.as_raw() - 1) & 1 == 1)
    };
    is_key && ignores().unwrap_or(false)
}

/// Why the lease is over, for people.
pub fn reason(refusal: &Refusal) -> String {
    match refusal.outcome().map(Outcome::as_str) {
        Some(outcome) => format!("the lease was taken away ({outcome})"),
        None => format!("the lease is over: {}", refusal.problem.detail),
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
