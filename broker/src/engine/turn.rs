//! The engine at work: everything that comes in, one after the other, in batches.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{oneshot, watch};
use warden::snapshot::About;
use warden::{Arbiter, Command, Connection, Now, Owner, Policy, Refusal, Reply, Start};

use crate::clock::{BEAT, Clock, rfc3339};
use crate::disk::journal::{Journal, JournalError};
use crate::disk::reserve::Reserve;
use crate::engine::inbox::{Answer, Inbox, Input};
use crate::engine::outbox::Outbox;
use crate::engine::owned::Owned;
use crate::http::answer::Failure;
use crate::process;
use crate::stream::Stream;

/// Commands for one commit: enough to share its cost, few enough that nobody waits for the rest.
const BATCH: usize = 256;

/// The engine's thread stays near for so long after something came in.
const LATELY: Duration = Duration::from_secs(5);

/// What an engine is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) arbiter: Arbiter,
    pub(crate) journal: Journal,
    pub(crate) reserve: Reserve,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) stream: Arc<Stream>,
    pub(crate) watcher: tokio::sync::mpsc::UnboundedSender<crate::owners::Watch>,
    /// Says whether anybody waits or holds.
    pub(crate) busy: watch::Sender<bool>,
    pub(crate) about: About,
}

/// The owner of the state. Nothing else writes it.
#[derive(Debug)]
pub(crate) struct Engine {
    arbiter: Arbiter,
    clock: Clock,
    reserve: Reserve,
    inbox: Arc<Inbox>,
    outbox: Outbox,
    stream: Arc<Stream>,
    busy: watch::Sender<bool>,
    about: About,
    /// The rules that hold, for whoever parses requests.
    policy: Arc<ArcSwap<Policy>>,
    pictures: Vec<oneshot::Sender<warden::Snapshot>>,
    stopping: bool,
    failure: Option<JournalError>,
    /// An empty list that has its room already.
    spare: Vec<Input>,
    /// When something last came in.
    worked_at: Instant,
    /// When the engine's thread looks again by itself; nothing when only if woken.
    wakes_at: Option<Instant>,
}

impl Engine {
    /// Starts from what the journal gave, and makes that start durable.
    pub(crate) fn start(parts: Parts, start: Start) -> Result<Self, JournalError> {
        let Parts {
            arbiter,
            journal,
            reserve,
            inbox,
            stream,
            watcher,
            busy,
            about,
        } = parts;
        let policy = Arc::new(ArcSwap::from_pointee(arbiter.policy().clone()));
        let mut engine = Self {
            clock: Clock::from(arbiter.clock_ms()),
            arbiter,
            reserve,
            outbox: Outbox::new(journal, Owned::new(watcher), Arc::clone(&inbox)),
            inbox,
            stream,
            busy,
            about,
            policy,
            pictures: Vec::new(),
            stopping: false,
            failure: None,
            spare: Vec::new(),
            worked_at: Instant::now(),
            wakes_at: None,
        };
        let now = engine.clock.read();
        if let Err(refusal) = engine.handle(now, &Command::Start(start)) {
            return Err(JournalError::Unusable(refusal.detail));
        }
        for lease in engine.arbiter.leases() {
            engine.outbox.owned.set(&lease.request_id, lease.owner);
        }
        for waiter in engine.arbiter.waiters() {
            engine.outbox.owned.set(&waiter.id, waiter.owner);
        }
        engine.settle(now)?;
        let picture = engine.arbiter.snapshot(now, &engine.about, &rfc3339);
        engine.stream.set_picture(picture);
        Ok(engine)
    }

    /// What other threads read the clock by.
    pub(crate) fn clock(&self) -> Arc<crate::clock::Face> {
        self.clock.face()
    }

    /// The rules that hold, whenever they are looked at.
    pub(crate) fn policy(&self) -> Arc<ArcSwap<Policy>> {
        Arc::clone(&self.policy)
    }

    /// The state, to be looked at before it works.
    pub(crate) fn arbiter(&self) -> &Arbiter {
        &self.arbiter
    }

    /// Carries out everything in the inbox, and what has become due; says how much it was.
    pub(super) fn turn_once(&mut self, inbox: &Inbox) -> usize {
        if self.is_over() {
            return 0;
        }
        let mut inputs = std::mem::take(&mut self.spare);
        inbox.drain(&mut inputs);
        let taken = inputs.len();
        if let Err(error) = self.turn(&mut inputs) {
            self.failure = Some(error);
        }
        inputs.clear();
        self.spare = inputs;
        taken
    }

