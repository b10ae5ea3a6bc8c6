//! What a client does next, by chance and by what it was answered. It neither sends nor waits:
//! real processes act it out over HTTP, and the simulation in virtual time.

use std::time::Duration;

use warden::RequestId;
use warden::wire::{LockBody, PriorityName};

use crate::chance::Chance;
use crate::record::{Answer, Call, ClientNo, Told};

/// The next thing to do.
#[derive(Debug)]
pub enum Act {
    /// Send this; close the connection if there is no answer after so long.
    Send(Call, Option<Duration>),
    Rest(Duration),
    /// It was told to stop, and has nothing any more.
    End,
}

#[derive(Debug)]
enum State {
    Idle,
    /// The request is to be posted, maybe again.
    Posting(Box<LockBody>),
    /// A poll waits; it is looked at from time to time.
    Polling(Box<LockBody>),
    /// It is to be cancelled.
    Cancelling(RequestId),
    Holding(Held),
    /// The lease is to be given back, maybe again.
    Leaving(Told, End),
    /// It is over; asked after once more.
    After(Call),
}

#[derive(Debug)]
struct Held {
    lease: Told,
    /// It renews so many times more, with a rest before each and before the end.
    renewals: u64,
    rest: Duration,
    rested: bool,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Unlock,
    Cancel,
    /// Says nothing more: the lease ends by its ttl.
    Abandon,
}

/// A client.
#[derive(Debug)]
pub struct Actor {
    number: ClientNo,
    /// The process that its leases may live with: pid and start time.
    process: (u32, Option<u64>),
    chance: Chance,
    state: State,
    posted: u64,
    rest: Option<Duration>,
    stopping: bool,
}

const SHARE_MIB: u64 = 9_000;

impl Actor {
    pub fn new(number: ClientNo, seed: u64, process: (u32, Option<u64>)) -> Self {
        Self {
            number,
            process,
            chance: Chance::new(seed, u64::from(number) + 1),
            state: State::Idle,
            posted: 0,
            rest: None,
            stopping: false,
        }
    }

