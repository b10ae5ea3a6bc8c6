//! An arbiter with everything around it that the laws are about: its journal, its stream, a
//! second arbiter that is driven as the broker does it, and the oracle.

mod disk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use warden::arbiter::Image;
use warden::event::{Drain, Fact};
use warden::policy::YieldMode;
use warden::snapshot::About;
use warden::wire::{LockBody, Outcome, Status};
use warden::{
    Arbiter, Caller, Change, Command, Connection, Door, Event, Gpu, GpuId, Now, Origin, Policy,
    Refusal, Reply, Request, RequestId, RequestView, Snapshot, Start, StreamEvent,
};

use crate::oracle::Oracle;

/// What must have occurred in the histories, or they prove nothing.
#[derive(Debug, Default)]
pub struct Coverage {
    pub counts: BTreeMap<&'static str, u64>,
}

impl Coverage {
    pub fn saw(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub fn demand(&self, all: &[&str]) {
        for what in all {
            assert!(
                self.counts.contains_key(what),
                "never occurred: {what}; {:?}",
                self.counts
            );
        }
    }
}

pub fn rfc3339(ms: u64) -> String {
    format!("at {ms}")
}

pub fn about() -> About {
    About {
        version: "1".to_owned(),
        started_at: "at 0".to_owned(),
    }
}

pub fn gpu(index: u32, vram_total_mib: Option<u64>) -> Gpu {
    Gpu {
        id: GpuId::from(format!("GPU-{index}")),
        index,
        name: "Simulated".to_owned(),
        source: "simulated".to_owned(),
        simulated: true,
        vram_total_mib,
    }
}

pub fn caller() -> Caller {
    Caller {
        door: Door::new("uid:1000"),
        operator: true,
    }
}

pub struct World<'a> {
    pub arbiter: Arbiter,
    /// Driven by `handle`, as the broker does it.
    twin: Arbiter,
    journal: Vec<String>,
    picture: Snapshot,
    pub now: Now,
    pub gpus: Vec<Gpu>,
    pub policy: Policy,
    /// Facts cannot be made durable.
    suspended: bool,
    connection: u64,
    last_token: u64,
    /// Arrivals that have ended.
    ended: BTreeSet<RequestId>,
    queued: u64,
    pub bodies: Vec<LockBody>,
    pub coverage: &'a mut Coverage,
}

impl<'a> World<'a> {
    pub fn new(gpus: Vec<Gpu>, policy: Policy, coverage: &'a mut Coverage) -> Self {
        let arbiter = Arbiter::new();
        let now = Now {
            clock_ms: 1_000,
            wall_ms: 1_700_000_000_000,
        };
        let picture = arbiter.snapshot(now, &about(), &rfc3339);
        let mut world = Self {
            twin: arbiter.clone(),
            arbiter,
            journal: Vec::new(),
            picture,
            now,
            gpus,
            policy,
            suspended: false,
            connection: 0,
            last_token: 0,
            ended: BTreeSet::new(),
            queued: 0,
            bodies: Vec::new(),
            coverage,
        };
        world.start(false);
        world
    }

    pub fn start(&mut self, host_restarted: bool) {
        self.suspended = false;
        let start = Start {
            token_floor: self.arbiter.next_token() + 100,
            revision_floor: self.arbiter.revision() + 100,
            host_restarted,
            gpus: self.gpus.clone(),
            policy: Box::new(self.policy.clone()),
        };
        self.run(&Command::Start(start))
            .expect("a start is never refused");
    }

    pub fn wait(&mut self, ms: u64) {
        self.now.clock_ms += ms;
        self.now.wall_ms += ms;
        self.run(&Command::Tick).expect("time is never refused");
    }

    pub fn connection(&mut self) -> Connection {
        self.connection += 1;
        Connection(self.connection)
    }

    /// Posts a lock.
    pub fn post(&mut self, body: &LockBody) -> Result<Reply, Refusal> {
        let connection = self.connection();
        self.post_on(body, connection)
    }