    /// Decide, journal, apply, publish, reply: everything that came in, in this order and no
    /// other. Publishing comes just before replying, so that whoever has its answer and then
    /// asks for the status finds there what it was answered.
    fn turn(&mut self, inputs: &mut Vec<Input>) -> Result<(), JournalError> {
        if !inputs.is_empty() {
            self.worked_at = Instant::now();
        }
        let mut inputs = inputs.drain(..);
        loop {
            let now = self.clock.read();
            // Decides, journals and applies fact by fact; nobody hears of it yet.
            let mut taken = 0;
            for input in inputs.by_ref().take(BATCH) {
                taken += 1;
                self.take(now, input);
            }
            let due = |deadline| deadline <= now.clock_ms;
            if taken == 0 || self.arbiter.next_deadline().is_some_and(due) {
                self.command(now, &Command::Tick);
            }
            self.settle(now)?;
            if inputs.len() == 0 {
                return Ok(());
            }
        }
    }

    /// It was told to stop, or cannot go on.
    pub(super) fn is_over(&self) -> bool {
        self.stopping || self.failure.is_some()
    }

    /// A turn has panicked: what it decided was told to nobody and is in no journal, so the state
    /// here is not to be gone on from.
    pub(super) fn break_off(&mut self) {
        let detail = "the engine has panicked, and its state is not trusted any more";
        self.failure = Some(JournalError::Unusable(detail.to_owned()));
    }

    /// Ends: whoever still waits is told so.
    pub(super) fn end(mut self) -> Result<(), JournalError> {
        let result = self.failure.take().map_or(Ok(()), Err);
        if result.is_err() {
            self.outbox.disown();
        } else {
            self.outbox.fail_all(&Failure::shutting_down());
            self.outbox.send_answers();
        }
        self.inbox.close();
        self.outbox.journal.close();
        result
    }

    /// Something is due before the engine's thread would look, or waits for the disk.
    pub(super) fn needs_its_thread(&self) -> bool {
        let wakes_at = self.wakes_at;
        let due = self.arbiter.next_deadline().is_some_and(|deadline| {
            wakes_at.is_none_or(|at| Instant::now() + self.clock.until(deadline) < at)
        });
        due || self.is_over() || self.outbox.journal.wants_folding()
    }

    /// How long the engine's thread has nothing to do if it is not woken. Where there was something
    /// lately it stays near, so that it need not be woken for the next.
    pub(super) fn patience(&mut self) -> Option<Duration> {
        let patience = match self.arbiter.next_deadline() {
            Some(deadline) => Some(self.clock.until(deadline).min(BEAT)),
            None if self.worked_at.elapsed() < LATELY => Some(BEAT),
            None => None,
        };
        self.wakes_at = patience.map(|patience| Instant::now() + patience);
        patience
    }

    /// What keeps the journal short: it takes a while, and can wait.
    pub(super) fn fold(&mut self) {
        let journal = &mut self.outbox.journal;
        if self.failure.is_none() && journal.is_long() {
            let put = journal.put_image(&self.arbiter);
            self.failure = put.and_then(|()| journal.commit()).err();
        }
        if journal.wants_folding() {
            journal.fold();
        }
    }

    /// Commits, then publishes, then replies.
    fn settle(&mut self, now: Now) -> Result<(), JournalError> {
        self.reserve
            .cover(self.arbiter.next_token(), self.arbiter.revision())
            .map_err(JournalError::Reserve)?;
        self.outbox.commit()?;
        if let Some(policy) = self.outbox.new_policy() {
            self.policy.store(policy);
        }
        self.stream.publish(self.outbox.told());
        self.outbox.send_answers();
        for to in self.pictures.drain(..) {
            drop(to.send(self.arbiter.snapshot(now, &self.about, &rfc3339)));
        }
        let busy = self.arbiter.queue_depth() > 0 || self.arbiter.leases().next().is_some();
        self.busy
            .send_if_modified(|was| std::mem::replace(was, busy) != busy);
        Ok(())
    }

