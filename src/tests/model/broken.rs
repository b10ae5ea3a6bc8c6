//! Copies of the arbiter that break one rule each, to see that the checker notices. The arbiter
//! itself knows nothing of this: what it decides is changed between decision and state.

use warden::arbiter::Image;
use warden::event::{Fact, Lease};
use warden::wire::Outcome;
use warden::{Arbiter, Change, Command, Event, Now, Refusal, Reply, Request};

use super::law::Law;
use super::scene::UNIT_MS;
use crate::oracle::Oracle;

macro_rules! faults {
    ($($fault:ident breaks $law:ident: $words:literal,)*) => {
        /// A rule that is broken on purpose.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $($fault,)*
        }

        impl Fault {
            pub const ALL: &'static [Self] = &[$(Self::$fault,)*];

            /// What it does.
            pub fn words(self) -> &'static str {
                match self {
                    $(Self::$fault => $words,)*
                }
            }

            /// The law that must be seen to be broken, with no other looked at.
            pub fn law(self) -> Law {
                match self {
                    $(Self::$fault => Law::$law,)*
                }
            }
        }
    };
}

faults! {
    HeldGpu breaks DoubleGrant: "grants a GPU that is held",
    FullGpu breaks DoubleGrant: "grants shares beyond a GPU's memory",
    Half breaks AllOrNone: "gives one GPU of two",
    SecondLoad breaks OneLoad: "grants a model load without the slot",
    SameToken breaks Tokens: "gives a token a second time",
    TokenFromImage breaks Tokens: "forgets the last token in a crash",
    DropWaiter breaks Lost: "answers a waiter and forgets it",
    ForgetLease breaks Lost: "forgets a lease in a crash",
    EndTwice breaks Lost: "tells the end of a request twice",
    EarlyTimeout breaks Reason: "times a waiter out too early",
    ResetAll breaks Reason: "resets healthy leases",
    Jump breaks Turn: "serves the last of those that fit",
    OtherGpu breaks Turn: "gives another GPU than the rules say",
    NoPass breaks Passes: "counts no pass",
    MorePasses breaks Starving: "lets a waiter be passed more often",
    NoBackfill breaks Idle: "lets nobody pass",
    NeverExpires breaks Due: "ends no lease by time",
    NewId breaks SameId: "takes a re-post for a new request",
    Drainless breaks DoubleGrant: "grants a GPU on while a process is still on it",
    Orphans breaks DoubleGrant: "grants a GPU on beside what an owner left there",
    Nag breaks Asks: "asks a holder that has only just been granted",
    Grudge breaks Asks: "asks on when the waiter has left",
    Snatch breaks Reason: "takes a lease without its grace",
    Unwritten breaks Replay: "journals a grant without its pass",
    Wedged breaks Deadlock: "serves nobody who is overdue",
    Forgotten breaks Ends: "serves no model load and lets none time out",
}

type Seen<'a> = &'a mut dyn FnMut(&Arbiter, &Event, &Change);

/// Carries a command out: as it is, or with this rule broken.
pub fn handle(
    fault: Option<Fault>,
    arbiter: &mut Arbiter,
    now: Now,
    command: &Command,
    seen: Seen,
) -> Result<Reply, Refusal> {
    let Some(fault) = fault else {
        return arbiter.handle(now, command, seen);
    };
    let copy = Copy { fault, now };
    let starts = matches!(command, Command::Start(_));
    if !starts {
        copy.settle(arbiter, seen);
    }
    if matches!(command, Command::Tick) {
        // What is due has been settled: in this copy's opinion there is no more.
        return Ok(Reply::Done);
    }
    let decision = arbiter.decide(now, &copy.command(arbiter, command));
    for event in copy.decided(arbiter, command, decision.events) {
        copy.take_in(arbiter, &event, seen);
    }
    copy.settle(arbiter, seen);
    decision.answer
}

/// What is left after a crash.
pub fn restore(fault: Option<Fault>, arbiter: Arbiter) -> Arbiter {
    let mut image = arbiter.image();
    match fault {
        Some(Fault::ForgetLease) => drop(image.leases.pop()),
        // As many as the floor of the start goes beyond what was told.
        Some(Fault::TokenFromImage) => image.next_token = image.next_token.saturating_sub(3),
        _ => return arbiter,
    }
    Arbiter::from(image)
}

struct Copy {
    fault: Fault,
    now: Now,
}

impl Copy {
    fn event(&self, fact: Fact) -> Event {
        Event { at: self.now, fact }
    }

    /// The command as this copy understands it.
    fn command(&self, arbiter: &Arbiter, command: &Command) -> Command {
        let mut command = command.clone();
        match (self.fault, &mut command) {
            (Fault::Orphans, Command::OwnerGone { remains, .. }) => *remains = false,
            (Fault::MorePasses, Command::Start(start)) => start.policy.max_bypass += 5,
            (Fault::NewId, Command::Acquire { request, .. }) => {
                let id = request.id.as_ref();
                if let Some(id) = id.filter(|id| arbiter.waiter(id).is_some()) {
                    let id = Some(format!("{id}-again").into());
                    let other = Request {
                        id,
                        ..(**request).clone()
                    };
                    *request = other.into();
                }
            }
            _ => {}
        }
        command
    }

