//! What survives a broker, a host, other GPUs and other rules.

use warden::wire::{GpuState, LockBody, Outcome, WhyCode};
use warden::{Code, Command, GpuId, Policy};

use super::{body, load, poll, refused, scene, scene_under, shared, urgent};
use crate::world::{about, gpu, rfc3339};

#[test]
fn a_restored_lease_has_its_whole_ttl() {
    scene(1, |world| {
        world.posts(&LockBody {
            ttl_ms: Some(5_000),
            ..body("holder")
        });
        world.wait(4_000);
        world.crash(false);
        world.wait(4_999);
        assert_eq!(world.holders(), ["holder"]);
        world.wait(1);
        assert_eq!(world.outcome("holder"), Some(Outcome::Expired));
    });
}

#[test]
fn the_fastest_to_reconnect_gains_nothing() {
    scene(1, |world| {
        for body in [body("holder"), body("slow"), body("fast")] {
            world.posts(&body);
        }
        world.crash(false);
        world.posts(&body("fast"));
        world.releases("holder");
        assert!(
            world.holders().is_empty(),
            "the GPU waits for the one whose turn it is"
        );
        world.wait(999);
        world.posts(&body("slow"));
        assert_eq!(world.holders(), ["slow"]);
    });
    scene(1, |world| {
        for body in [body("holder"), body("slow"), body("fast")] {
            world.posts(&body);
        }
        world.crash(false);
        world.posts(&body("fast"));
        world.releases("holder");
        world.wait(1_000);
        assert_eq!(world.holders(), ["fast"]);
        assert_eq!(world.passed("slow"), 0);
        world.wait(9_000);
        assert_eq!(
            world.outcome("slow"),
            Some(Outcome::ClientGone),
            "the grace begins anew"
        );
    });
}

#[test]
fn a_waiter_without_an_id_ends_with_its_broker() {
    scene(1, |world| {
        world.posts(&body("holder"));
        world.posts(&LockBody {
            request_id: None,
            client: "nameless".to_owned(),
            ..body("x")
        });
        world.posts(&poll("polled"));
        world.crash(false);
        assert_eq!(world.queue(), ["polled"]);
        world.wait(1_000);
        world.releases("holder");
        assert_eq!(world.holders(), ["polled"], "a poll needs no connection");
    });
}

#[test]
fn the_acquire_timeout_goes_on_over_a_restart() {
    scene(1, |world| {
        world.posts(&body("holder"));
        let brief = LockBody {
            timeout_ms: Some(5_000),
            ..body("brief")
        };
        world.posts(&brief);
        world.wait(3_000);
        world.crash(false);
        world.posts(&brief);
        world.wait(2_000);
        assert_eq!(world.outcome("brief"), Some(Outcome::TimedOut));
    });
}

#[test]
fn a_lease_that_may_have_been_delivered_lives_on() {
    scene(2, |world| {
        world.posts(&body("told"));
        let connection = world.posts(&body("untold"));
        world.undelivered("untold", connection);
        world.crash(false);
        world.wait(10_000);
        assert_eq!(world.holders(), ["told"]);
    });
}

#[test]
fn a_host_that_restarted_has_no_holders() {
    scene(1, |world| {
        world.posts(&body("holder"));
        world.posts(&body("waiter"));
        world.crash(true);
        assert_eq!(world.outcome("holder"), Some(Outcome::HostRestarted));
        world.posts(&body("waiter"));
        assert_eq!(world.holders(), ["waiter"]);
    });
}

#[test]
fn nothing_is_granted_while_shutting_down() {
    scene(1, |world| {
        for body in [body("holder"), body("waiter")] {
            world.posts(&body);
        }
        world.run(&Command::ShutDown).expect("taken in");
        refused(world.post(&body("new")), Code::ShuttingDown);
        refused(world.post(&body("waiter")), Code::ShuttingDown);
        world.releases("holder");
        assert!(world.holders().is_empty());
        assert_eq!(world.why("waiter").code, warden::wire::WhyCode::Paused);
        world.crash(false);
        world.posts(&body("waiter"));
        assert_eq!(world.holders(), ["waiter"]);
    });
}