    /// Ends what it has begun, and begins nothing more.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    pub fn next(&mut self) -> Act {
        if let Some(rest) = self.rest.take() {
            return Act::Rest(rest);
        }
        match &mut self.state {
            State::Idle if self.stopping => Act::End,
            State::Idle => {
                let body = Box::new(self.body());
                self.state = State::Posting(body);
                self.next()
            }
            State::Posting(body) => {
                let hang_up = !self.stopping && self.chance.percent(8);
                let after = hang_up.then(|| Duration::from_micros(self.chance.below(25_000)));
                Act::Send(Call::Lock(body.clone()), after)
            }
            State::Polling(body) => match body.request_id.clone() {
                Some(id) => Act::Send(Call::Look(id), None),
                None => unreachable!("polls have an id"),
            },
            State::Cancelling(id) => Act::Send(Call::Cancel(id.clone()), None),
            State::Holding(held) if !held.rested => {
                held.rested = true;
                Act::Rest(held.rest)
            }
            State::Holding(held) if held.renewals > 0 && !self.stopping => {
                let (lease_id, token) = (held.lease.lease_id.clone(), held.lease.token);
                Act::Send(Call::Renew { lease_id, token }, None)
            }
            State::Holding(held) => {
                self.state = match held.end {
                    End::Abandon => State::Idle,
                    end => State::Leaving(held.lease.clone(), end),
                };
                self.next()
            }
            State::Leaving(told, end) => Act::Send(leave(told, *end), None),
            State::After(call) => Act::Send(call.clone(), None),
        }
    }

    /// What came of what [`Self::next`] said last, if that was to be sent.
    pub fn heard(&mut self, answer: &Answer) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        self.state = match state {
            State::Idle => State::Idle,
            State::Posting(body) => self.heard_of_lock(body, answer),
            State::Polling(body) => match answer {
                Answer::Granted(told) => self.hold(told.clone()),
                answer if answer.is_passing() || *answer == Answer::Waiting => {
                    self.rest(1, 12);
                    State::Polling(body)
                }
                _ => State::Idle,
            },
            State::Cancelling(id) => match answer {
                answer if answer.is_passing() => {
                    self.rest(1, 12);
                    State::Cancelling(id)
                }
                _ => State::Idle,
            },
            State::Holding(held) => self.heard_of_renewal(held, answer),
            State::Leaving(told, end) => match answer {
                answer if answer.is_passing() => {
                    self.rest(1, 12);
                    State::Leaving(told, end)
                }
                _ => self.ask_after(&told),
            },
            State::After(_) => State::Idle,
        };
    }

    fn rest(&mut self, from_ms: u64, to_ms: u64) {
        let micros = self.chance.between(from_ms * 1_000, to_ms * 1_000);
        self.rest = Some(Duration::from_micros(micros));
    }

    /// A request, most of them of the plainest kind.
    fn body(&mut self) -> LockBody {
        self.posted += 1;
        let chance = &mut self.chance;
        let wait = !chance.percent(12);
        let named = !wait || chance.percent(88);
        // A poll that nobody looks at would outlive the run by a minute.
        let owned = !wait || chance.percent(75);
        let kind = chance.weighted(&[(65, 0), (12, 1), (15, 2), (8, 3)]);
        LockBody {
            client: format!("client-{}", self.number),
            priority: Some(PriorityName::Number(chance.weighted(&[
                (60, 15),
                (20, 10),
                (10, 0),
                (10, 20),
            ]))),
            operation: (kind == 3).then(|| "model_load".to_owned()),
            gpus: (kind == 1).then_some(2),
            vram_mib: (kind == 2).then_some(SHARE_MIB),
            timeout_ms: Some(match chance.percent(80) {
                true => 120_000,
                false => chance.below(60),
            }),
            ttl_ms: Some(chance.between(1_000, 2_000)),
            pid: owned.then_some(self.process.0),
            pid_start: self.process.1.filter(|_| owned),
            request_id: named.then(|| format!("r{}-{}", self.number, self.posted).into()),
            wait: (!wait).then_some(false),
            ..LockBody::default()
        }
    }

    fn heard_of_lock(&mut self, body: Box<LockBody>, answer: &Answer) -> State {
        match answer {
            Answer::Granted(told) => self.hold(told.clone()),
            Answer::Waiting => {
                self.rest(1, 12);
                State::Polling(body)
            }
            Answer::Lost | Answer::HungUp => match body.request_id.clone() {
                // Nobody will ever know of it again.
                None => State::Idle,
                Some(_) if matches!(answer, Answer::Lost) => self.again(body),
                Some(id) => match self.chance.below(10) {
                    0 => State::Idle,
                    1 => State::Cancelling(id),
                    2 => {
                        self.rest(20, 400);
                        State::Posting(body)
                    }
                    _ => self.again(body),
                },
            },
            answer if answer.is_passing() => self.again(body),
            _ => State::Idle,
        }
    }

    fn again(&mut self, body: Box<LockBody>) -> State {
        self.rest(1, 12);
        State::Posting(body)
    }

    fn hold(&mut self, lease: Told) -> State {
        let chance = &mut self.chance;
        // Most are short, so that much happens; a few outlive their ttl by renewals.
        let (renewals, rest_ms) = chance.weighted(&[(600, (0, 8)), (393, (1, 8)), (7, (5, 500))]);
        let rest = Duration::from_micros(chance.below(rest_ms * 1_000));
        let end = chance.weighted(&[(915, End::Unlock), (80, End::Cancel), (5, End::Abandon)]);
        // Without an id of its own there is nothing to cancel.
        let end = match end {
            End::Cancel if !is_own(&lease.request_id) => End::Unlock,
            end => end,
        };
        State::Holding(Held {
            lease,
            renewals,
            rest,
            rested: false,
            end,
        })
    }

    fn heard_of_renewal(&mut self, mut held: Held, answer: &Answer) -> State {
        match answer {
            Answer::Renewed => {
                held.renewals -= 1;
                held.rested = false;
                State::Holding(held)
            }
            answer if answer.is_passing() => {
                self.rest(1, 12);
                State::Holding(held)
            }
            _ => State::Idle,
        }
    }

    /// Sometimes a lease that is over is used once more.
    fn ask_after(&mut self, told: &Told) -> State {
        let (lease_id, token) = (told.lease_id.clone(), told.token);
        match self.chance.below(10) {
            0 => State::After(Call::Renew { lease_id, token }),
            1 => State::After(Call::Unlock { lease_id, token }),
            2 if is_own(&told.request_id) => State::After(Call::Look(told.request_id.clone())),
            _ => State::Idle,
        }
    }
}

fn leave(told: &Told, end: End) -> Call {
    match end {
        End::Cancel => Call::Cancel(told.request_id.clone()),
        End::Unlock | End::Abandon => Call::Unlock {
            lease_id: told.lease_id.clone(),
            token: told.token,
        },
    }
}

/// Whether an id was made here: nobody else can be asked about.
fn is_own(id: &RequestId) -> bool {
    id.as_str().starts_with('r')
}