    /// What this copy makes of the facts that a command comes to.
    fn decided(&self, arbiter: &Arbiter, command: &Command, mut events: Vec<Event>) -> Vec<Event> {
        match (self.fault, command) {
            (Fault::DropWaiter, Command::Acquire { .. }) if arbiter.queue_depth() > 0 => {
                events.retain(|event| !matches!(event.fact, Fact::Queued { .. }));
            }
            (Fault::Drainless, _) => {
                for event in &mut events {
                    if let Fact::LeaseEnded {
                        drains_until_ms, ..
                    } = &mut event.fact
                    {
                        *drains_until_ms = None;
                    }
                }
            }
            (Fault::EndTwice, Command::Cancel { .. }) => events.extend(events.clone()),
            (Fault::ResetAll, Command::Reset { .. }) => {
                let ends = arbiter.leases().map(|lease| {
                    self.event(Fact::LeaseEnded {
                        token: lease.token,
                        outcome: Outcome::Reset,
                        drains_until_ms: None,
                    })
                });
                return ends.collect();
            }
            _ => {}
        }
        events
    }

    fn settle(&self, arbiter: &mut Arbiter, seen: Seen) {
        while let Some(event) = self.due(arbiter) {
            self.take_in(arbiter, &event, seen);
        }
    }

    fn take_in(&self, arbiter: &mut Arbiter, event: &Event, seen: Seen) {
        let change = arbiter.apply(event);
        let mut written = event.clone();
        if let (Fault::Unwritten, Fact::Granted { passed, .. }) = (self.fault, &mut written.fact) {
            *passed = None;
        }
        seen(arbiter, &written, &change);
    }

    /// What follows by itself, in this copy's opinion.
    fn due(&self, arbiter: &Arbiter) -> Option<Event> {
        let event = arbiter.decide(self.now, &Command::Tick).events.pop();
        let image = arbiter.image();
        let Some(mut event) = event else {
            return self.besides(&image).map(|fact| self.event(fact));
        };
        let oracle = Oracle::new(&image);
        let next = oracle.next();
        match (self.fault, &mut event.fact) {
            (Fault::Half, Fact::Granted { gpus, .. }) => *gpus &= gpus.wrapping_neg(),
            (Fault::SameToken, Fact::Granted { token, .. }) => {
                *token = image.leases.last().map_or(*token, |lease| lease.token);
            }
            (Fault::NoPass, Fact::Granted { passed, .. }) => *passed = None,
            (Fault::OtherGpu, Fact::Granted { gpus, .. })
                if *gpus == 1 && image.leases.is_empty() =>
            {
                *gpus = 2;
            }
            (Fault::Jump, Fact::Granted { request_id, .. }) => {
                let nothing = std::collections::BTreeSet::new();
                let fits = |waiter: &&warden::event::Waiter| {
                    oracle.choose(waiter, &nothing) == next.as_ref().map(|next| next.gpus.clone())
                };
                let last = image.waiters.iter().rfind(fits)?;
                *request_id = last.id.clone();
            }
            (Fault::NoBackfill, Fact::Granted { .. })
                if next.as_ref().is_some_and(|next| next.backfill) =>
            {
                return None;
            }
            (Fault::Wedged, Fact::Granted { .. })
                if next.as_ref().is_some_and(|next| next.overdue) =>
            {
                return None;
            }
            (Fault::Grudge, Fact::YieldWithdrawn { .. }) => return None,
            (Fault::NeverExpires, Fact::LeaseEnded { .. }) => return None,
            (Fault::Forgotten, Fact::Granted { request_id, .. })
            | (Fault::Forgotten, Fact::WaiterEnded { request_id, .. })
                if request_id.as_str().starts_with("load") =>
            {
                return None;
            }
            _ => {}
        }
        Some(event)
    }

    /// What follows in this copy's opinion alone.
    fn besides(&self, image: &Image) -> Option<Fact> {
        let waiter = image.waiters.first()?;
        let asked = image.leases.iter().find(|lease| lease.asked.is_some());
        let unasked = image.leases.iter().find(|lease| lease.asked.is_none());
        match self.fault {
            Fault::Nag => {
                return Some(Fact::YieldAsked {
                    token: unasked?.token,
                    by: waiter.id.clone(),
                });
            }
            Fault::Snatch => {
                return Some(Fact::LeaseEnded {
                    token: asked?.token,
                    outcome: Outcome::Yielded,
                    drains_until_ms: None,
                });
            }
            _ => {}
        }
        let grant = |gpus: u64| Fact::Granted {
            request_id: waiter.id.clone(),
            token: image.next_token,
            gpus,
            passed: None,
        };
        let shares = |lease: &&Lease| lease.request.vram_mib.is_some();
        let share = waiter.request.vram_mib.is_some();
        let load = waiter.request.operation.is_model_load();
        match self.fault {
            Fault::HeldGpu if !share => Some(grant(image.leases.first()?.gpus)),
            Fault::FullGpu if share => Some(grant(image.leases.iter().find(shares)?.gpus)),
            Fault::SecondLoad if load => {
                let taken = image
                    .leases
                    .iter()
                    .fold(0, |taken, lease| taken | lease.gpus);
                let free = (0..2).find(|gpu| taken >> gpu & 1 == 0)?;
                Some(grant(1 << free))
            }
            Fault::EarlyTimeout => {
                let almost_ms = waiter.times_out_at_ms().saturating_sub(UNIT_MS);
                (almost_ms <= self.now.clock_ms).then(|| Fact::WaiterEnded {
                    request_id: waiter.id.clone(),
                    outcome: Outcome::TimedOut,
                    place: 1,
                    holders: Vec::new(),
                })
            }
            _ => None,
        }
    }
}
