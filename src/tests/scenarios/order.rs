//! "Order, precisely".

use warden::wire::{GpuState, LockBody, WhyCode};
use warden::{GpuId, Policy};

use super::{body, load, scene, scene_under, shared, urgent};
use crate::world::{World, about, rfc3339};

fn two(id: &str) -> LockBody {
    LockBody {
        gpus: Some(2),
        ..body(id)
    }
}

fn on(id: &str, gpu: u32) -> LockBody {
    LockBody {
        gpu_ids: Some(vec![GpuId::from(format!("GPU-{gpu}"))]),
        ..body(id)
    }
}

fn states(world: &World) -> Vec<GpuState> {
    let status = world.arbiter.status(world.now, &about(), &rfc3339);
    status.gpus.iter().map(|gpu| gpu.state).collect()
}

#[test]
fn by_priority_then_by_arrival() {
    scene(1, |world| {
        for body in [body("holder"), body("first"), body("second"), urgent("mic")] {
            world.posts(&body);
        }
        assert_eq!(world.queue(), ["mic", "first", "second"]);
        for next in ["mic", "first", "second"] {
            let holder = world.holders().remove(0);
            world.releases(&holder);
            assert_eq!(world.holders(), [next]);
        }
    });
}

#[test]
fn what_one_cannot_use_goes_to_the_next_that_it_fits() {
    scene(2, |world| {
        for body in [body("a"), body("b"), two("both"), body("one")] {
            world.posts(&body);
        }
        world.releases("a");
        assert_eq!(world.holders(), ["b", "one"], "backfill is required");
        assert_eq!(world.passed("both"), 1);
        world.releases("b");
        assert_eq!(world.holders(), ["one"], "all or none");
        world.releases("one");
        assert_eq!(world.gpus_of("both"), ["GPU-0", "GPU-1"]);
    });
}

#[test]
fn urgent_work_keeps_eight_grants_of_nine() {
    scene(1, |world| {
        world.posts(&urgent("mic-0"));
        world.posts(&body("patient"));
        for number in 1..=30 {
            world.posts(&urgent(&format!("mic-{number}")));
        }
        for grant in 1..=8 {
            let holder = world.holders().remove(0);
            world.releases(&holder);
            assert_eq!(world.passed("patient"), grant);
        }
        assert_eq!(world.queue()[0], "patient", "it is overdue");
        world.releases("mic-8");
        assert_eq!(world.holders(), ["patient"]);
    });
}

#[test]
fn only_the_longest_waiting_is_passed() {
    scene(1, |world| {
        for body in [body("holder"), body("first"), body("second"), urgent("mic")] {
            world.posts(&body);
        }
        world.releases("holder");
        assert_eq!((world.passed("first"), world.passed("second")), (1, 0));
    });
}

#[test]
fn one_that_could_not_use_it_is_not_passed() {
    scene(2, |world| {
        for body in [body("a"), body("b"), on("zero", 0), on("one", 1)] {
            world.posts(&body);
        }
        world.releases("b");
        assert_eq!(world.gpus_of("one"), ["GPU-1"]);
        assert_eq!(world.passed("zero"), 0);
    });
}

#[test]
fn whatever_an_overdue_waiter_could_use_is_kept_for_it() {
    let policy = Policy {
        max_bypass: 1,
        ..Policy::default()
    };
    scene_under(2, policy, |world| {
        for body in [
            body("a"),
            body("b"),
            two("both"),
            body("c"),
            body("d"),
            shared("share", 1_000),
        ] {
            world.posts(&body);
        }
        world.releases("a");
        assert_eq!(world.holders(), ["b", "c"]);
        world.releases("b");
        assert_eq!(world.holders(), ["c"], "GPU 1 is kept, from shares too");
        assert_eq!(states(world), [GpuState::Held, GpuState::Kept]);
        assert_eq!(world.why("d").code, WhyCode::Kept);
        assert_eq!(world.why("d").behind[0].as_str(), "both");
        world.releases("c");
        assert_eq!(world.holders(), ["both"]);
    });
}

