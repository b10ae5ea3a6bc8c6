//! What a step does to a state.

use std::sync::Arc;

use warden::{Arbiter, Code, Command, Connection, Refusal, Reply};

use super::action::Action;
use super::broken;
use super::law::Law;
use super::ledger::{Asked, Judge};
use super::scene::{Kind, OWNER, UNIT_MS, Who, caller};
use super::tally::Rule;
use super::world::{Small, World};

impl Small {
    pub fn step(&self, world: &mut World, action: Action) {
        match action {
            Action::Post(kind) => self.post(world, action, kind),
            Action::Again(who) => self.post_again(world, action, who),
            Action::Crash | Action::Reboot => {
                self.crash(world, action);
                self.start(world, action);
            }
            _ => {
                if action == Action::Tick {
                    world.now_ms += UNIT_MS;
                }
                let Some(command) = self.command(world, action) else {
                    return;
                };
                if let Err(refusal) = self.run(world, action, &command) {
                    let judge = &mut self.judge(world, action);
                    judge.breach(Law::SameId, || format!("{action:?}: {}", refusal.detail));
                }
            }
        }
    }

    /// The command that stands for an action; all of these are carried out where they are offered.
    fn command(&self, world: &mut World, action: Action) -> Option<Command> {
        let request = |world: &World, who| world.asked(who).map(|asked| asked.id.clone());
        let caller = caller();
        Some(match action {
            Action::Lose(who) => Command::ConnectionLost {
                request_id: request(world, who)?,
                connection: world.waiter(who)?.connection?,
            },
            Action::Undelivered(who) => Command::Undelivered {
                request_id: request(world, who)?,
                connection: world.lease(who)?.connection?,
            },
            Action::Look(who) => Command::Look {
                request_id: request(world, who)?,
                caller,
                connection: world.connection(),
            },
            Action::Renew(who) | Action::Loaded(who) => {
                let lease = world.lease(who)?;
                let loaded = action == Action::Loaded(who);
                Command::Renew {
                    lease_id: lease.id(),
                    token: lease.token,
                    operation: loaded.then(|| "inference".to_owned()),
                    caller,
                }
            }
            Action::Release(who) => {
                let lease = world.lease(who)?;
                Command::Release {
                    lease_id: lease.id(),
                    token: lease.token,
                    caller,
                }
            }
            Action::Cancel(who) => Command::Cancel {
                request_id: request(world, who)?,
                caller,
            },
            Action::OwnerGone(who) | Action::OwnerLeaves(who) => Command::OwnerGone {
                request_id: request(world, who)?,
                owner: OWNER,
                remains: matches!(action, Action::OwnerLeaves(_)),
            },
            Action::Force(who) => Command::ForceRelease {
                lease_id: world.lease(who)?.id(),
            },
            Action::ResetGone(who) => Command::Reset {
                owner_gone: vec![world.lease(who)?.id()],
            },
            Action::Drained => Command::Drained {
                lease_id: world.ledger.image.draining.first()?.lease.id(),
            },
            Action::Reset => Command::Reset {
                owner_gone: Vec::new(),
            },
            Action::ForceAll => Command::ForceReleaseAll { clear_queue: false },
            Action::ClearAll => Command::ForceReleaseAll { clear_queue: true },
            Action::Stop => Command::ShutDown,
            Action::Unplug => Command::ChangeGpus {
                gpus: self.scene.gpus[..1].to_vec(),
            },
            Action::Plug => Command::ChangeGpus {
                gpus: self.scene.gpus.clone(),
            },
            _ => Command::Tick,
        })
    }

    pub fn judge<'a>(&'a self, world: &'a mut World, action: Action) -> Judge<'a> {
        Judge {
            scene: &self.scene,
            laws: self.laws,
            action,
            ledger: &mut world.ledger,
        }
    }

    /// Carries a command out as the broker does it, with the judge looking on.
    fn run(&self, world: &mut World, action: Action, command: &Command) -> Result<Reply, Refusal> {
        let now = world.now();
        let mut judge = Judge {
            scene: &self.scene,
            laws: self.laws,
            action,
            ledger: &mut world.ledger,
        };
        broken::handle(
            self.fault,
            &mut world.arbiter,
            now,
            command,
            &mut |arbiter, event, change| judge.take_in(arbiter, event, change),
        )
    }