    pub fn post_on(&mut self, body: &LockBody, connection: Connection) -> Result<Reply, Refusal> {
        self.post_as(body, connection, caller())
    }

    pub fn post_as(
        &mut self,
        body: &LockBody,
        connection: Connection,
        caller: Caller,
    ) -> Result<Reply, Refusal> {
        let origin = Origin {
            door: caller.door.clone(),
            host: "here".into(),
        };
        let request = Request::parse(body, &origin, self.arbiter.policy(), &self.gpus)?;
        self.run(&Command::Acquire {
            request: Arc::new(request),
            caller,
            connection,
        })
    }

    /// Carries a command out, a decision at a time, and checks the laws at each.
    pub fn run(&mut self, command: &Command) -> Result<Reply, Refusal> {
        let mut facts = Vec::new();
        let expected = self.twin.handle(self.now, command, &mut |_, event, _| {
            facts.push(event.clone());
        });
        let mut told = Vec::new();
        if !matches!(command, Command::Start(_)) {
            self.settle(&mut told);
        }
        let decision = self.arbiter.decide(self.now, command);
        assert_eq!(
            decision,
            self.arbiter.decide(self.now, command),
            "a decision is pure"
        );
        for event in &decision.events {
            self.take_in(event, &mut told);
        }
        self.settle(&mut told);
        assert_eq!(told, facts, "handling decides as deciding does");
        assert_eq!(decision.answer, expected);
        assert_eq!(self.arbiter, self.twin);
        self.check_quiet();
        decision.answer
    }

    fn settle(&mut self, told: &mut Vec<Event>) {
        loop {
            let decision = self.arbiter.decide(self.now, &Command::Tick);
            if decision.events.is_empty() {
                return;
            }
            for event in &decision.events {
                self.take_in(event, told);
            }
        }
    }

    fn take_in(&mut self, event: &Event, told: &mut Vec<Event>) {
        told.push(event.clone());
        let image = self.arbiter.image();
        let oracle = Oracle::new(&image);
        if let Fact::Granted {
            request_id,
            token,
            gpus,
            passed,
        } = &event.fact
        {
            assert!(!self.suspended, "nothing durable is behind this grant");
            let next = oracle.next().expect("nobody must be served now");
            assert_eq!(next.request_id, *request_id, "another is served next");
            let positions: BTreeSet<usize> = (0..64).filter(|gpu| gpus >> gpu & 1 == 1).collect();
            assert_eq!(next.gpus, positions, "other GPUs are given");
            assert_eq!(next.passed, *passed, "another is passed");
            assert!(*token > self.last_token, "tokens strictly increase");
            self.last_token = *token;
            if next.backfill {
                self.coverage.saw("backfill");
            }
            if next.overdue {
                self.coverage.saw("overdue");
            }
        }
        if let Fact::WaiterEnded {
            request_id,
            outcome: Outcome::TimedOut,
            ..
        } = &event.fact
        {
            assert!(
                self.suspended || oracle.next().is_none(),
                "somebody times out that could be served"
            );
            let waiter = self.arbiter.waiter(request_id).expect("it waits");
            assert!(waiter.times_out_at_ms() <= event.at.clock_ms);
            self.coverage.saw("time-out");
        }
        self.check_taken(event, &image);
        let change = self.arbiter.apply(event);
        self.journal
            .push(serde_json::to_string(event).expect("facts serialise"));
        self.count(event, &change);
        self.tell(event, &change);
        let image = self.arbiter.image();
        let oracle = Oracle::new(&image);
        oracle.check_leases();
        if let Fact::Granted { token, .. } = event.fact {
            oracle.check_grant(token);
        }
    }

