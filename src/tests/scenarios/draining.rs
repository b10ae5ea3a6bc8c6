//! What becomes of the GPUs of a lease that is taken from a living process.

use warden::wire::{GpuState, LockBody, Outcome, WhyCode};
use warden::{Command, Policy};

use super::{body, scene, scene_under, shared};
use crate::world::{World, about, caller, gpu, rfc3339};

/// A body whose lease lives with a process.
fn owned(id: &str) -> LockBody {
    LockBody {
        pid: Some(7),
        ..body(id)
    }
}

impl World<'_> {
    fn states(&self) -> Vec<GpuState> {
        let status = self.arbiter.status(self.now, &about(), &rfc3339);
        status.gpus.iter().map(|gpu| gpu.state).collect()
    }

    fn forces(&mut self, id: &str) {
        let (lease_id, _) = self.holds(id);
        self.run(&Command::ForceRelease { lease_id })
            .expect("it holds it");
    }

    fn cancels(&mut self, id: &str) {
        let cancel = Command::Cancel {
            request_id: id.into(),
            caller: caller(),
        };
        self.run(&cancel).expect("it is there");
    }

    fn drains(&mut self) -> warden::LeaseId {
        let drain = self.arbiter.draining().next();
        drain
            .map(|drain| drain.lease.id())
            .expect("something drains")
    }
}

#[test]
fn a_gpu_that_was_taken_is_granted_on_once_its_processes_are_gone() {
    scene(1, |world| {
        world.posts(&owned("holder"));
        world.posts(&body("waiter"));
        world.forces("holder");
        assert_eq!(world.outcome("holder"), Some(Outcome::Forced));
        assert_eq!(world.states(), [GpuState::Draining]);
        let why = world.why("waiter");
        assert_eq!(why.code, WhyCode::Draining);
        assert!(
            why.text.contains("client of holder, whose process 7"),
            "{}",
            why.text
        );
        world.wait(5_000);
        assert!(world.holders().is_empty());
        let lease_id = world.drains();
        world
            .run(&Command::Drained {
                lease_id: lease_id.clone(),
            })
            .expect("taken in");
        assert_eq!(world.holders(), ["waiter"]);
        world
            .run(&Command::Drained { lease_id })
            .expect("ignored: nothing drains");
        assert_eq!(world.states(), [GpuState::Held]);
    });
}

#[test]
fn a_gpu_drains_for_a_bounded_time() {
    scene(1, |world| {
        world.posts(&owned("holder"));
        world.posts(&body("waiter"));
        world.forces("holder");
        world.wait(9_999);
        assert!(world.holders().is_empty());
        world.wait(1);
        assert_eq!(world.holders(), ["waiter"]);
    });
}

#[test]
fn without_an_owner_or_where_it_was_given_back_nothing_drains() {
    scene(1, |world| {
        world.posts(&body("nobodys"));
        world.forces("nobodys");
        assert_eq!(world.states(), [GpuState::Free]);
        world.posts(&owned("gives-back"));
        world.releases("gives-back");
        assert_eq!(world.states(), [GpuState::Free]);
    });
    let never = Policy {
        drain_ms: 0,
        ..Policy::default()
    };
    scene_under(1, never, |world| {
        world.posts(&owned("holder"));
        world.forces("holder");
        assert_eq!(world.states(), [GpuState::Free]);
    });
}

#[test]
fn a_lease_that_is_cancelled_drains_unless_its_holder_never_heard_of_it() {
    scene(1, |world| {
        world.posts(&owned("holder"));
        world.cancels("holder");
        assert_eq!(world.outcome("holder"), Some(Outcome::Released));
        assert_eq!(world.states(), [GpuState::Draining]);
    });
    scene(1, |world| {
        let connection = world.posts(&owned("untold"));
        world.undelivered("untold", connection);
        world.cancels("untold");
        assert_eq!(world.states(), [GpuState::Free]);
    });
}

#[test]
fn an_expired_lease_drains_and_so_does_one_that_a_reset_takes() {
    scene(2, |world| {
        world.posts(&LockBody {
            ttl_ms: Some(1_000),
            ..owned("silent")
        });
        let connection = world.posts(&owned("untold"));
        world.undelivered("untold", connection);
        world.wait(1_000);
        assert_eq!(world.states(), [GpuState::Draining, GpuState::Held]);
        world
            .run(&Command::Reset {
                owner_gone: Vec::new(),
            })
            .expect("a reset");
        assert_eq!(world.states(), [GpuState::Draining, GpuState::Draining]);
        assert_eq!(world.outcome("untold"), Some(Outcome::Reset));
    });
    scene(1, |world| {
        world.posts(&owned("gone"));
        let (lease_id, _) = world.holds("gone");
        world
            .run(&Command::Reset {
                owner_gone: vec![lease_id],
            })
            .expect("a reset");
        assert_eq!(
            world.states(),
            [GpuState::Draining],
            "until what it left is gone"
        );
        let lease_id = world.drains();
        world.run(&Command::Drained { lease_id }).expect("taken in");
        assert_eq!(world.states(), [GpuState::Free]);
    });
}

#[test]
fn the_room_of_a_share_that_drains_is_nobodys() {
    scene(1, |world| {
        world.posts(&LockBody {
            pid: Some(7),
            ..shared("taken", 20_000)
        });
        world.posts(&shared("beside", 1_000));
        world.forces("taken");
        assert_eq!(world.states(), [GpuState::Held]);
        world.posts(&shared("large", 10_000));
        world.posts(&shared("small", 1_000));
        assert_eq!(world.holders(), ["beside", "small"]);
        world.wait(10_000);
        assert_eq!(world.holders(), ["beside", "small", "large"]);
    });
}

#[test]
fn draining_goes_on_over_a_restart_of_the_broker_and_ends_with_the_host() {
    scene(1, |world| {
        world.posts(&owned("holder"));
        world.posts(&body("waiter"));
        world.forces("holder");
        world.wait(4_000);
        world.crash(false);
        assert_eq!(world.states(), [GpuState::Draining]);
        world.posts(&body("waiter"));
        world.wait(5_999);
        assert!(world.holders().is_empty());
        world.wait(1);
        assert_eq!(world.holders(), ["waiter"]);
    });
    scene(1, |world| {
        world.posts(&owned("holder"));
        world.forces("holder");
        world.crash(true);
        assert_eq!(world.states(), [GpuState::Free]);
    });
}

#[test]
fn a_gpu_that_vanishes_while_it_drains_stays_until_it_is_drained() {
    scene(2, |world| {
        let gpu_ids = Some(vec![gpu(1, None).id]);
        world.posts(&LockBody {
            gpu_ids,
            ..owned("holder")
        });
        world.forces("holder");
        world.gpus.truncate(1);
        let gpus = world.gpus.clone();
        world
            .run(&Command::ChangeGpus { gpus })
            .expect("other GPUs");
        assert_eq!(world.states(), [GpuState::Free, GpuState::Gone]);
        let lease_id = world.drains();
        world.run(&Command::Drained { lease_id }).expect("taken in");
        assert_eq!(world.states(), [GpuState::Free]);
    });
}
