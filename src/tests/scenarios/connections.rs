//! "Connections that break".

use warden::wire::{LockBody, Outcome, RequestPhase};
use warden::{Code, Command, Reply, RequestId};

use super::{body, poll, refused, scene, urgent};

#[test]
fn without_an_id_a_waiter_is_its_connection() {
    scene(1, |world| {
        world.posts(&body("holder"));
        let nameless = LockBody {
            request_id: None,
            ..body("")
        };
        let nameless = LockBody {
            client: "nameless".to_owned(),
            ..nameless
        };
        let connection = world.posts(&nameless);
        let id = world.queue().remove(0);
        world.loses(&id, connection);
        assert!(world.queue().is_empty());
        refused(world.look(&id), Code::UnknownRequest);
    });
}

#[test]
fn with_an_id_it_keeps_its_place_and_is_skipped_meanwhile() {
    scene(1, |world| {
        world.posts(&body("holder"));
        let connection = world.posts(&body("away"));
        world.posts(&body("next"));
        world.loses("away", connection);
        assert_eq!(world.queue(), ["away", "next"]);
        world.releases("holder");
        assert_eq!(world.holders(), ["next"]);
        assert_eq!(world.passed("away"), 0, "no pass is counted");
        world.wait(9_999);
        world.posts(&body("away"));
        world.wait(60_000);
        world.releases("next");
        assert_eq!(world.holders(), ["away"]);
    });
}

#[test]
fn nothing_is_kept_for_one_that_is_away() {
    scene(1, |world| {
        let connection = {
            world.posts(&urgent("mic-0"));
            world.posts(&body("overdue"))
        };
        for number in 1..=9 {
            world.posts(&urgent(&format!("mic-{number}")));
        }
        for number in 0..8 {
            world.releases(&format!("mic-{number}"));
        }
        assert_eq!(world.passed("overdue"), 8);
        world.loses("overdue", connection);
        world.releases("mic-8");
        assert_eq!(world.holders(), ["mic-9"]);
    });
}

#[test]
fn after_the_grace_its_client_is_gone() {
    scene(1, |world| {
        world.posts(&body("holder"));
        let connection = world.posts(&body("away"));
        world.loses("away", connection);
        assert_eq!(
            world.arbiter.next_deadline(),
            Some(world.now.clock_ms + 10_000)
        );
        world.wait(10_000);
        assert_eq!(world.outcome("away"), Some(Outcome::ClientGone));
    });
}

#[test]
fn the_newer_connection_gets_the_answer() {
    scene(1, |world| {
        world.posts(&body("holder"));
        let older = world.posts(&body("twice"));
        let newer = world.connection();
        let reply = world.post_on(&body("twice"), newer).expect("it joins");
        let request_id = RequestId::from("twice");
        assert_eq!(
            reply,
            Reply::Waiting {
                request_id,
                superseded: Some(older)
            }
        );
        world.loses("twice", older);
        world.releases("holder");
        let (lease_id, _) = world.holds("twice");
        let lease = world.arbiter.lease(&lease_id).expect("it is live");
        assert_eq!(lease.connection, Some(newer));
        world.undelivered("twice", older);
        assert!(
            !world
                .arbiter
                .lease(&lease_id)
                .expect("it is live")
                .undelivered
        );
    });
}

#[test]
fn a_poll_lives_while_it_is_looked_at() {
    scene(1, |world| {
        world.posts(&body("holder"));
        world.posts(&poll("polled"));
        world.wait(59_999);
        let Ok(Reply::Request(view)) = world.look("polled") else {
            panic!("it waits")
        };
        assert_eq!(
            (view.state.state, view.state.place),
            (RequestPhase::Waiting, Some(1))
        );
        assert_eq!(view.state.waited_ms, 59_999);
        world.wait(59_999);
        world.posts(&poll("polled"));
        world.wait(59_999);
        assert_eq!(world.queue(), ["polled"]);
        world.wait(1);
        assert_eq!(world.outcome("polled"), Some(Outcome::ClientGone));
    });
}

#[test]
fn a_granted_poll_must_be_looked_at_within_the_grace() {
    scene(1, |world| {
        world.posts(&body("holder"));
        world.posts(&LockBody {
            ttl_ms: Some(60_000),
            ..poll("seen")
        });
        world.posts(&poll("unseen"));
        world.releases("holder");
        world.wait(9_999);
        let Ok(Reply::Request(view)) = world.look("seen") else {
            panic!("it was granted")
        };
        let grant = view.grant.expect("with a lease");
        assert_eq!(
            grant.expires_wall_ms,
            world.now.wall_ms + 60_000,
            "its ttl begins now"
        );
        world.wait(59_999);
        assert_eq!(world.holders(), ["seen"]);
        world.wait(1);
        assert_eq!(world.outcome("seen"), Some(Outcome::Expired));
        assert_eq!(
            world.holders().len(),
            0,
            "nobody looked at the other for a minute"
        );
    });
    scene(1, |world| {
        world.posts(&poll("unseen"));
        assert_eq!(world.holders(), ["unseen"]);
        world.wait(10_000);
        assert_eq!(world.outcome("unseen"), Some(Outcome::Undelivered));
    });
}