#[test]
fn an_overdue_model_load_is_kept_the_slot_first() {
    let policy = Policy {
        max_bypass: 1,
        ..Policy::default()
    };
    scene_under(2, policy, |world| {
        for body in [load("loading"), load("overdue"), body("a"), body("b")] {
            world.posts(&body);
        }
        assert_eq!(world.passed("overdue"), 1, "backfill passed it");
        world.posts(&load("later"));
        world.releases("a");
        assert_eq!(
            world.holders(),
            ["loading", "b"],
            "GPUs are not kept while the slot is taken"
        );
        assert_eq!(world.why("later").code, WhyCode::Turn);
        world.releases("b");
        assert_eq!(world.why("later").code, WhyCode::ModelSlot);
        world.posts(&body("c"));
        assert_eq!(world.holders(), ["loading", "c"]);
        world.posts(&body("d"));
        assert!(world.renews("loading", Some("inference")).is_ok());
        world.releases("c");
        assert_eq!(
            world.holders(),
            ["loading", "overdue"],
            "the freed slot and GPU go to it"
        );
    });
}

#[test]
fn a_model_load_without_the_slot_does_not_bear_the_passes_of_all() {
    let policy = Policy {
        max_bypass: 1,
        ..Policy::default()
    };
    scene_under(2, policy, |world| {
        for body in [load("loading"), urgent("mic-0"), load("blocked")] {
            world.posts(&body);
        }
        world.posts(&body("patient"));
        for (number, passed) in [(1, ["blocked"].as_slice()), (2, &["blocked", "patient"])] {
            world.posts(&urgent(&format!("mic-{number}")));
            world.releases(&format!("mic-{}", number - 1));
            for id in passed {
                assert_eq!(world.passed(id), 1, "{id} after {number} passes");
            }
        }
        world.posts(&urgent("mic-3"));
        world.releases("mic-2");
        assert_eq!(world.holders(), ["loading", "patient"]);
    });
}

#[test]
fn model_loads_run_one_at_a_time() {
    scene(3, |world| {
        for body in [load("first"), load("second"), body("other")] {
            world.posts(&body);
        }
        assert_eq!(world.holders(), ["first", "other"]);
        assert_eq!(world.why("second").code, WhyCode::ModelSlot);
        world
            .renews("first", Some("inference"))
            .expect("it has loaded");
        assert_eq!(world.holders(), ["first", "other", "second"]);
    });
}

#[test]
fn exclusive_leases_take_the_lowest_index() {
    scene(4, |world| {
        for name in ["a", "b", "c", "d"] {
            world.posts(&body(name));
        }
        for name in ["d", "b", "a"] {
            world.releases(name);
        }
        world.posts(&two("two"));
        assert_eq!(world.gpus_of("two"), ["GPU-0", "GPU-1"]);
    });
}

#[test]
fn shares_take_the_shared_gpu_with_the_least_room() {
    scene(3, |world| {
        world.posts(&shared("large", 20_000));
        world.posts(&shared("medium", 10_000));
        assert_eq!(
            world.gpus_of("medium"),
            ["GPU-1"],
            "no room beside the large one"
        );
        world.posts(&shared("small", 4_000));
        assert_eq!(world.gpus_of("small"), ["GPU-0"], "the tightest");
        world.posts(&shared("next", 1_000));
        assert_eq!(
            world.gpus_of("next"),
            ["GPU-1"],
            "24,064 MiB are full at 24,000"
        );
        world.posts(&shared("whole", 24_064));
        assert_eq!(
            world.gpus_of("whole"),
            ["GPU-2"],
            "a free one where no shared one suffices"
        );
        world.posts(&body("alone"));
        assert_eq!(world.queue(), ["alone"]);
    });
}

#[test]
fn the_smallest_of_many_sizes_is_found() {
    scene(1, |world| {
        world.posts(&shared("holder", 20_000));
        for size in (5_000..9_000).step_by(100) {
            world.posts(&shared(&format!("size-{size}"), size));
        }
        assert_eq!(world.holders(), ["holder"], "4,064 MiB are left");
        world.posts(&shared("fits", 4_064));
        assert_eq!(world.holders(), ["holder", "fits"]);
        assert_eq!(world.passed("size-5000"), 1);
    });
}