    /// Who is asked, what is taken from whom, and what drains.
    fn check_taken(&mut self, event: &Event, image: &Image) {
        let now_ms = event.at.clock_ms;
        let lease = |token: &u64| image.leases.iter().find(|lease| lease.token == *token);
        match &event.fact {
            Fact::YieldAsked { token, by } => {
                let owed = Oracle::new(image).next_ask(now_ms);
                assert_eq!(owed, Some((*token, by.clone())), "another is to be asked");
                self.coverage.saw("asked to yield");
            }
            Fact::YieldWithdrawn { token } => {
                let ask = lease(token).and_then(|lease| lease.asked.as_ref());
                let by = &ask.expect("it was asked").by;
                let waits = image.waiters.iter().any(|waiter| waiter.id == *by);
                let never = image.policy.r#yield.mode == YieldMode::Never;
                assert!(never || !waits, "{by} still waits");
                self.coverage.saw("ask withdrawn");
            }
            Fact::LeaseEnded {
                token,
                outcome,
                drains_until_ms,
            } => {
                let lease = lease(token).expect("it lives");
                let may_drain = [
                    Outcome::Forced,
                    Outcome::Expired,
                    Outcome::Reset,
                    Outcome::Yielded,
                    // What it had started may be left.
                    Outcome::OwnerGone,
                    // By a cancellation, which is not the holder's word.
                    Outcome::Released,
                ];
                if let Some(until_ms) = drains_until_ms {
                    assert!(may_drain.contains(outcome), "{outcome:?} leaves nobody");
                    assert!(lease.owner.is_some(), "nobody is waited for");
                    assert_eq!(*until_ms, now_ms + image.policy.drain_ms);
                    self.coverage.saw("drains");
                }
                if *outcome == Outcome::Yielded {
                    assert!(lease.asked.is_some(), "it was not asked");
                    self.coverage.saw("yielded");
                }
            }
            Fact::Drained { token } => {
                let drain = |drain: &&Drain| drain.lease.token == *token;
                let drain = image.draining.iter().find(drain).expect("it drains");
                if drain.until_ms <= now_ms {
                    self.coverage.saw("drained for too long");
                } else {
                    self.coverage.saw("drained");
                }
            }
            _ => {}
        }
    }

    /// Law 6: each request ends once.
    fn count(&mut self, event: &Event, change: &Change) {
        match (&event.fact, change) {
            (Fact::Queued { request_id, .. }, _) => {
                assert!(
                    !self.ended.contains(request_id),
                    "{request_id} begins twice"
                );
                self.queued += 1;
                let max_queue = self.arbiter.policy().max_queue;
                assert!(self.arbiter.queue_depth() <= max_queue, "the queue is full");
            }
            (
                Fact::WaiterEnded {
                    request_id,
                    outcome,
                    ..
                },
                Change::WaiterEnded { .. },
            ) => {
                assert!(
                    self.ended.insert(request_id.clone()),
                    "{request_id} ends twice"
                );
                if *outcome == Outcome::Impossible {
                    self.coverage.saw("impossible");
                }
            }
            (Fact::Withdrawn { request_id }, _) => {
                assert!(self.ended.insert(request_id.clone()));
            }
            (Fact::LeaseEnded { outcome, .. }, Change::LeaseEnded { lease, .. }) => {
                let expired = *outcome == Outcome::Expired;
                assert!(
                    !(expired && self.suspended),
                    "its renewals were not durable"
                );
                let id = lease.request_id.clone();
                assert!(self.ended.insert(id), "{} ends twice", lease.request_id);
            }
            (Fact::WaiterEnded { .. } | Fact::LeaseEnded { .. }, _) => {
                panic!("an end without something that ends: {event:?}");
            }
            _ => {}
        }
        let live = self.arbiter.queue_depth() + self.arbiter.leases().count();
        assert_eq!(
            self.queued,
            self.ended.len() as u64 + live as u64,
            "nobody is lost"
        );
    }

    fn tell(&mut self, event: &Event, change: &Change) {
        if let Fact::Started { .. } = event.fact {
            // A stream does not outlive its broker.
            self.picture = self.arbiter.snapshot(self.now, &about(), &rfc3339);
        }
        let told = self.arbiter.stream_event(self.now, change, &rfc3339);
        let Some(told) = told else { return };
        let data = serde_json::to_string(&told).expect("events serialise");
        let mut reader = serde_json::Deserializer::from_str(&data);
        let read = StreamEvent::parse(told.name(), &mut reader).expect("events parse");
        assert_eq!(read.as_ref(), Some(&told));
        let revision = self.arbiter.revision();
        let folded = self.picture.fold(revision, &told, self.now.clock_ms);
        folded.expect("every event fits");
    }

