//! The engine at work: everything that comes in, one after the other, in batches.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{oneshot, watch};
use warden::arbiter::Doubt;
use warden::snapshot::About;
use warden::{Arbiter, Command, Connection, Gpu, Now, Owner, Policy, Refusal, Reply, Start};

use crate::clock::{BEAT, Clock, rfc3339};
use crate::disk::ballast::Ballast;
use crate::disk::journal::{Journal, JournalError};
use crate::disk::reserve::Reserve;
use crate::engine::inbox::{Answer, Inbox, Input};
use crate::engine::outage::{self, Outage};
use crate::engine::outbox::Outbox;
use crate::engine::owned::Owned;
use crate::http::answer::Failure;
use crate::notices::Notices;
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
    pub(crate) notices: Arc<Notices>,
    pub(crate) ballast: Ballast,
    pub(crate) journal_path: PathBuf,
}

/// The owner of the state. Nothing else writes it.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(super) arbiter: Arbiter,
    pub(super) clock: Clock,
    pub(super) reserve: Reserve,
    inbox: Arc<Inbox>,
    pub(super) outbox: Outbox,
    pub(super) stream: Arc<Stream>,
    pub(super) busy: watch::Sender<bool>,
    pub(super) about: About,
    pub(super) notices: Arc<Notices>,
    pub(super) ballast: Ballast,
    pub(super) journal_path: PathBuf,
    /// The doubt that the notices tell of.
    pub(super) doubt: Option<Doubt>,
    /// Leases from this token on are not in the journal yet.
    pub(super) durable_token: u64,
    /// The journal cannot be written.
    pub(super) outage: Option<Outage>,
    /// The rules that hold, for whoever parses requests.
    pub(super) policy: Arc<ArcSwap<Policy>>,
    /// The GPUs that there are, likewise.
    pub(super) gpus: Arc<ArcSwap<Vec<Gpu>>>,
    pub(super) pictures: Vec<oneshot::Sender<warden::Snapshot>>,
    /// Who waits for a short journal.
    shortening: Vec<oneshot::Sender<Result<(), Failure>>>,
    /// Who is ready to have another program go on.
    making_way: Option<oneshot::Sender<Result<(), String>>>,
    stopping: bool,
    /// It ends soon: what cannot be written is not said either.
    pub(super) leaving: bool,
    /// Nothing is granted any more, and this is said to who would wait.
    pub(super) closed: Option<Failure>,
    failure: Option<JournalError>,
    /// An empty list that has its room already.
    spare: Vec<Input>,
    /// When something last came in.
    worked_at: Instant,
    /// When the engine's thread looks again by itself; nothing when only if woken.
    wakes_at: Option<Instant>,
}

