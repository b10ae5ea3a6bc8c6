//! Times in which nothing may be granted, and journals with gaps.

use warden::event::Fact;
use warden::gpu::UNKNOWN;
use warden::wire::notice::NoticeCode;
use warden::wire::{LockBody, Outcome, WhyCode};
use warden::{Code, Command, Gpu, Policy, Reply, RequestId};

use super::{body, load, poll, refused, scene, scene_under, shared};
use crate::world::{World, about, gpu, rfc3339};

fn brief(id: &str) -> LockBody {
    LockBody {
        ttl_ms: Some(5_000),
        timeout_ms: Some(60_000),
        ..body(id)
    }
}

#[test]
fn while_nothing_is_durable_ends_are_taken_and_nothing_is_given() {
    scene(2, |world| {
        for body in [
            brief("lapsed"),
            brief("renewed"),
            body("first"),
            brief("impatient"),
        ] {
            world.posts(&body);
        }
        world.suspend();
        refused(world.post(&body("new")), Code::JournalUnwritable);
        world.wait(4_000);
        world.renews("renewed", None).expect("a renewal is taken");
        world.wait(4_000);
        assert_eq!(world.holders(), ["lapsed", "renewed"], "no lease expires");
        let connection = world.posts(&body("first"));
        world.releases("renewed");
        assert_eq!(world.holders(), ["lapsed"], "what is freed is not granted");
        assert_eq!(world.why("first").code, WhyCode::Paused);
        assert_eq!(world.queue(), ["first", "impatient"]);
        world.wait(60_000);
        assert_eq!(world.outcome("impatient"), Some(Outcome::TimedOut));
        world.loses("first", connection);
        world.posts(&body("first"));

        world.recover();
        assert_eq!(
            world.outcome("lapsed"),
            Some(Outcome::Expired),
            "nobody renewed it"
        );
        assert_eq!(world.holders(), ["first"]);
        world.posts(&body("new"));
        assert_eq!(world.holders(), ["first", "new"]);
    });
}

#[test]
fn while_nothing_is_durable_nobody_is_told_of_a_lease_that_would_forget_it() {
    scene(3, |world| {
        let untold = world.posts(&body("untold"));
        world.undelivered("untold", untold);
        world.posts(&poll("polled"));
        world.posts(&body("told"));
        world.suspend();
        // To the next broker these are still undelivered: it would end them after the grace, though
        // their holders, who know of them by then, need not come for the whole ttl.
        refused(world.post(&body("untold")), Code::JournalUnwritable);
        refused(world.look("untold"), Code::JournalUnwritable);
        refused(world.look("polled"), Code::JournalUnwritable);
        // And this one would end with who had it before.
        let heir = LockBody {
            pid: Some(42),
            ..body("told")
        };
        refused(world.post(&heir), Code::JournalUnwritable);
        world.look("told").expect("it was told before");
        assert!(matches!(
            world.post(&body("told")),
            Ok(Reply::Granted { .. })
        ));

        world.recover();
        for id in ["untold", "polled"] {
            world.look(id).expect("it is told now");
        }
        world.crash(false);
        world.wait(3_599_999);
        assert_eq!(
            world.holders(),
            ["untold", "polled", "told"],
            "the whole ttl"
        );
    });
}

#[test]
fn what_was_withdrawn_never_was() {
    scene(1, |world| {
        for id in ["holder", "waiter"] {
            world.posts(&body(id));
        }
        for id in ["waiter", "holder", "nobody"] {
            let request_id = RequestId::from(id);
            world
                .run(&Command::Withdraw { request_id })
                .expect("taken in");
        }
        assert!(world.holders().is_empty() && world.queue().is_empty());
        refused(world.look("holder"), Code::UnknownRequest);
        for id in ["waiter", "holder"] {
            world.forget(id);
            world.posts(&body(id));
        }
        assert_eq!(world.holders(), ["waiter"]);
    });
}

