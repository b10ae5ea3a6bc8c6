//! Who is asked to give a lease back, for whom, and when it is taken.

use warden::policy::{YieldMode, YieldPolicy};
use warden::wire::{LockBody, Outcome, PriorityName};
use warden::{Command, Policy, Reply, RequestId};

use super::{body, load, scene, scene_under, shared, urgent};
use crate::world::{World, caller};

fn dreamer(body: LockBody) -> LockBody {
    LockBody {
        priority: Some(PriorityName::Name("dreamer".to_owned())),
        ..body
    }
}

fn taking() -> Policy {
    Policy {
        r#yield: YieldPolicy {
            mode: YieldMode::Take,
            ..YieldPolicy::default()
        },
        ..Policy::default()
    }
}

impl World<'_> {
    /// Whose holders are asked, by grant.
    fn asked(&self) -> Vec<String> {
        let leases = self.arbiter.leases().filter(|lease| lease.asked.is_some());
        leases.map(|lease| lease.request_id.to_string()).collect()
    }
}

#[test]
fn a_much_more_urgent_waiter_has_the_holder_asked_after_a_while() {
    scene(1, |world| {
        world.posts(&dreamer(body("dream")));
        world.wait(20_000);
        world.posts(&urgent("mic"));
        world.wait(4_999);
        assert!(world.asked().is_empty(), "it has not waited long enough");
        assert_eq!(
            world.arbiter.next_deadline(),
            Some(world.now.clock_ms + 1),
            "the broker wakes for it"
        );
        world.wait(1);
        assert_eq!(world.asked(), ["dream"]);
        let renewed = world.renews("dream", None);
        let asked = matches!(renewed, Ok(Reply::Renewed { yield_asked, .. }) if yield_asked);
        assert!(asked, "{renewed:?}");
        world.releases("dream");
        assert_eq!(world.outcome("dream"), Some(Outcome::Yielded));
        assert_eq!(world.holders(), ["mic"]);
    });
}

#[test]
fn nobody_is_asked_within_the_least_hold_or_for_a_waiter_that_is_not_much_more_urgent() {
    scene(1, |world| {
        world.posts(&body("default"));
        world.posts(&LockBody {
            priority: Some(PriorityName::Number(6)),
            ..body("nine-better")
        });
        world.wait(60_000);
        assert!(world.asked().is_empty(), "15 - 6 is less than the gap");
        world.posts(&LockBody {
            priority: Some(PriorityName::Number(5)),
            ..body("ten-better")
        });
        world.wait(5_000);
        assert_eq!(world.asked(), ["default"]);
        world.releases("default");
        assert_eq!(world.holders(), ["ten-better"]);
    });
    scene(1, |world| {
        world.posts(&dreamer(body("dream")));
        world.posts(&urgent("mic"));
        world.wait(9_999);
        assert!(world.asked().is_empty(), "it has only just been granted");
        world.wait(1);
        assert_eq!(world.asked(), ["dream"]);
    });
}

#[test]
fn the_ask_is_withdrawn_when_its_waiter_leaves() {
    scene(1, |world| {
        world.posts(&dreamer(body("dream")));
        world.posts(&urgent("mic"));
        world.wait(10_000);
        assert_eq!(world.asked(), ["dream"]);
        let (request_id, caller) = (RequestId::from("mic"), caller());
        world
            .run(&Command::Cancel { request_id, caller })
            .expect("it waits");
        assert!(world.asked().is_empty());
        world.releases("dream");
        assert_eq!(world.outcome("dream"), Some(Outcome::Released));
    });
}

#[test]
fn one_waiter_has_only_as_many_asked_as_it_needs_and_the_least_urgent_first() {
    scene(3, |world| {
        world.posts(&LockBody {
            priority: Some(PriorityName::Name("console".to_owned())),
            ..body("console")
        });
        world.posts(&dreamer(body("dream")));
        world.posts(&body("default"));
        world.wait(10_000);
        world.posts(&urgent("mic"));
        world.wait(5_000);
        assert_eq!(world.asked(), ["dream"]);
        world.posts(&urgent("mic-two"));
        world.wait(5_000);
        assert_eq!(
            world.asked(),
            ["dream", "default"],
            "each has its own asked"
        );
    });
}

