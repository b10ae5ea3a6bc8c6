//! Which rules fired how often: a world in which a rule never fires proves nothing about it.

use std::sync::atomic::{AtomicU64, Ordering};

use warden::wire::Outcome;

macro_rules! rules {
    ($($rule:ident: $words:literal,)*) => {
        /// Something that the contract says and that a step can show.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rule {
            $($rule,)*
        }

        impl Rule {
            pub const ALL: &'static [Self] = &[$(Self::$rule,)*];

            pub fn words(self) -> &'static str {
                match self {
                    $(Self::$rule => $words,)*
                }
            }
        }
    };
}

rules! {
    Turn: "granted in turn",
    Backfill: "granted past one that does not fit yet",
    Passed: "a grant passes an earlier arrival",
    Overdue: "an overdue waiter is served first",
    AllAtOnce: "both GPUs at once",
    Beside: "a share beside another",
    Load: "a model load takes the slot",
    Slot: "a GPU is free, and a model load waits for the slot",
    Kept: "a GPU is kept for an overdue waiter",
    Awaited: "after a restart a GPU waits for who is still away",
    Resumed: "the wait after a restart is over",
    Disconnected: "a waiter's connection breaks",
    Rejoined: "a waiter comes back",
    Superseded: "a newer connection takes over",
    SameLease: "a re-post gets the lease that it has",
    Looked: "a poll is looked at",
    Untold: "a grant does not get through",
    Renewed: "a lease is renewed",
    Loaded: "a loaded model frees the slot",
    Late: "what comes after the end is refused with how it ended",
    Restarted: "a broker begins where another ended",
    ShutDown: "the broker shuts down",
    Refused: "a post is refused",
    Unplugged: "a GPU vanishes",
    Asked: "a holder is asked to yield",
    Withdrawn: "the ask is withdrawn",
    Taken: "a lease is taken after the grace",
    Drains: "a taken lease drains",
    Drained: "what drained is gone",
    Released: "ended: released",
    Expired: "ended: expired",
    OwnerGone: "ended: owner_gone",
    Yielded: "ended: yielded",
    Forced: "ended: forced",
    Reset: "ended: reset",
    Undelivered: "ended: undelivered",
    HostRestarted: "ended: host_restarted",
    Cancelled: "ended: cancelled",
    TimedOut: "ended: timed_out",
    ClientGone: "ended: client_gone",
    Cleared: "ended: cleared",
    Impossible: "ended: impossible",
}

impl From<Outcome> for Rule {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Released => Self::Released,
            Outcome::Expired => Self::Expired,
            Outcome::OwnerGone => Self::OwnerGone,
            Outcome::Yielded => Self::Yielded,
            Outcome::Forced => Self::Forced,
            Outcome::Reset => Self::Reset,
            Outcome::Undelivered => Self::Undelivered,
            Outcome::HostRestarted => Self::HostRestarted,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::TimedOut => Self::TimedOut,
            Outcome::ClientGone => Self::ClientGone,
            Outcome::Cleared => Self::Cleared,
            Outcome::Impossible => Self::Impossible,
        }
    }
}

/// The rules that fired in one step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fired(u64);

impl Fired {
    pub fn saw(&mut self, rule: Rule) {
        self.0 |= 1 << rule as u64;
    }

    fn rules(self) -> impl Iterator<Item = Rule> {
        let rules = Rule::ALL.iter().copied();
        rules.filter(move |rule| self.0 >> *rule as u64 & 1 == 1)
    }
}

/// How often each rule fired, by number of the rule.
#[derive(Debug)]
pub struct Tally {
    steps: Vec<AtomicU64>,
    states: Vec<AtomicU64>,
}

impl Default for Tally {
    fn default() -> Self {
        let zeros = || Rule::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self {
            steps: zeros(),
            states: zeros(),
        }
    }
}

impl Tally {
    /// A step was tried.
    pub fn step(&self, fired: Fired) {
        count(&self.steps, fired);
    }

    /// A state that no other step had led to.
    pub fn state(&self, fired: Fired) {
        count(&self.states, fired);
    }

    /// Of one rule: new states that it led to, steps that it fired in.
    pub fn of(&self, rule: Rule) -> (u64, u64) {
        let read = |counts: &[AtomicU64]| counts[rule as usize].load(Ordering::Relaxed);
        (read(&self.states), read(&self.steps))
    }
}

impl Tally {
    /// As it stands.
    pub fn read(&self) -> Self {
        let read = |counts: &[AtomicU64]| {
            let counts = counts.iter().map(|count| count.load(Ordering::Relaxed));
            counts.map(AtomicU64::new).collect()
        };
        Self {
            steps: read(&self.steps),
            states: read(&self.states),
        }
    }
}

fn count(counts: &[AtomicU64], fired: Fired) {
    for rule in fired.rules() {
        counts[rule as usize].fetch_add(1, Ordering::Relaxed);
    }
}