#[test]
fn a_doubt_holds_over_a_restart_until_a_reset() {
    scene(2, |world| {
        world.posts(&brief("known"));
        world.take_fact(Fact::Doubted { max_ttl_ms: 0 });
        world.posts(&body("waiter"));
        assert_eq!(world.holders(), ["known"]);
        let why = world.why("waiter");
        assert_eq!(why.code, WhyCode::Paused);
        assert!(why.text.contains("warden reset"), "{}", why.text);
        let status = world.arbiter.status(world.now, &about(), &rfc3339);
        assert_eq!(status.notices[0].code, NoticeCode::JournalDamaged);
        assert!(status.notices[0].text.contains("3600 s"), "{status:?}");
        world.crash(false);
        world.posts(&body("waiter"));
        world.wait(5_000);
        assert_eq!(world.outcome("known"), Some(Outcome::Expired));
        assert!(world.holders().is_empty());

        let owner_gone = Vec::new();
        world.run(&Command::Reset { owner_gone }).expect("taken in");
        assert_eq!(world.holders(), ["waiter"]);
        let status = world.arbiter.status(world.now, &about(), &rfc3339);
        assert!(status.notices.is_empty());
    });
}

#[test]
fn a_doubt_does_not_outlive_the_host() {
    scene(1, |world| {
        world.take_fact(Fact::Doubted { max_ttl_ms: 0 });
        world.posts(&body("waiter"));
        world.crash(true);
        world.posts(&body("waiter"));
        assert_eq!(world.holders(), ["waiter"]);
    });
}

#[test]
fn a_doubt_ends_once_every_lease_that_may_be_lost_has_ended() {
    let policy = Policy {
        max_ttl_ms: 8_000,
        default_ttl_ms: 8_000,
        ..Policy::default()
    };
    let brief = |id| LockBody {
        timeout_ms: Some(60_000),
        ttl_ms: Some(1_000),
        ..body(id)
    };
    for (known_ms, expected_ms) in [(0, 8_000), (20_000, 20_000)] {
        scene_under(1, policy.clone(), |world| {
            let max_ttl_ms = known_ms;
            world.take_fact(Fact::Doubted { max_ttl_ms });
            world.posts(&brief("waiter"));
            world.wait(expected_ms - 1);
            assert!(world.holders().is_empty());
            world.wait(1);
            assert_eq!(world.holders(), ["waiter"]);
        });
    }
}

#[test]
fn a_gpu_of_which_nothing_is_known_gives_way_once_it_is_free() {
    let unknown = Gpu {
        source: UNKNOWN.to_owned(),
        simulated: false,
        ..gpu(0, None)
    };
    scene(0, |world| {
        let gpus = |world: &mut World, gpus: Vec<Gpu>| {
            world.gpus = gpus.clone();
            world.run(&Command::ChangeGpus { gpus }).expect("taken in");
        };
        gpus(world, vec![unknown.clone()]);
        world.posts(&body("holder"));
        gpus(world, vec![gpu(1, Some(8_192)), gpu(2, Some(8_192))]);
        world.posts(&body("waiter"));
        world.posts(&shared("share", 1_000));
        assert_eq!(world.holders(), ["holder"]);
        assert_eq!(world.why("waiter").code, WhyCode::Paused);
        world.check_picture();
        world.releases("holder");
        assert_eq!(world.holders(), ["waiter", "share"]);
    });
}

#[test]
fn a_journal_with_gaps_gives_nothing_twice() {
    scene(2, |world| {
        for id in ["a", "b", "c", "d"] {
            world.posts(&body(id));
        }
        for id in ["a", "b"] {
            world.releases(id);
        }
        world.posts(&load("loads"));
        world.releases("c");
        for (first, length) in (0..30).flat_map(|first| (1..8).map(move |length| (first, length))) {
            world.check_salvage(|number| (first..first + length).contains(&number));
        }
        let kept = world.check_salvage(|_| false);
        assert_eq!(
            kept.image(),
            world.arbiter.image(),
            "without a gap all of it"
        );
    });
}
