//! What befalls the simulated broker and its clients.

use super::server::Line;
use super::{CLIENTS, Happening, RUN, World};
use crate::record::{Answer, MS, Mark};

impl World {
    pub(super) fn plan_fault(&mut self) {
        // Sometimes long enough for a lease to run out, which it never does while brokers crash.
        let longest_ms = self.chance.weighted(&[(6, 300), (1, 2_500)]);
        let delay = self.chance.between(20 * MS, longest_ms * MS);
        self.after(delay, Happening::Fault);
    }

    pub(super) fn fault(&mut self) {
        if self.now >= RUN {
            return;
        }
        self.plan_fault();
        let place = self.chance.below(CLIENTS as u64) as usize;
        match self.chance.below(100) {
            0..10 => self.kill_client(place),
            10..30 => self.clients[place].thaws = self.now + self.chance.between(50, 2_500) * MS,
            30..40 => self.stop(),
            40..50 => self.become_another(),
            50..60 => self.fill_disk(),
            60..65 => self.set_wall_clock(),
            _ => self.crash(),
        }
    }

    /// Another program goes on, from one instant to the next.
    fn become_another(&mut self) {
        if self.now < self.stopped_until || self.full.is_some() {
            return;
        }
        let Some(server) = self.server.take() else {
            return;
        };
        self.mark(Mark::ReplaceAsked);
        let (left, answers) = server.left(&mut self.chance);
        self.server = Some(left.start(self.now, 0, self.wall_by_ms));
        self.mark(Mark::Replaced);
        for (line, answer) in answers {
            self.send(line, answer);
        }
        self.tell_who_is_gone();
    }

    fn fill_disk(&mut self) {
        let now = self.now;
        if let Some(server) = &mut self.server
            && self.full.is_none()
            && now >= self.stopped_until
        {
            server.fill_disk(now);
            self.fills += 1;
            self.full = Some(self.fills);
            self.mark(Mark::DiskFills);
            let room = self.chance.between(50, 2_500) * MS;
            self.after(room, Happening::Room(self.fills));
        }
    }

    fn set_wall_clock(&mut self) {
        let by_ms =
            self.chance
                .weighted(&[(1, 1_000), (1, -1_000), (1, 3_600_000), (1, -3_600_000)]);
        self.wall_by_ms += by_ms;
        self.mark(Mark::WallClockSet { by_ms });
        if let Some(server) = &mut self.server {
            server.set_wall_clock(self.wall_by_ms);
        }
    }

    fn stop(&mut self) {
        let stopped = self.chance.between(1_100, 2_500) * MS;
        let until = self.now + stopped;
        // One fault at a time.
        if let Some(server) = &mut self.server
            && self.now >= self.stopped_until
        {
            server.was_stopped(stopped);
            self.stopped_until = until;
            self.mark(Mark::BrokerStopped { until });
        }
    }

    fn crash(&mut self) {
        if self.now < self.stopped_until {
            return;
        }
        let Some(server) = self.server.take() else {
            return;
        };
        self.mark(Mark::BrokerKilled);
        let crashed = server.crashed(&mut self.chance);
        let away = self.chance.between(5, 300) * MS;
        self.after(away, Happening::Start(Box::new(crashed), away));
        for place in 0..self.clients.len() {
            let client = &mut self.clients[place];
            client.stale = self.now < client.thaws;
            if client.pending.is_some() && !client.answered {
                let line = Line {
                    client: place,
                    attempt: client.attempt,
                };
                self.send(line, Answer::Lost);
            }
        }
    }

    fn kill_client(&mut self, place: usize) {
        let old = &self.clients[place];
        if old.over {
            return;
        }
        let (number, waits) = (old.number, old.pending.is_some());
        let line = Line {
            client: place,
            attempt: old.attempt,
        };
        self.mark(Mark::ClientEnds(number));
        self.after(MS, Happening::OwnerGone(number));
        if waits {
            self.after(MS, Happening::Hung(line));
        }
        let mut client = self.client();
        // Answers to the old process are not the new one's.
        client.attempt = line.attempt + 1;
        let number = client.number;
        self.clients[place] = client;
        self.after(5 * MS, Happening::Wake(place, number));
    }
}
