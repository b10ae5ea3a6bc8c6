//! The same clients and the same faults in virtual time, before a broker without I/O: so that the
//! judge can be shown many histories, those of broken brokers among them.

mod befall;
pub mod broken;
mod server;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use self::broken::Broken;
use self::server::{Crashed, Line, Server};
use crate::actor::{Act, Actor};
use crate::chance::Chance;
use crate::record::{Answer, Call, ClientNo, History, MS, Mark, Ns, ONLOOKER, Op};
use crate::rules;

const CLIENTS: usize = 6;
/// How long clients begin anything.
const RUN: Ns = 5_000 * MS;
/// Everything that they began is over by then, or never will be.
const END: Ns = RUN + 20_000 * MS;
const SAMPLE_EVERY: Ns = 10 * MS;

#[derive(Debug)]
enum Happening {
    Wake(usize, ClientNo),
    Arrive(Line, Call),
    Answer(Line, Answer),
    HangUp(Line),
    Hung(Line),
    OwnerGone(ClientNo),
    Tick,
    Sample,
    Fault,
    /// There is room again after the disk was filled for that time.
    Room(u64),
    Start(Box<Crashed>, Ns),
}

/// A client's process.
struct Client {
    number: ClientNo,
    actor: Actor,
    /// The call that it waits for, by its place in the history.
    pending: Option<usize>,
    attempt: u64,
    /// The answer of that call is under way.
    answered: bool,
    /// Stopped until then.
    thaws: Ns,
    /// Its connection broke while it was stopped, which it learns when it uses it.
    stale: bool,
    over: bool,
}

struct World {
    now: Ns,
    chance: Chance,
    seed: u64,
    happenings: BinaryHeap<Reverse<(Ns, u64)>>,
    what: std::collections::HashMap<u64, Happening>,
    serial: u64,
    server: Option<Server>,
    /// The broker is stopped until then.
    stopped_until: Ns,
    /// The disk is full for that time.
    full: Option<u64>,
    fills: u64,
    /// How much too fast the wall clock is.
    wall_by_ms: i64,
    clients: Vec<Client>,
    numbers: ClientNo,
    /// Processes that are gone.
    gone: Vec<ClientNo>,
    ticks_at: Ns,
    history: History,
}

/// A history of this seed, before a broker that is broken so, or not.
pub fn run(seed: u64, broken: Option<Broken>) -> History {
    let mut world = World::new(seed, broken);
    world.live();
    world.ask_after_all();
    let last = world.server.as_ref().map(|server| server.sample(world.now));
    world.history.samples.extend(last);
    world.history
}

impl World {
    fn new(seed: u64, broken: Option<Broken>) -> Self {
        let history = History {
            seed,
            rules: rules::rules(),
            ops: Vec::new(),
            marks: Vec::new(),
            samples: Vec::new(),
        };
        let mut world = Self {
            now: MS,
            chance: Chance::new(seed, 0),
            seed,
            happenings: BinaryHeap::new(),
            what: std::collections::HashMap::new(),
            serial: 0,
            server: Some(Server::first(MS, broken)),
            stopped_until: 0,
            full: None,
            fills: 0,
            wall_by_ms: 0,
            clients: Vec::new(),
            numbers: 0,
            gone: Vec::new(),
            ticks_at: Ns::MAX,
            history,
        };
        for place in 0..CLIENTS {
            let client = world.client();
            let number = client.number;
            world.clients.push(client);
            world.after(0, Happening::Wake(place, number));
        }
        world.after(SAMPLE_EVERY, Happening::Sample);
        world.plan_fault();
        world
    }

    fn client(&mut self) -> Client {
        self.numbers += 1;
        Client {
            number: self.numbers,
            actor: Actor::new(self.numbers, self.seed, (self.numbers, None)),
            pending: None,
            attempt: 0,
            answered: false,
            thaws: 0,
            stale: false,
            over: false,
        }
    }

    fn after(&mut self, delay: Ns, happening: Happening) {
        self.serial += 1;
        self.happenings
            .push(Reverse((self.now + delay, self.serial)));
        self.what.insert(self.serial, happening);
    }

