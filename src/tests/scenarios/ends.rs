//! How requests and leases end, and what is said then.

use warden::event::Fact;
use warden::wire::{LockBody, Outcome};
use warden::{Change, Code, Command, LeaseId, Policy, Reply, RequestId};

use super::{body, load, refused, scene, scene_under};
use crate::world::caller;

#[test]
fn timeout_0_is_now_or_never() {
    scene(1, |world| {
        let now_or_never = |id| LockBody {
            timeout_ms: Some(0),
            ..body(id)
        };
        world.posts(&now_or_never("now"));
        assert_eq!(world.holders(), ["now"]);
        world.posts(&body("waiter"));
        let (lease_id, _) = world.holds("now");
        let mut end = None;
        let request = warden::Request::parse(
            &now_or_never("never"),
            &warden::Origin {
                door: caller().door,
                host: "here".into(),
            },
            world.arbiter.policy(),
            &world.gpus,
        );
        let request = std::sync::Arc::new(request.expect("it is valid"));
        let connection = world.connection();
        let acquire = Command::Acquire {
            request,
            caller: caller(),
            connection,
        };
        let mut aside = world.arbiter.clone();
        aside
            .handle(world.now, &acquire, &mut |_, event, change| {
                if let (Fact::WaiterEnded { .. }, Change::WaiterEnded { .. }) =
                    (&event.fact, change)
                {
                    end = Some(change.clone());
                }
            })
            .expect("it is taken in");
        let Some(Change::WaiterEnded {
            outcome,
            place,
            holders,
            waiter,
        }) = end
        else {
            panic!("it ends at once");
        };
        assert_eq!(
            (outcome, place, holders),
            (Outcome::TimedOut, 2, vec![lease_id])
        );
        assert_eq!(waiter.connection, Some(connection));
        world.posts(&now_or_never("never"));
        assert_eq!(world.queue(), ["waiter"]);
    });
}

#[test]
fn what_is_freed_at_an_instant_is_granted_before_anybody_times_out() {
    scene(1, |world| {
        world.posts(&LockBody {
            ttl_ms: Some(5_000),
            ..body("holder")
        });
        world.posts(&LockBody {
            timeout_ms: Some(5_000),
            ..body("waiter")
        });
        world.posts(&LockBody {
            timeout_ms: Some(4_999),
            ..body("brief")
        });
        world.wait(20_000);
        assert_eq!(world.holders(), ["waiter"]);
        assert_eq!(world.outcome("brief"), Some(Outcome::TimedOut));
    });
}

#[test]
fn a_lease_lives_by_renewals() {
    scene(1, |world| {
        world.posts(&LockBody {
            ttl_ms: Some(1_000),
            ..body("holder")
        });
        for _ in 0..5 {
            world.wait(999);
            let Ok(Reply::Renewed {
                ttl_ms,
                expires_wall_ms,
                ..
            }) = world.renews("holder", None)
            else {
                panic!("it lives")
            };
            assert_eq!(
                (ttl_ms, expires_wall_ms),
                (1_000, world.now.wall_ms + 1_000)
            );
        }
        let (lease_id, token) = world.holds("holder");
        world.wait(1_000);
        let renew = |token| Command::Renew {
            lease_id: lease_id.clone(),
            token,
            operation: None,
            caller: caller(),
        };
        for token in [token, token + 1] {
            let refusal = refused(world.run(&renew(token)), Code::LeaseEnded);
            assert_eq!(
                refusal.outcome,
                Some(Outcome::Expired),
                "whatever the number"
            );
        }
    });
}

#[test]
fn numbers_of_leases() {
    scene(1, |world| {
        world.posts(&body("holder"));
        let (lease_id, token) = world.holds("holder");
        let release = |lease_id: &LeaseId, token| Command::Release {
            lease_id: lease_id.clone(),
            token,
            caller: caller(),
        };
        refused(world.run(&release(&lease_id, token + 1)), Code::StaleToken);
        for never_was in [
            "",
            "L-",
            "nonsense",
            "L-zzzzzzzzzzz",
            "L-00000000000",
            "L-ÄÖ",
        ] {
            let never_was = LeaseId::from(never_was);
            refused(world.run(&release(&never_was, token)), Code::UnknownLease);
        }
        let upper = LeaseId::from(lease_id.as_str().to_uppercase());
        refused(world.run(&release(&upper, token)), Code::UnknownLease);
        world.wait(25);
        let Ok(Reply::Ended(ended)) = world.run(&release(&lease_id, token)) else {
            panic!("it is held")
        };
        assert_eq!(
            (ended.lease_id, ended.outcome, ended.held_ms),
            (lease_id, Outcome::Released, 25)
        );
    });
}