#[test]
fn an_overdue_waiter_is_urgent_to_everybody_and_left_alone_for_a_while_itself() {
    let policy = Policy {
        max_bypass: 1,
        ..Policy::default()
    };
    scene_under(1, policy, |world| {
        world.posts(&urgent("mic"));
        world.posts(&dreamer(body("dream")));
        world.posts(&urgent("mic-two"));
        world.releases("mic");
        assert_eq!(
            (world.holders(), world.passed("dream")),
            (vec!["mic-two".to_owned()], 1)
        );
        world.wait(10_000);
        assert_eq!(world.asked(), ["mic-two"], "for the overdue dreamer");
        world.posts(&urgent("mic-three"));
        world.releases("mic-two");
        assert_eq!(world.holders(), ["dream"]);
        world.wait(9_999);
        assert!(world.asked().is_empty(), "it has waited long for its turn");
        world.wait(1);
        assert_eq!(world.asked(), ["dream"]);
    });
}

#[test]
fn where_the_policy_takes_a_lease_is_taken_after_the_grace() {
    scene_under(1, taking(), |world| {
        world.posts(&dreamer(body("dream")));
        world.posts(&urgent("mic"));
        world.wait(10_000);
        assert_eq!(world.asked(), ["dream"]);
        world.wait(9_999);
        assert_eq!(world.holders(), ["dream"], "it has its grace");
        world.wait(1);
        assert_eq!(world.holders(), ["mic"]);
        assert_eq!(world.outcome("dream"), Some(Outcome::Yielded));
    });
}

#[test]
fn the_grace_goes_on_over_a_restart_and_other_rules_hold_at_once() {
    scene_under(1, taking(), |world| {
        world.posts(&dreamer(body("dream")));
        world.posts(&urgent("mic"));
        world.wait(10_000);
        world.crash(false);
        assert_eq!(world.asked(), ["dream"]);
        world.posts(&urgent("mic"));
        world.policy.r#yield.mode = YieldMode::Never;
        let policy = Box::new(world.policy.clone());
        world
            .run(&Command::ChangePolicy { policy })
            .expect("other rules");
        assert!(
            world.asked().is_empty(),
            "nobody is asked under these rules"
        );
        world.wait(30_000);
        assert_eq!(world.holders(), ["dream"]);
        world.policy.r#yield.mode = YieldMode::Take;
        let policy = Box::new(world.policy.clone());
        world
            .run(&Command::ChangePolicy { policy })
            .expect("other rules");
        assert_eq!(world.asked(), ["dream"]);
        world.wait(10_000);
        assert_eq!(world.holders(), ["mic"]);
    });
}

#[test]
fn a_share_has_those_asked_that_are_in_its_way_and_a_model_load_the_one_that_loads() {
    scene(1, |world| {
        world.posts(&dreamer(shared("large", 16_000)));
        world.posts(&dreamer(shared("small", 1_000)));
        world.wait(10_000);
        world.posts(&LockBody {
            vram_mib: Some(20_000),
            ..urgent("mic")
        });
        world.wait(5_000);
        let (asked, holds) = (world.asked(), world.holders());
        assert_eq!(
            (asked, holds.len()),
            (vec!["large".to_owned(), "small".to_owned()], 2)
        );
    });
    scene(2, |world| {
        world.posts(&dreamer(load("loading")));
        world.wait(10_000);
        world.posts(&LockBody {
            operation: Some("model_load".to_owned()),
            ..urgent("mic-loads")
        });
        world.wait(5_000);
        assert_eq!(world.asked(), ["loading"], "a GPU is free, the slot is not");
        world
            .renews("loading", Some("inference"))
            .expect("it has loaded");
        assert_eq!(world.holders().len(), 2);
        assert!(world.asked().is_empty());
    });
}
