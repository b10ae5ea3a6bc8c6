//! A broker without I/O: the arbiter itself, a journal in memory, and connections that are numbers.

use std::collections::HashMap;
use std::sync::Arc;

use warden::wire::{LockBody, RequestPhase, RequestState};
use warden::{
    Arbiter, Caller, Change, Code, Command, Connection, Door, Event, Grant, Now, Origin, Refusal,
    Reply, Request, RequestId, Start,
};

use super::broken::Broken;
use crate::chance::Chance;
use crate::record::{Answer, Call, MS, Ns, Row, Sample, Told};
use crate::rules;

/// What a wall clock shows at first that nobody set.
const WALL_MS: u64 = 1_800_000_000_000;

/// A call of a client, under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    pub client: usize,
    pub attempt: u64,
}

#[derive(Debug)]
pub struct Server {
    broken: Option<Broken>,
    arbiter: Arbiter,
    /// The state that it began with, and every fact since.
    base: Arbiter,
    journal: Vec<Event>,
    began: Ns,
    /// What its clock showed then, and for how long that has stood still since.
    began_ms: u64,
    stood: Ns,
    waiting: HashMap<Connection, Line>,
    lines: HashMap<Line, (Connection, Option<RequestId>)>,
    connections: u64,
    /// How much too fast the wall clock is, and was when this began.
    wall_by_ms: i64,
    began_by_ms: i64,
    full: Option<Full>,
}

/// Since the disk is full.
#[derive(Debug)]
struct Full {
    /// So much is in the journal.
    written: usize,
    /// What the status showed last.
    shown: Sample,
}

fn caller() -> Caller {
    Caller {
        door: Door::new("uid:0"),
        operator: true,
    }
}

impl Server {
    pub fn first(now: Ns, broken: Option<Broken>) -> Self {
        Self::begin(now, Arbiter::new(), broken, 0, 0)
    }

    fn begin(
        now: Ns,
        arbiter: Arbiter,
        broken: Option<Broken>,
        away_ms: u64,
        wall_by_ms: i64,
    ) -> Self {
        let before = arbiter.image();
        let mut server = Self {
            broken,
            began_ms: arbiter.clock_ms(),
            base: arbiter.clone(),
            arbiter,
            journal: Vec::new(),
            began: now,
            stood: 0,
            waiting: HashMap::new(),
            lines: HashMap::new(),
            connections: 0,
            wall_by_ms,
            began_by_ms: wall_by_ms,
            full: None,
        };
        let start = Command::Start(Start {
            token_floor: server.arbiter.next_token(),
            revision_floor: server.arbiter.revision(),
            host_restarted: false,
            gpus: rules::gpus(),
            policy: Box::new(rules::policy()),
        });
        server
            .handle(now, &start)
            .0
            .expect("a start is never refused");
        if let Some(broken) = broken {
            server.arbiter = broken.began(server.arbiter, &before, away_ms);
        }
        server
    }

    /// `kill -9`, and another that goes on from the journal.
    pub fn crashed(mut self, chance: &mut Chance) -> Crashed {
        if let Some(broken) = self.broken {
            broken.journal(&mut self.journal, chance);
        }
        if let Some(Full { written, .. }) = self.full {
            self.journal.truncate(written);
        }
        self.replayed(chance)
    }

    /// It makes way for another that goes on from the journal, and answers whoever waits.
    pub fn left(mut self, chance: &mut Chance) -> (Crashed, Vec<(Line, Answer)>) {
        let answer = match self.broken {
            Some(Broken::HangsUp) => Answer::Lost,
            _ => Answer::Refused(Code::ShuttingDown),
        };
        let waiting = std::mem::take(&mut self.waiting).into_values();
        let mut answers: Vec<_> = waiting.map(|line| (line, answer.clone())).collect();
        answers.sort_by_key(|(line, _)| line.client);
        (self.replayed(chance), answers)
    }

    fn replayed(self, chance: &mut Chance) -> Crashed {
        let mut arbiter = self.base;
        for event in &self.journal {
            arbiter.apply(event);
        }
        if let Some(broken) = self.broken {
            arbiter = broken.restored(arbiter, chance);
        }
        Crashed {
            arbiter,
            broken: self.broken,
        }
    }

    /// It was stopped for so long.
    pub fn was_stopped(&mut self, stopped: Ns) {
        if self.broken != Some(Broken::CountsStops) {
            self.stood += stopped - 250 * MS;
        }
    }

    /// The wall clock is set.
    pub fn set_wall_clock(&mut self, by_ms: i64) {
        self.wall_by_ms = by_ms;
    }