#[test]
fn an_undelivered_lease_without_an_id_is_taken_back_at_once() {
    scene(1, |world| {
        let nameless = LockBody {
            request_id: None,
            client: "nameless".to_owned(),
            ..body("x")
        };
        let connection = world.posts(&nameless);
        let id = world.holders().remove(0);
        world.posts(&body("next"));
        world.undelivered(&id, connection);
        assert_eq!(world.holders(), ["next"]);
        assert_eq!(world.arbiter.counters().ended[&Outcome::Undelivered], 1);
    });
}

#[test]
fn an_undelivered_lease_with_an_id_stands_for_the_grace() {
    scene(1, |world| {
        let short = LockBody {
            ttl_ms: Some(1_000),
            ..body("short")
        };
        let connection = world.posts(&short);
        world.undelivered("short", connection);
        world.wait(9_999);
        let (lease_id, token) = world.holds("short");
        let Ok(Reply::Granted { grant, .. }) = world.post(&short) else {
            panic!("it is granted")
        };
        assert_eq!(
            (&grant.lease_id, grant.token),
            (&lease_id, token),
            "the same lease"
        );
        assert_eq!(grant.expires_wall_ms, world.now.wall_ms + 1_000);
        world.wait(1_000);
        assert_eq!(world.outcome("short"), Some(Outcome::Expired));
    });
    scene(1, |world| {
        let connection = world.posts(&body("long"));
        world.undelivered("long", connection);
        world.wait(10_000);
        assert_eq!(world.outcome("long"), Some(Outcome::Undelivered));
    });
}

#[test]
fn who_renews_has_had_its_answer() {
    scene(1, |world| {
        let connection = world.posts(&body("holder"));
        world.renews("holder", None).expect("it holds it");
        world.undelivered("holder", connection);
        world.wait(10_000);
        assert_eq!(world.holders(), ["holder"]);
    });
}

#[test]
fn the_acquire_timeout_goes_on_over_a_re_post() {
    scene(1, |world| {
        world.posts(&body("holder"));
        let brief = LockBody {
            timeout_ms: Some(5_000),
            ..body("brief")
        };
        let connection = world.posts(&brief);
        world.wait(3_000);
        world.loses("brief", connection);
        world.posts(&brief);
        world.wait(1_999);
        assert_eq!(world.queue(), ["brief"]);
        world.wait(1);
        assert_eq!(world.outcome("brief"), Some(Outcome::TimedOut));
        let refusal = refused(world.post(&brief), Code::RequestEnded);
        assert_eq!(refusal.outcome, Some(Outcome::TimedOut));
    });
}

#[test]
fn a_new_pid_becomes_the_owner() {
    scene(1, |world| {
        let with = |pid| LockBody {
            pid: Some(pid),
            ..body("owned")
        };
        world.posts(&with(10));
        let answer = world.post(&with(11));
        assert!(
            matches!(answer, Ok(Reply::Granted { .. })),
            "pid is no other field: {answer:?}"
        );
        let gone = |pid| Command::OwnerGone {
            request_id: RequestId::from("owned"),
            owner: warden::Owner { pid, start: None },
            remains: false,
        };
        world.run(&gone(10)).expect("taken in");
        assert_eq!(world.holders(), ["owned"], "another process owns it now");
        world.check_picture();
        world.run(&gone(11)).expect("taken in");
        assert_eq!(world.outcome("owned"), Some(Outcome::OwnerGone));
    });
}

#[test]
fn a_waiter_whose_process_is_gone_is_gone() {
    scene(1, |world| {
        world.posts(&body("holder"));
        world.posts(&LockBody {
            pid: Some(10),
            ..body("owned")
        });
        let owner = warden::Owner {
            pid: 10,
            start: None,
        };
        let request_id = RequestId::from("owned");
        world
            .run(&Command::OwnerGone {
                request_id,
                owner,
                remains: true,
            })
            .expect("taken in");
        assert_eq!(world.outcome("owned"), Some(Outcome::ClientGone));
    });
}

#[test]
fn what_an_owner_left_and_cannot_be_ended_holds_its_gpu_up_for_a_bounded_time() {
    scene(1, |world| {
        world.posts(&LockBody {
            pid: Some(10),
            ..body("owned")
        });
        world.posts(&body("next"));
        let gone = Command::OwnerGone {
            request_id: RequestId::from("owned"),
            owner: warden::Owner {
                pid: 10,
                start: None,
            },
            remains: true,
        };
        world.run(&gone).expect("taken in");
        assert_eq!(world.outcome("owned"), Some(Outcome::OwnerGone));
        assert_eq!(world.holders(), [""; 0], "it drains");
        world.check_picture();
        let drain_ms = warden::Policy::default().drain_ms;
        world.wait(drain_ms - 1);
        assert_eq!(world.holders(), [""; 0]);
        world.wait(1);
        assert_eq!(world.holders(), ["next"]);
    });
}