    fn take(&mut self, now: Now, input: Input) {
        match input {
            Input::Lock {
                request,
                caller,
                connection,
                refusal,
                to,
            } => {
                if to.is_closed() {
                    // Its connection closed while it stood before the engine.
                    return;
                }
                self.outbox.wait(connection, &request, to);
                self.lock(now, request, caller, connection, refusal);
            }
            Input::Ask { command, to } => self.ask(now, &command, to),
            Input::Reset { to } => {
                let owner_gone = self.stale_leases();
                self.ask(now, &Command::Reset { owner_gone }, to);
            }
            Input::Tell(command) => self.command(now, &command),
            Input::Hung(connection) => {
                if let Some((_, Some(request_id))) = self.outbox.leave(connection) {
                    let lost = Command::ConnectionLost {
                        request_id,
                        connection,
                    };
                    self.command(now, &lost);
                }
            }
            Input::OwnerGone(owner) => {
                for request_id in self.outbox.owned.gone(&owner) {
                    self.command(now, &Command::OwnerGone { request_id, owner });
                }
            }
            Input::Picture(to) => self.pictures.push(to),
            Input::ShutDown => {
                self.command(now, &Command::ShutDown);
                self.outbox.fail_all(&Failure::shutting_down());
            }
            Input::Stop => self.stopping = true,
        }
    }

    fn lock(
        &mut self,
        now: Now,
        request: Arc<warden::Request>,
        caller: warden::Caller,
        connection: Connection,
        refusal: Option<Box<Refusal>>,
    ) {
        let wait = request.wait;
        let asks = caller.clone();
        let command = match refusal {
            None => Command::Acquire {
                request,
                caller: asks,
                connection,
            },
            Some(refusal) => Command::Rejoin {
                request,
                caller: asks,
                connection,
                refusal,
            },
        };
        match self.handle(now, &command) {
            Ok(Reply::Waiting {
                request_id,
                superseded,
            }) => {
                self.supersede(superseded);
                if wait {
                    self.outbox.name(connection, request_id);
                } else {
                    self.look(now, request_id, caller, connection);
                }
            }
            Ok(Reply::Granted { grant, superseded }) => {
                self.supersede(superseded);
                if wait {
                    self.outbox.grant(connection, grant);
                } else {
                    self.look(now, grant.request_id, caller, connection);
                }
            }
            Ok(_) => self.outbox.fail(connection, Failure::shutting_down()),
            Err(refusal) => self.outbox.fail(connection, refusal.into()),
        }
    }

    /// Answers a poll, unless its request has ended already and it was told so.
    fn look(
        &mut self,
        now: Now,
        request_id: warden::RequestId,
        caller: warden::Caller,
        connection: Connection,
    ) {
        if let Some((to, _)) = self.outbox.leave(connection) {
            let look = Command::Look {
                request_id,
                caller,
                connection,
            };
            self.ask(now, &look, to);
        }
    }

    fn ask(&mut self, now: Now, command: &Command, to: oneshot::Sender<Answer>) {
        match self.handle(now, command) {
            Ok(reply) => {
                let delivery = match (&reply, command) {
                    (Reply::Request(view), Command::Look { connection, .. }) => {
                        let grant = view.grant.as_ref();
                        grant.map(|grant| {
                            self.outbox.delivery(grant.request_id.clone(), *connection)
                        })
                    }
                    _ => None,
                };
                self.outbox.answer(to, reply, delivery);
            }
            Err(refusal) => self.outbox.refuse(to, refusal.into()),
        }
    }

    /// A command that nobody waits for: where it is refused there is nothing that it could change.
    fn command(&mut self, now: Now, command: &Command) {
        if let Err(refusal) = self.handle(now, command) {
            tracing::debug!(?command, detail = refusal.detail, "not carried out");
        }
    }

    fn handle(&mut self, now: Now, command: &Command) -> Result<Reply, Refusal> {
        let outbox = &mut self.outbox;
        self.arbiter
            .handle(now, command, &mut |arbiter, event, change| {
                outbox.saw(now, arbiter, event, change);
            })
    }

    fn supersede(&mut self, older: Option<Connection>) {
        if let Some(older) = older {
            let failure = Failure::new(
                warden::Code::Superseded,
                "a newer connection posted this request again and gets the answer",
            );
            self.outbox.fail(older, failure);
        }
    }

    /// Leases whose owner's process is gone, though the watch may not have said so yet.
    fn stale_leases(&self) -> Vec<warden::LeaseId> {
        let owners = self.outbox.owned.owners();
        let gone: HashSet<Owner> = owners
            .filter(|owner| !process::lives(owner))
            .copied()
            .collect();
        let stale =
            |lease: &&warden::event::Lease| lease.owner.is_some_and(|owner| gone.contains(&owner));
        self.arbiter
            .leases()
            .filter(stale)
            .map(|lease| lease.id())
            .collect()
    }
}