    /// Nothing more can be written.
    pub fn fill_disk(&mut self, now: Ns) {
        let shown = Sample {
            unwritable_since: Some(now.to_string()),
            ..self.sample(now)
        };
        let written = self.journal.len();
        self.full = Some(Full { written, shown });
        if self.broken != Some(Broken::GrantsUnwritten) {
            self.arbiter.suspend();
        }
    }

    /// There is room again.
    pub fn make_room(&mut self, now: Ns) -> Vec<(Line, Answer)> {
        self.full = None;
        self.arbiter.resume();
        self.tick(now)
    }

    fn now(&self, now: Ns) -> Now {
        let pace = self.broken.map_or(1, Broken::pace);
        let clock_ms = self.began_ms + (now - self.began - self.stood) * pace / MS;
        let set_by_ms = match self.broken {
            Some(Broken::ByTimeOfDay) => self.wall_by_ms - self.began_by_ms,
            _ => 0,
        };
        Now {
            // The arbiter's time never goes back.
            clock_ms: clock_ms
                .saturating_add_signed(set_by_ms)
                .max(self.arbiter.clock_ms()),
            wall_ms: (WALL_MS + now / MS).saturating_add_signed(self.wall_by_ms),
        }
    }

    /// When it next has something to do by itself.
    pub fn next_deadline(&self) -> Option<Ns> {
        let pace = self.broken.map_or(1, Broken::pace);
        let deadline_ms = self.arbiter.next_deadline()?;
        Some(self.began + self.stood + deadline_ms.saturating_sub(self.began_ms) * MS / pace + MS)
    }

    /// Nobody waits, and nothing is held.
    pub fn is_quiet(&self) -> bool {
        let held = self.arbiter.leases().next().is_some();
        let drains = self.arbiter.draining().next().is_some();
        self.arbiter.queue_depth() == 0 && !held && !drains
    }

    fn handle(
        &mut self,
        now: Ns,
        command: &Command,
    ) -> (Result<Reply, Refusal>, Vec<(Line, Answer)>) {
        let now = self.now(now);
        let (journal, waiting) = (&mut self.journal, &mut self.waiting);
        let mut answers = Vec::new();
        let reply = self
            .arbiter
            .handle(now, command, &mut |arbiter, event, change| {
                journal.push(event.clone());
                let told = match change {
                    Change::Granted { lease, .. } => {
                        let grant = arbiter.grant(now, lease);
                        lease.connection.map(|to| (to, granted(&grant)))
                    }
                    Change::WaiterEnded {
                        waiter, outcome, ..
                    } => waiter.connection.map(|to| (to, Answer::Ended(*outcome))),
                    _ => None,
                };
                if let Some((to, answer)) = told
                    && let Some(line) = waiting.remove(&to)
                {
                    answers.push((line, answer));
                }
            });
        (reply, answers)
    }

    /// A call arrives; what is to be answered to whom.
    pub fn call(&mut self, now: Ns, line: Line, call: &Call) -> Vec<(Line, Answer)> {
        let caller = caller();
        let command = match call {
            Call::Lock(body) => return self.lock(now, line, body),
            Call::Renew { lease_id, token } => Command::Renew {
                lease_id: lease_id.clone(),
                token: *token,
                operation: None,
                caller,
            },
            Call::Unlock { lease_id, token } => Command::Release {
                lease_id: lease_id.clone(),
                token: *token,
                caller,
            },
            Call::Cancel(id) => Command::Cancel {
                request_id: id.clone(),
                caller,
            },
            Call::Look(id) => Command::Look {
                request_id: id.clone(),
                caller,
                connection: self.connect(line, Some(id.clone())),
            },
        };
        let (reply, mut answers) = self.handle(now, &command);
        answers.push((line, told(reply)));
        answers
    }

    fn connect(&mut self, line: Line, request: Option<RequestId>) -> Connection {
        self.connections += 1;
        let connection = Connection(self.connections);
        self.lines.insert(line, (connection, request));
        connection
    }

    fn lock(&mut self, now: Ns, line: Line, body: &LockBody) -> Vec<(Line, Answer)> {
        let connection = self.connect(line, body.request_id.clone());
        let origin = Origin {
            door: caller().door,
            host: "here".into(),
        };
        let request = Request::parse(body, &origin, self.arbiter.policy(), &rules::gpus());
        let request = Arc::new(request.expect("clients ask for what there is"));
        let wait = request.wait;
        if wait {
            self.waiting.insert(connection, line);
        }
        let acquire = Command::Acquire {
            request,
            caller: caller(),
            connection,
        };
        let (reply, mut answers) = self.handle(now, &acquire);
        match reply {
            Ok(Reply::Waiting { request_id, .. }) if wait => {
                self.lines.insert(line, (connection, Some(request_id)));
            }
            Ok(Reply::Waiting { request_id, .. }) => {
                answers.extend(self.call(now, line, &Call::Look(request_id)));
            }
            Ok(Reply::Granted { grant, .. }) if !wait => {
                answers.extend(self.call(now, line, &Call::Look(grant.request_id)));
            }
            other => {
                self.waiting.remove(&connection);
                answers.push((line, told(other)));
            }
        }
        answers
    }

