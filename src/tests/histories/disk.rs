//! What the end of a broker and what a disk do to a history.

use warden::event::Fact;
use warden::{Command, RequestId};

use super::Step;
use crate::world::World;

impl World<'_> {
    /// A broker ends, and another begins.
    pub(super) fn step_restart(&mut self, step: &Step) {
        if let Step::Crash { host_restarted } = step {
            self.crash(*host_restarted);
            if !self.arbiter.image().waiters.is_empty() {
                self.coverage.saw("waiters over a restart");
            }
            return;
        }
        self.run(&Command::ShutDown).expect("taken in");
        self.wait(100);
        self.check_picture();
        self.crash(false);
    }

    /// What a disk does.
    pub(super) fn step_disk(&mut self, step: &Step) {
        match step {
            Step::Suspend => {
                self.suspend();
                if self.arbiter.queue_depth() > 0 {
                    self.coverage.saw("waiters while nothing is durable");
                }
            }
            Step::Recover => self.recover(),
            Step::Withdraw(which) => {
                // Only what was posted just now is ever withdrawn.
                let last = self.bodies.last().and_then(|body| body.request_id.clone());
                let last = last.filter(|_| which % 2 == 0);
                if let Some(request_id) = last.filter(|id| self.is_live(id)) {
                    let id = request_id.to_string();
                    self.must(&Command::Withdraw { request_id });
                    self.forget(&id);
                }
            }
            _ => {
                self.take_fact(Fact::Doubted { max_ttl_ms: 5_000 });
                self.policy.max_ttl_ms = 60_000;
                self.policy.default_ttl_ms = 60_000;
                self.must(&Command::ChangePolicy {
                    policy: Box::new(self.policy.clone()),
                });
            }
        }
    }

    fn is_live(&self, id: &RequestId) -> bool {
        let mut leases = self.arbiter.leases();
        self.arbiter.waiter(id).is_some() || leases.any(|lease| lease.request_id == *id)
    }
}