    fn check_quiet(&mut self) {
        let image = self.arbiter.image();
        let oracle = Oracle::new(&image);
        let next = oracle.next().filter(|_| !self.suspended);
        assert_eq!(next, None, "somebody must be served");
        if oracle.keeps() {
            self.coverage.saw("kept");
        }
        for (gpu, _) in image.gpus.iter().enumerate() {
            if image
                .leases
                .iter()
                .filter(|lease| lease.gpus >> gpu & 1 == 1)
                .count()
                > 1
            {
                self.coverage.saw("share");
            }
        }
        let now_ms = self.now.clock_ms;
        let ask = oracle.next_ask(now_ms).filter(|_| !self.suspended);
        assert_eq!(ask, None, "somebody must be asked");
        for lease in &image.leases {
            let Some(ask) = &lease.asked else { continue };
            let waits = image.waiters.iter().any(|waiter| waiter.id == ask.by);
            assert!(waits, "{} is asked for nobody", lease.id());
            let rules = image.policy.r#yield;
            let taken = rules.mode == YieldMode::Take && ask.at_ms + rules.grace_ms <= now_ms;
            assert!(!taken || self.suspended, "{} had its grace", lease.id());
        }
        let drained = image.draining.iter().any(|drain| drain.until_ms <= now_ms);
        assert!(!drained, "a GPU drains for ever");
        let deadline = self.twin.next_deadline();
        assert!(
            deadline.is_none_or(|at_ms| at_ms > self.now.clock_ms),
            "time stands still"
        );
    }

    /// Where a request stands, without the look counting: a decision changes nothing.
    pub fn peek(&self, request_id: &RequestId, caller: Caller) -> Option<RequestView> {
        let connection = Connection(0);
        let request_id = request_id.clone();
        let look = Command::Look {
            request_id,
            caller,
            connection,
        };
        match self.arbiter.decide(self.now, &look).answer {
            Ok(Reply::Request(view)) => Some(*view),
            _ => None,
        }
    }

    /// The folded picture says what the status says.
    pub fn check_picture(&mut self) {
        let status = self.arbiter.status(self.now, &about(), &rfc3339);
        let at = rfc3339(self.now.wall_ms);
        // No event tells of them.
        self.picture.set_notices(status.notices.clone());
        let picture = self.picture.status(self.now.clock_ms, at);
        let paused = self.arbiter.is_shutting_down() || self.suspended;
        assert_eq!(
            comparable(picture, paused),
            comparable(status.clone(), paused)
        );
        for (waiter, row) in self.arbiter.waiters().zip(&status.queue) {
            assert_eq!(waiter.id, row.request_id);
            let view = self.peek(&waiter.id, caller()).expect("it waits");
            assert_eq!(view.state.place, Some(row.place));
            assert_eq!(view.state.why.as_ref(), Some(&row.why));
            assert!(row.why.behind.iter().all(|id| *id != waiter.id));
            if !paused {
                assert_eq!(self.picture.why(&waiter.id).as_ref(), Some(&row.why));
            }
        }
        let json = serde_json::to_string(&status).expect("a status serialises");
        assert_eq!(
            serde_json::from_str::<Status>(&json).expect("a status parses"),
            status
        );
    }
}

/// What folding the events must give: all but what was refused, and the durations of leases whose
/// deadline moved without an event.
fn comparable(mut status: Status, paused: bool) -> Status {
    status.counters.refused.clear();
    for lease in &mut status.leases {
        lease.expires_in_ms = 0;
    }
    for waiter in &mut status.queue {
        if paused {
            waiter.why.text.clear();
            waiter.why.code = warden::wire::WhyCode::Paused;
            waiter.why.behind.clear();
        }
    }
    status
}