    /// The client closed this connection, or an answer could not be delivered on it.
    pub fn hung(&mut self, now: Ns, line: Line) -> Vec<(Line, Answer)> {
        let Some((connection, Some(request_id))) = self.lines.remove(&line) else {
            return Vec::new();
        };
        let command = match self.waiting.remove(&connection) {
            Some(_) => Command::ConnectionLost {
                request_id,
                connection,
            },
            None => Command::Undelivered {
                request_id,
                connection,
            },
        };
        self.handle(now, &command).1
    }

    /// A process is gone.
    pub fn owner_gone(&mut self, now: Ns, pid: u32) -> Vec<(Line, Answer)> {
        let image = self.arbiter.image();
        let waiters = image
            .waiters
            .into_iter()
            .map(|waiter| (waiter.id, waiter.owner));
        let leases = image.leases.into_iter();
        let owned = waiters.chain(leases.map(|lease| (lease.request_id, lease.owner)));
        let mut answers = Vec::new();
        for (request_id, owner) in owned {
            if let Some(owner) = owner.filter(|owner| owner.pid == pid) {
                let remains = false;
                let gone = Command::OwnerGone {
                    request_id,
                    owner,
                    remains,
                };
                answers.extend(self.handle(now, &gone).1);
            }
        }
        answers
    }

    pub fn tick(&mut self, now: Ns) -> Vec<(Line, Answer)> {
        self.handle(now, &Command::Tick).1
    }

    pub fn sample(&self, now: Ns) -> Sample {
        if let Some(Full { shown, .. }) = &self.full
            && self.broken != Some(Broken::GrantsUnwritten)
        {
            return Sample {
                at: now,
                answered: now,
                ..shown.clone()
            };
        }
        let waiters = self.arbiter.waiters();
        Sample {
            at: now,
            answered: now,
            revision: self.arbiter.revision(),
            granted: self.arbiter.counters().granted,
            unwritable_since: self
                .full
                .as_ref()
                .and_then(|full| full.shown.unwritable_since.clone()),
            ended: self.arbiter.counters().ended.clone(),
            leases: self
                .arbiter
                .leases()
                .map(warden::event::Lease::id)
                .collect(),
            queue: waiters
                .map(|waiter| Row {
                    request_id: waiter.id.clone(),
                    arrival: waiter.arrival,
                    priority: waiter.request.priority.0,
                    plain: is_plain(&waiter.request),
                    passed: waiter.passed,
                    connected: waiter.is_connected(),
                })
                .collect(),
        }
    }
}

fn is_plain(request: &Request) -> bool {
    request.vram_mib.is_none()
        && request.operation.as_str() == "inference"
        && request.wanted == warden::request::Wanted::Any(1)
}

/// A journal without a broker.
#[derive(Debug)]
pub struct Crashed {
    arbiter: Arbiter,
    broken: Option<Broken>,
}

impl Crashed {
    pub fn start(self, now: Ns, away: Ns, wall_by_ms: i64) -> Server {
        Server::begin(now, self.arbiter, self.broken, away / MS, wall_by_ms)
    }
}

fn granted(grant: &Grant) -> Answer {
    Answer::Granted(Told::from(grant.to_wire(&|_| String::new())))
}

/// An answer as the client reads it.
fn told(reply: Result<Reply, Refusal>) -> Answer {
    match reply {
        Ok(Reply::Granted { grant, .. }) => granted(&grant),
        Ok(Reply::Request(view)) => match (&view.grant, &view.state) {
            (Some(grant), _) => granted(grant),
            (
                None,
                RequestState {
                    state: RequestPhase::Waiting,
                    ..
                },
            ) => Answer::Waiting,
            (
                None,
                RequestState {
                    outcome: Some(outcome),
                    ..
                },
            ) => Answer::Ended(*outcome),
            _ => Answer::Strange(format!("{view:?}")),
        },
        Ok(Reply::Renewed { .. }) => Answer::Renewed,
        Ok(Reply::Ended(ended)) => Answer::Released(ended.outcome),
        Ok(other) => Answer::Strange(format!("{other:?}")),
        Err(refusal) => match (refusal.code, refusal.outcome) {
            (Code::LeaseEnded, Some(outcome)) => Answer::LeaseEnded(outcome),
            (Code::RequestEnded, Some(outcome)) => Answer::Ended(outcome),
            (code, _) => Answer::Refused(code),
        },
    }
}
