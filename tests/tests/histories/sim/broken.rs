//! Brokers that break one promise each, to see that the judge notices.

use warden::arbiter::Image;
use warden::{Arbiter, Event};

use crate::chance::Chance;
use crate::judge::Law;

macro_rules! broken {
    ($($name:ident breaks $($law:ident)+: $words:literal,)*) => {
        /// A promise that is broken on purpose.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Broken {
            $($name,)*
        }

        impl Broken {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What such a broker does.
            pub fn words(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)*
                }
            }

            /// The laws that must each be seen to be broken.
            pub fn laws(self) -> &'static [Law] {
                match self {
                    $(Self::$name => &[$(Law::$law),+],)*
                }
            }
        }
    };
}

broken! {
    AnswersFirst breaks LostLease LostRequest Token Order: "answers before it journals",
    ForgetsLease breaks LostLease DoubleGrant Order: "forgets a lease in a crash",
    RepeatsToken breaks Token Order: "repeats a token after a crash",
    ForgetsWaiter breaks LostRequest Place: "forgets a waiter in a crash",
    MixesUpQueue breaks Place: "gives waiters other places after a crash",
    ForgetsEnd breaks LostRequest: "forgets in a crash how requests ended",
    ForgetsDrain breaks DoubleGrant: "grants on, after a crash, what a process may still use",
    CountsAway breaks Reason DoubleGrant: "lets leases run out while it is away",
    CountsStops breaks Reason DoubleGrant: "lets leases run out while it is stopped",
    EndsEarly breaks Reason Picture: "ends leases before their time",
    ByTimeOfDay breaks Reason DoubleGrant: "lets leases run out by the time of day",
    HangsUp breaks Answer: "hangs up on who waits when it becomes another program",
    GrantsUnwritten breaks Unwritten LostLease: "grants while it cannot write its journal",
}

impl Broken {
    /// What it finds in its journal after a crash.
    pub fn journal(self, journal: &mut Vec<Event>, chance: &mut Chance) {
        if self == Self::AnswersFirst {
            let written = journal.len().saturating_sub(chance.between(1, 8) as usize);
            journal.truncate(written);
        }
    }

    /// The state that it goes on from after a crash.
    pub fn restored(self, arbiter: Arbiter, chance: &mut Chance) -> Arbiter {
        let mut image = arbiter.image();
        let mut any = |count: usize| chance.below(count as u64) as usize;
        match self {
            Self::ForgetsLease if !image.leases.is_empty() => {
                drop(image.leases.remove(any(image.leases.len())));
            }
            Self::RepeatsToken => image.next_token = image.next_token.saturating_sub(3).max(1),
            Self::ForgetsWaiter if !image.waiters.is_empty() => {
                drop(image.waiters.remove(any(image.waiters.len())));
            }
            Self::MixesUpQueue => turn_round(&mut image),
            Self::ForgetsEnd => image.ended_requests.clear(),
            Self::ForgetsDrain => image.draining.clear(),
            _ => return arbiter,
        }
        Arbiter::from(image)
    }

    /// The state that it serves from, once it began; the last state before, and for how long it was
    /// away.
    pub fn began(self, arbiter: Arbiter, before: &Image, away_ms: u64) -> Arbiter {
        if self != Self::CountsAway {
            return arbiter;
        }
        let mut image = arbiter.image();
        for lease in &mut image.leases {
            let before = before.leases.iter().find(|old| old.token == lease.token);
            if let Some(before) = before {
                lease.deadline_ms = before.deadline_ms.saturating_sub(away_ms);
            }
        }
        Arbiter::from(image)
    }

    /// So fast its clock runs.
    pub fn pace(self) -> u64 {
        if self == Self::EndsEarly { 3 } else { 1 }
    }
}

/// Whoever came first has come last.
fn turn_round(image: &mut Image) {
    let arrivals: Vec<u64> = image.waiters.iter().map(|waiter| waiter.arrival).collect();
    for (waiter, arrival) in image.waiters.iter_mut().zip(arrivals.into_iter().rev()) {
        waiter.arrival = arrival;
    }
    image.waiters.sort_by_key(|waiter| waiter.arrival);
}