impl Engine {
    /// Starts from what the journal gave, and makes that start durable; on a full disk it begins
    /// with an outage.
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
            notices,
            ballast,
            journal_path,
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
            notices,
            ballast,
            journal_path,
            doubt: None,
            durable_token: 0,
            outage: None,
            policy,
            gpus: Arc::default(),
            pictures: Vec::new(),
            shortening: Vec::new(),
            making_way: None,
            stopping: false,
            leaving: false,
            closed: None,
            failure: None,
            spare: Vec::new(),
            worked_at: Instant::now(),
            wakes_at: None,
        };
        let now = engine.clock.read();
        let known = engine.arbiter.snapshot(now, &engine.about, &rfc3339);
        engine.durable_token = engine.arbiter.next_token();
        if let Err(refusal) = engine.handle(now, &Command::Start(start)) {
            return Err(JournalError::Unusable(refusal.detail));
        }
        for lease in engine.arbiter.leases() {
            engine.outbox.owned.set(&lease.request_id, lease.owner);
        }
        for waiter in engine.arbiter.waiters() {
            engine.outbox.owned.set(&waiter.id, waiter.owner);
        }
        for drain in engine.arbiter.draining() {
            engine.outbox.owned.drain(&drain.lease);
        }
        engine.show_gpus();
        engine.settle_start(now, known)?;
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

    /// The GPUs that there are, whenever they are looked at.
    pub(crate) fn gpus(&self) -> Arc<ArcSwap<Vec<Gpu>>> {
        Arc::clone(&self.gpus)
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
        self.turn(&mut inputs);
        inputs.clear();
        self.spare = inputs;
        taken
    }

    /// Decide, journal, apply, publish, reply: everything that came in, in this order and no
    /// other. Publishing comes just before replying, so that whoever has its answer and then
    /// asks for the status finds there what it was answered.
    fn turn(&mut self, inputs: &mut Vec<Input>) {
        if !inputs.is_empty() {
            self.worked_at = Instant::now();
        }
        self.end_outage_if_over();
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
            self.settle(now);
            if let Some(to) = self.making_way.take() {
                self.make_way(now, to);
            }
            if inputs.len() == 0 {
                return;
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
            self.write_at_last();
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
        let due = self
            .next_due()
            .is_some_and(|left| wakes_at.is_none_or(|at| Instant::now() + left < at));
        let journal = &self.outbox.journal;
        due || self.is_over() || journal.wants_folding() || !self.shortening.is_empty()
    }

    /// How long the engine's thread has nothing to do if it is not woken. Where there was something
    /// lately it stays near, so that it need not be woken for the next.
    pub(super) fn patience(&mut self) -> Option<Duration> {
        let patience = match self.next_due() {
            Some(left) => Some(left.min(BEAT)),
            None if self.worked_at.elapsed() < LATELY => Some(BEAT),
            None => None,
        };
        self.wakes_at = patience.map(|patience| Instant::now() + patience);
        patience
    }

    /// How long until something falls due by itself.
    fn next_due(&self) -> Option<Duration> {
        let deadline = self.arbiter.next_deadline();
        let deadline = deadline.map(|deadline| self.clock.until(deadline));
        let retry_at = self.outage.as_ref().map(|outage| outage.retry_at);
        let retry = retry_at.map(|at| at.saturating_duration_since(Instant::now()));
        deadline.into_iter().chain(retry).min()
    }

    /// What keeps the journal short: it takes a while, and can wait.
    pub(super) fn fold(&mut self) {
        if self.failure.is_some() || self.outage.is_some() {
            for to in self.shortening.drain(..) {
                let _ = to.send(Err(outage::refusal()));
            }
            return;
        }
        self.ballast.take_if_due();
        let journal = &mut self.outbox.journal;
        if journal.is_long() || !self.shortening.is_empty() && journal.is_not_short() {
            journal.shorten(&self.arbiter);
        }
        if journal.wants_folding() {
            journal.fold();
        }
        for to in self.shortening.drain(..) {
            // Whoever wanted it may be gone.
            let _ = to.send(Ok(()));
        }
    }

    fn take(&mut self, now: Now, input: Input) {
        match input {
            Input::Lock {
                request,
                caller,
                connection,
                joins,
                refusal,
                to,
            } => {
                if to.is_closed() {
                    // Its connection closed while it stood before the engine.
                    return;
                }
                self.outbox.wait(connection, &request, to);
                let owned = &self.outbox.owned;
                match owned.why_not_joined(&self.arbiter, &request, &caller, joins) {
                    Some(refusal) => self.outbox.fail(connection, refusal.into()),
                    None => self.lock(now, request, caller, connection, refusal),
                }
            }
            // It could not be kept once it is said.
            Input::Ask { to, .. } | Input::Reset { to }
                if self.leaving && self.outage.is_some() =>
            {
                let failure = self.parting();
                self.outbox.refuse(to, failure);
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
            Input::OwnerEnded(owner) => self.outbox.owned.ended(&owner),
            Input::OwnerGone { owner, remains } => {
                for request_id in self.outbox.owned.gone(&owner) {
                    let gone = Command::OwnerGone {
                        request_id,
                        owner,
                        remains,
                    };
                    self.command(now, &gone);
                }
            }
            Input::Picture(to) => self.pictures.push(to),
            Input::Shorten(to) => self.shortening.push(to),
            Input::MakeWay(to) => self.making_way = Some(to),
            Input::ShutDown(failure) => {
                self.leaving = true;
                self.command(now, &Command::ShutDown);
                self.outbox.fail_all(&failure);
                self.closed = Some(failure);
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
                if let (true, Some(failure)) = (wait, &self.closed) {
                    self.outbox.fail(connection, failure.clone());
                } else if wait {
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
    pub(super) fn command(&mut self, now: Now, command: &Command) {
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