    /// How long a message takes.
    fn way(&mut self) -> Ns {
        self.chance.between(20_000, 400_000)
    }

    fn mark(&mut self, mark: Mark) {
        self.history.marks.push((self.now, mark));
    }

    fn live(&mut self) {
        while let Some(Reverse((at, serial))) = self.happenings.pop() {
            let Some(happening) = self.what.remove(&serial) else {
                continue;
            };
            self.now = at;
            if at >= END || self.is_over() {
                return;
            }
            self.happen(happening);
            self.plan_tick();
        }
    }

    fn is_over(&self) -> bool {
        let quiet = self.server.as_ref().is_some_and(Server::is_quiet);
        quiet && self.clients.iter().all(|client| client.over)
    }

    fn plan_tick(&mut self) {
        let deadline = self.server.as_ref().and_then(Server::next_deadline);
        // A broken one may say that something is due for ever.
        let deadline = deadline.unwrap_or(Ns::MAX).max(self.now + MS);
        if deadline < self.ticks_at {
            self.ticks_at = deadline;
            self.after(deadline - self.now, Happening::Tick);
        }
    }

    fn happen(&mut self, happening: Happening) {
        let stopped = self.now < self.stopped_until;
        match happening {
            // What is for the broker waits until that goes on.
            Happening::Arrive(..)
            | Happening::Hung(_)
            | Happening::OwnerGone(_)
            | Happening::Tick
            | Happening::Room(_)
            | Happening::Sample
                if stopped =>
            {
                self.after(self.stopped_until - self.now, happening);
            }
            Happening::Wake(place, number) => self.wake(place, number),
            Happening::Arrive(line, call) => self.arrive(line, &call),
            Happening::Answer(line, answer) => self.answer(line, answer),
            Happening::HangUp(line) => self.hang_up(line),
            Happening::Hung(line) => self.serve(|server, now| server.hung(now, line)),
            Happening::OwnerGone(pid) => {
                self.gone.push(pid);
                self.serve(|server, now| server.owner_gone(now, pid));
            }
            Happening::Tick => {
                self.ticks_at = Ns::MAX;
                self.serve(Server::tick);
            }
            Happening::Sample => {
                let sample = self.server.as_ref().map(|server| server.sample(self.now));
                self.history.samples.extend(sample);
                self.after(SAMPLE_EVERY, Happening::Sample);
            }
            Happening::Fault => self.fault(),
            Happening::Room(time) if self.full == Some(time) => {
                self.full = None;
                self.serve(Server::make_room);
                self.mark(Mark::DiskWorks);
            }
            Happening::Room(_) => {}
            Happening::Start(crashed, away) => {
                self.mark(Mark::BrokerStarted);
                self.server = Some(crashed.start(self.now, away, self.wall_by_ms));
                self.mark(Mark::BrokerReady);
                if self.full.take().is_some() {
                    self.mark(Mark::DiskWorks);
                }
                self.tell_who_is_gone();
            }
        }
    }

    fn tell_who_is_gone(&mut self) {
        for pid in self.gone.clone() {
            self.serve(|server, now| server.owner_gone(now, pid));
        }
    }

    fn serve(&mut self, act: impl FnOnce(&mut Server, Ns) -> Vec<(Line, Answer)>) {
        let now = self.now;
        let answers = self.server.as_mut().map(|server| act(server, now));
        for (line, answer) in answers.unwrap_or_default() {
            self.send(line, answer);
        }
    }

    fn send(&mut self, line: Line, answer: Answer) {
        let client = &mut self.clients[line.client];
        client.answered |= client.attempt == line.attempt;
        let way = self.way();
        self.after(way, Happening::Answer(line, answer));
    }