#[test]
fn other_gpus_end_what_they_cannot_serve() {
    scene(2, |world| {
        let on_1 = |id| LockBody {
            gpu_ids: Some(vec![GpuId::from("GPU-1")]),
            ..body(id)
        };
        let two = LockBody {
            gpus: Some(2),
            ..body("two")
        };
        for body in [
            body("zero"),
            on_1("one"),
            on_1("waits for one"),
            two,
            body("any"),
        ] {
            let id = body
                .request_id
                .clone()
                .map(|id| id.as_str().replace(' ', "-"));
            world.posts(&LockBody {
                request_id: id.map(Into::into),
                ..body
            });
        }
        world.gpus.remove(1);
        world
            .run(&Command::ChangeGpus {
                gpus: world.gpus.clone(),
            })
            .expect("taken in");
        assert_eq!(world.queue(), ["any"]);
        assert_eq!(world.outcome("two"), Some(Outcome::Impossible));
        assert_eq!(world.outcome("waits-for-one"), Some(Outcome::Impossible));
        assert_eq!(
            world.holders(),
            ["zero", "one"],
            "a GPU that is gone keeps its lease"
        );
        let status = world.arbiter.status(world.now, &about(), &rfc3339);
        assert_eq!(status.gpus[1].state, GpuState::Gone);
        world.check_picture();
        world.releases("one");
        let status = world.arbiter.status(world.now, &about(), &rfc3339);
        assert_eq!(status.gpus.len(), 1);
        world.gpus.insert(0, gpu(7, None));
        world
            .run(&Command::ChangeGpus {
                gpus: world.gpus.clone(),
            })
            .expect("taken in");
        assert_eq!(world.gpus_of("any"), ["GPU-7"]);
    });
}

#[test]
fn other_rules_hold_at_once() {
    let strict = Policy {
        max_bypass: 8,
        ..Policy::default()
    };
    scene_under(1, strict.clone(), |world| {
        for body in [
            urgent("mic-0"),
            body("patient"),
            urgent("mic-1"),
            urgent("mic-2"),
        ] {
            world.posts(&body);
        }
        world.releases("mic-0");
        assert_eq!(world.queue(), ["mic-2", "patient"]);
        let policy = Box::new(Policy {
            max_bypass: 1,
            ..strict
        });
        world
            .run(&Command::ChangePolicy { policy })
            .expect("taken in");
        assert_eq!(
            world.queue(),
            ["patient", "mic-2"],
            "passed once is overdue now"
        );
    });
}

#[test]
fn a_lowered_limit_ends_neither_a_lease_nor_a_waiter() {
    scene(2, |world| {
        for body in [load("load-0"), shared("share-0", 20_000), load("load-1")] {
            world.posts(&body);
        }
        // A poll's client comes by itself; it need not be connected to be served.
        let share = LockBody {
            wait: Some(false),
            ..shared("share-1", 20_000)
        };
        for body in [share, body("patient")] {
            world.posts(&body);
        }
        let holders = world.holders();
        let queue = world.queue();
        let tight = Policy {
            operations: [].into(),
            priorities: [].into(),
            max_bypass: 1,
            max_queue: 1,
            default_ttl_ms: 1_000,
            max_ttl_ms: 1_000,
            vram_reserve_mib: 10_000,
            ..Policy::default()
        };
        world.policy = tight.clone();
        let policy = Box::new(tight);
        world
            .run(&Command::ChangePolicy { policy })
            .expect("taken in");
        assert_eq!((world.holders(), world.queue()), (holders, queue));
        let (connection, more) = (world.connection(), body("more"));
        refused(
            world.post_on(
                &LockBody {
                    ttl_ms: None,
                    ..more
                },
                connection,
            ),
            Code::QueueFull,
        );
        let why = world.why("share-1");
        assert_eq!(why.code, WhyCode::Paused);
        assert!(why.text.contains("reserve of 10000 MiB"), "{}", why.text);
        // The one that cannot be served has nothing kept for it, though it waits the longest.
        world.releases("share-0");
        assert_eq!(world.holders(), ["load-0", "patient"]);
        world.crash(false);
        assert_eq!(world.queue(), ["load-1", "share-1"]);
        // Who comes back has its place, though it could not be posted anew.
        refused(world.post(&load("load-1")), Code::InvalidRequest);
        world.comes_back(&load("load-1")).expect("it waits");
        refused(world.comes_back(&load("load-9")), Code::InvalidRequest);
        let other = LockBody {
            gpus: Some(2),
            ..load("load-1")
        };
        refused(world.comes_back(&other), Code::RequestConflict);

        let policy = Box::new(Policy::default());
        world
            .run(&Command::ChangePolicy { policy })
            .expect("taken in");
        world.releases("patient");
        world.holds("share-1");
    });
}