    fn post(&self, world: &mut World, action: Action, kind: Kind) {
        let who = Who {
            kind,
            number: world.next_number,
        };
        world.next_number += 1;
        world.posted |= 1 << kind as u8;
        let command = Command::Acquire {
            request: self.scene.request(who),
            caller: caller(),
            connection: world.connection(),
        };
        let waiting = world.ledger.image.waiters.len();
        let expected = world.arbiter.decide(world.now(), &command).answer;
        if let Ok(Reply::Waiting { request_id, .. }) = &expected {
            world.ledger.asked.push(Asked {
                who,
                id: request_id.clone(),
                at_ms: world.now_ms,
                patience: (self.scene.policy.max_bypass + 1) * (waiting as u32 + 1) - 1,
            });
        }
        let stopped = world.arbiter.is_shutting_down();
        let full = waiting >= self.scene.policy.max_queue;
        let reply = self.run(world, action, &command);
        let right = match &reply {
            Ok(Reply::Waiting {
                request_id,
                superseded: None,
            }) => kind == Kind::Nameless || *request_id == who.id(),
            Err(refusal) => {
                world.ledger.fired.saw(Rule::Refused);
                refusal.code == Code::ShuttingDown && stopped
                    || refusal.code == Code::QueueFull && full
            }
            _ => false,
        };
        if !right {
            let judge = &mut self.judge(world, action);
            judge.breach(Law::SameId, || format!("{who} is answered {reply:?}"));
        }
    }

    fn post_again(&self, world: &mut World, action: Action, who: Who) {
        let command = Command::Acquire {
            request: self.scene.request(who),
            caller: caller(),
            connection: world.connection(),
        };
        let (waiter, lease) = (world.waiter(who).cloned(), world.lease(who).cloned());
        let stopped = world.arbiter.is_shutting_down();
        let reply = self.run(world, action, &command);
        let right = match (&reply, &waiter, &lease) {
            (Ok(Reply::Granted { grant, .. }), None, Some(lease)) => {
                world.ledger.fired.saw(Rule::SameLease);
                grant.token == lease.token && grant.lease_id == lease.id()
            }
            (
                Ok(Reply::Waiting {
                    request_id,
                    superseded,
                }),
                Some(waiter),
                None,
            ) => {
                let older = waiter.connection.filter(|_| waiter.wait);
                if let Some(connection) = older {
                    world.ledger.fired.saw(Rule::Superseded);
                    self.lose_older(world, action, who, connection);
                }
                *request_id == waiter.id && *superseded == older
            }
            (Err(refusal), Some(_), None) => stopped && refusal.code == Code::ShuttingDown,
            _ => false,
        };
        if !right {
            let judge = &mut self.judge(world, action);
            judge.breach(Law::SameId, || format!("{who} is answered {reply:?}"));
        }
    }

    /// The connection that was superseded closes after the newer one has come: nothing happens.
    fn lose_older(&self, world: &mut World, action: Action, who: Who, connection: Connection) {
        let Some(request_id) = world.asked(who).map(|asked| asked.id.clone()) else {
            return;
        };
        let lost = Command::ConnectionLost {
            request_id,
            connection,
        };
        if !world.arbiter.decide(world.now(), &lost).events.is_empty() {
            let judge = &mut self.judge(world, action);
            judge.breach(Law::SameId, || {
                format!("{who} is lost with an older connection")
            });
        }
    }

    /// The broker is gone; what the next one begins with is the journal's.
    fn crash(&self, world: &mut World, action: Action) {
        let mut replayed = Arbiter::clone(&world.ledger.began);
        for event in world.ledger.facts() {
            replayed.apply(event);
        }
        let image = Arc::clone(&world.ledger.image);
        let restored = broken::restore(self.fault, Arbiter::from((*image).clone()));
        let same = replayed == world.arbiter && replayed.image() == *image;
        let same_image = self.fault.is_some() || restored.image() == *image;
        if !same || !same_image {
            let judge = &mut self.judge(world, action);
            judge.breach(Law::Replay, || {
                "another state than before the crash".to_owned()
            });
        }
        world.ledger.journal = None;
        world.ledger.image = Arc::new(restored.image());
        world.ledger.began = Arc::new(restored.clone());
        world.arbiter = restored;
    }

    pub fn start(&self, world: &mut World, action: Action) {
        let arbiter = &world.arbiter;
        let host_restarted = action == Action::Reboot;
        let (token, revision) = (arbiter.next_token(), arbiter.revision());
        let start = self.scene.start(token, revision, host_restarted);
        let reply = self.run(world, action, &Command::Start(start));
        if let Err(refusal) = reply {
            let judge = &mut self.judge(world, action);
            judge.breach(Law::Replay, || refusal.detail);
        }
    }
}