    fn wake(&mut self, place: usize, number: ClientNo) {
        let client = &mut self.clients[place];
        if client.number != number || client.over {
            return;
        }
        if self.now < client.thaws {
            let frozen = client.thaws - self.now;
            return self.after(frozen, Happening::Wake(place, number));
        }
        if self.now >= RUN {
            client.actor.stop();
        }
        match client.actor.next() {
            Act::Rest(rest) => {
                let rest = Ns::try_from(rest.as_nanos()).expect("rests are short");
                self.after(rest, Happening::Wake(place, number));
            }
            Act::End => {
                client.over = true;
                self.mark(Mark::ClientEnds(number));
                self.after(MS, Happening::OwnerGone(number));
            }
            Act::Send(call, hang_up) => {
                client.attempt += 1;
                client.answered = false;
                client.pending = Some(self.history.ops.len());
                let line = Line {
                    client: place,
                    attempt: client.attempt,
                };
                self.history.ops.push(Op {
                    client: number,
                    at: self.now,
                    call: call.clone(),
                    answer: None,
                });
                let way = self.way();
                self.after(way, Happening::Arrive(line, call));
                if let Some(patience) = hang_up {
                    let patience = Ns::try_from(patience.as_nanos()).expect("it is short");
                    self.after(patience, Happening::HangUp(line));
                }
            }
        }
    }

    fn arrive(&mut self, line: Line, call: &Call) {
        let client = &mut self.clients[line.client];
        if client.attempt == line.attempt && client.answered {
            // It was lost on its way, with the broker that it was for.
            return;
        }
        if std::mem::take(&mut client.stale) {
            return self.send(line, Answer::Lost);
        }
        match &self.server {
            Some(_) => self.serve(|server, now| server.call(now, line, call)),
            None => self.send(line, Answer::NotSent),
        }
    }

    fn answer(&mut self, line: Line, answer: Answer) {
        let client = &mut self.clients[line.client];
        let op = client.pending.filter(|_| client.attempt == line.attempt);
        let Some(op) = op else {
            // Nobody is there any more.
            let way = self.way();
            return self.after(way, Happening::Hung(line));
        };
        if self.now < client.thaws {
            let frozen = client.thaws - self.now;
            return self.after(frozen, Happening::Answer(line, answer));
        }
        client.pending = None;
        client.actor.heard(&answer);
        let number = client.number;
        self.history.ops[op].answer = Some((self.now, answer));
        self.after(0, Happening::Wake(line.client, number));
    }

    fn hang_up(&mut self, line: Line) {
        let client = &self.clients[line.client];
        if client.pending.is_none() || client.attempt != line.attempt {
            return;
        }
        if self.now < client.thaws {
            let frozen = client.thaws - self.now;
            return self.after(frozen, Happening::HangUp(line));
        }
        self.answer(line, Answer::HungUp);
        let way = self.way();
        self.after(way, Happening::Hung(line));
    }

    /// At the end every request is asked after, before and after one more crash.
    fn ask_after_all(&mut self) {
        let ids = self.history.ops.iter().filter_map(|op| match &op.call {
            Call::Lock(body) => body.request_id.clone(),
            _ => None,
        });
        let ids: std::collections::BTreeSet<_> = ids.collect();
        for round in 0..2 {
            if round == 1 {
                self.now += MS;
                self.mark(Mark::BrokerKilled);
                let crashed = self
                    .server
                    .take()
                    .map(|server| server.crashed(&mut self.chance));
                self.mark(Mark::BrokerStarted);
                let wall_by_ms = self.wall_by_ms;
                self.server = crashed.map(|crashed| crashed.start(self.now, 0, wall_by_ms));
                self.mark(Mark::BrokerReady);
                if self.full.take().is_some() {
                    self.mark(Mark::DiskWorks);
                }
            }
            for id in &ids {
                let Some(server) = &mut self.server else {
                    return;
                };
                let nobody = Line {
                    client: 0,
                    attempt: 0,
                };
                let call = Call::Look(id.clone());
                let answer = server.call(self.now, nobody, &call).pop();
                self.history.ops.push(Op {
                    client: ONLOOKER,
                    at: self.now,
                    call,
                    answer: answer.map(|(_, answer)| (self.now, answer)),
                });
            }
        }
    }
}