#[test]
fn tokens_increase_and_ids_are_made_once() {
    scene(1, |world| {
        let nameless = LockBody {
            request_id: None,
            ..body("x")
        };
        let mut seen = std::collections::BTreeSet::new();
        let mut last = 0;
        for round in 0..50 {
            world.posts(&nameless);
            let holder = world.holders().remove(0);
            let (lease_id, token) = world.holds(&holder);
            assert!(token > last && token < 1 << 53);
            last = token;
            assert!(seen.insert(holder.clone()) && seen.insert(lease_id.to_string()));
            assert_eq!(warden::number::token_of(&lease_id), Some(token));
            assert!(!lease_id.as_str().contains(&token.to_string()) || token < 10);
            world.releases(&holder);
            if round % 20 == 19 {
                world.crash(false);
            }
        }
    });
}

#[test]
fn a_full_queue_refuses() {
    let policy = Policy {
        max_queue: 2,
        ..Policy::default()
    };
    scene_under(1, policy, |world| {
        for name in ["holder", "a", "b"] {
            world.posts(&body(name));
        }
        refused(world.post(&body("c")), Code::QueueFull);
        world.posts(&body("b"));
        world.releases("holder");
        world.posts(&body("c"));
    });
}

#[test]
fn a_lease_does_not_become_a_model_load() {
    scene(1, |world| {
        world.posts(&body("holder"));
        let refusal = refused(
            world.renews("holder", Some("model_load")),
            Code::InvalidRequest,
        );
        assert_eq!(refusal.field, Some("operation"));
        refused(
            world.renews("holder", Some("nonsense")),
            Code::InvalidRequest,
        );
        world
            .renews("holder", Some("inference"))
            .expect("that it does already");
    });
    scene(1, |world| {
        world.posts(&load("holder"));
        world
            .renews("holder", Some("model_load"))
            .expect("that it does already");
    });
}

#[test]
fn a_reset_ends_what_is_stale() {
    scene(3, |world| {
        let lost = world.posts(&body("undelivered"));
        for name in ["healthy", "orphan", "waiter"] {
            world.posts(&body(name));
        }
        world.undelivered("undelivered", lost);
        let (stale, _) = world.holds("undelivered");
        let (orphan, _) = world.holds("orphan");
        let never_was = LeaseId::from("L-zzzzzzzzzzz");
        let owner_gone = vec![orphan.clone(), never_was];
        let Ok(Reply::WasReset(reset)) = world.run(&Command::Reset { owner_gone }) else {
            panic!("a reset is never refused")
        };
        assert_eq!(reset.ended, [stale, orphan]);
        assert_eq!(
            world.holders(),
            ["healthy", "waiter"],
            "and serves the queue"
        );
        assert_eq!(world.outcome("orphan"), Some(Outcome::Reset));
    });
}

#[test]
fn force_ends_one_or_all() {
    scene(2, |world| {
        for name in ["a", "b", "c", "d"] {
            world.posts(&body(name));
        }
        let (lease_id, _) = world.holds("a");
        let force = Command::ForceRelease { lease_id };
        let Ok(Reply::Ended(ended)) = world.run(&force) else {
            panic!("it is live")
        };
        assert_eq!(ended.outcome, Outcome::Forced);
        refused(world.run(&force), Code::LeaseEnded);
        assert_eq!(world.holders(), ["b", "c"]);
        let all = Command::ForceReleaseAll { clear_queue: false };
        let Ok(Reply::ForcedAll(forced)) = world.run(&all) else {
            panic!("never refused")
        };
        assert_eq!((forced.ended.len(), forced.cleared.len()), (2, 0));
        assert_eq!(world.holders(), ["d"]);
        world.posts(&body("e"));
        world.posts(&body("f"));
        let all = Command::ForceReleaseAll { clear_queue: true };
        let Ok(Reply::ForcedAll(forced)) = world.run(&all) else {
            panic!("never refused")
        };
        assert_eq!(forced.cleared, [RequestId::from("f")]);
        assert_eq!(world.outcome("f"), Some(Outcome::Cleared));
        assert_eq!((world.holders().len(), world.queue().len()), (0, 0));
        assert_eq!(world.arbiter.counters().ended[&Outcome::Forced], 5);
        assert_eq!(world.arbiter.counters().granted, 5);
    });
}
