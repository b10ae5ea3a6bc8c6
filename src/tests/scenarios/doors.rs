//! Whose request it is, and what an id stands for.

use warden::arbiter::REMEMBERED;
use warden::wire::{LockBody, Outcome};
use warden::{Code, Command, Connection, Reply, RequestId};

use super::{body, poll, refused, scene, somebody};
use crate::world::{World, caller, rfc3339};

#[test]
fn others_see_nothing_and_change_nothing() {
    scene(1, |world| {
        world.posts(&body("holder"));
        world.posts(&body("waiter"));
        let (lease_id, token) = world.holds("holder");
        for id in ["holder", "waiter"] {
            let connection = world.connection();
            let taken = world.post_as(&body(id), connection, somebody());
            refused(taken, Code::RequestConflict);
            refused(world.look_as(id, somebody()), Code::UnknownRequest);
            let request_id = RequestId::from(id);
            let cancel = Command::Cancel {
                request_id: request_id.clone(),
                caller: somebody(),
            };
            refused(world.run(&cancel), Code::UnknownRequest);
            assert!(world.peek(&request_id, somebody()).is_none());
        }
        let renew = Command::Renew {
            lease_id: lease_id.clone(),
            token,
            operation: None,
            caller: somebody(),
        };
        refused(world.run(&renew), Code::UnknownLease);
        let release = |caller| Command::Release {
            lease_id: lease_id.clone(),
            token,
            caller,
        };
        refused(world.run(&release(somebody())), Code::UnknownLease);
        world.run(&release(caller())).expect("an operator may");
        refused(world.run(&release(somebody())), Code::UnknownLease);
        refused(world.run(&release(caller())), Code::LeaseEnded);
        let connection = world.connection();
        let taken = world.post_as(&body("holder"), connection, somebody());
        refused(taken, Code::RequestConflict);
    });
}

#[test]
fn a_made_id_is_none_that_a_client_has_taken() {
    let nameless = || LockBody {
        request_id: None,
        ..body("nameless")
    };
    let name_of = |reply| match reply {
        Ok(Reply::Waiting { request_id, .. }) => request_id,
        other => panic!("{other:?}"),
    };
    // Who knows how many requests there were knows the next name.
    let mut foretold = None;
    scene(1, |world| {
        world.posts(&body("holder"));
        foretold = Some(name_of(world.post(&nameless())));
    });
    let foretold = foretold.expect("it was answered");
    scene(1, |world| {
        world.posts(&body("holder"));
        world.posts(&body(foretold.as_str()));
        let made = name_of(world.post(&nameless()));
        assert_ne!(made, foretold);
        let again = name_of(world.post(&nameless()));
        assert_ne!(again, made);
        let holds = |world: &World, id: &RequestId| world.peek(id, caller()).is_some();
        assert!(holds(world, &made) && holds(world, &again) && holds(world, &foretold));
        let cancel = Command::Cancel {
            request_id: made.clone(),
            caller: caller(),
        };
        world.run(&cancel).expect("it waits");
        assert!(holds(world, &foretold), "the other is not ended with it");
    });
}

#[test]
fn an_operator_may_join_what_others_posted() {
    scene(1, |world| {
        world.posts(&body("holder"));
        let connection = world.connection();
        world
            .post_as(&body("theirs"), connection, somebody())
            .expect("it waits");
        world.posts(&body("theirs"));
        let request_id = RequestId::from("theirs");
        let cancel = Command::Cancel {
            request_id,
            caller: somebody(),
        };
        world.run(&cancel).expect("it is still theirs");
    });
}

#[test]
fn other_fields_conflict_and_wait_and_pid_are_none() {
    scene(1, |world| {
        world.posts(&body("holder"));
        world.posts(&body("fields"));
        let others = [
            LockBody {
                client: "other".to_owned(),
                ..body("fields")
            },
            LockBody {
                gpus: Some(1),
                ..body("fields")
            },
            LockBody {
                ttl_ms: Some(1_000),
                ..body("fields")
            },
            LockBody {
                vram_mib: Some(1),
                ..body("fields")
            },
            LockBody {
                operation: Some("inference".to_owned()),
                ..body("fields")
            },
        ];
        for other in others {
            refused(world.post(&other), Code::RequestConflict);
        }
        world.posts(&poll("fields"));
        world.posts(&LockBody {
            pid: Some(7),
            pid_start: Some(1),
            ..body("fields")
        });
    });
}

#[test]
fn delete_ends_a_request_wherever_it_stands() {
    scene(1, |world| {
        world.posts(&body("holder"));
        world.posts(&body("waiter"));
        let cancel = |id: &str| Command::Cancel {
            request_id: RequestId::from(id),
            caller: caller(),
        };
        let outcomes = [
            ("waiter", Outcome::Cancelled),
            ("holder", Outcome::Released),
            ("waiter", Outcome::Cancelled),
        ];
        for (id, outcome) in outcomes {
            let Ok(Reply::Request(view)) = world.run(&cancel(id)) else {
                panic!("{id} ends")
            };
            let state = view.to_wire(&rfc3339);
            assert_eq!(
                (state.outcome, state.place, state.lease),
                (Some(outcome), None, None)
            );
        }
        refused(world.run(&cancel("nobody")), Code::UnknownRequest);
    });
}

#[test]
fn the_last_hundred_thousand_ended_requests_are_remembered() {
    let mut coverage = crate::world::Coverage::default();
    let gpus = vec![crate::world::gpu(0, None)];
    let world = crate::world::World::new(gpus.clone(), warden::Policy::default(), &mut coverage);
    let (mut arbiter, now) = (world.arbiter.clone(), world.now);
    let mut tokens = Vec::new();
    for number in 0..=REMEMBERED {
        let body = body(&format!("request-{number}"));
        let origin = warden::Origin {
            door: caller().door,
            host: "here".into(),
        };
        let request = warden::Request::parse(&body, &origin, arbiter.policy(), &gpus);
        let request = std::sync::Arc::new(request.expect("it is valid"));
        let connection = Connection(number as u64);
        let post = Command::Acquire {
            request,
            caller: caller(),
            connection,
        };
        arbiter
            .handle(now, &post, &mut |_, _, _| {})
            .expect("it is granted");
        let lease = arbiter.leases().next().expect("it is granted");
        let (lease_id, token) = (lease.id(), lease.token);
        tokens.push((lease_id.clone(), token));
        let release = Command::Release {
            lease_id,
            token,
            caller: caller(),
        };
        arbiter
            .handle(now, &release, &mut |_, _, _| {})
            .expect("it is held");
    }
    let state = |number: usize| {
        let look = Command::Look {
            request_id: RequestId::from(format!("request-{number}")),
            caller: caller(),
            connection: Connection(0),
        };
        match arbiter.decide(now, &look).answer {
            Ok(Reply::Request(view)) => view.state.outcome,
            _ => None,
        }
    };
    assert_eq!(state(0), None);
    assert_eq!(state(1), Some(Outcome::Released));
    assert_eq!(state(REMEMBERED), Some(Outcome::Released));
    let mut renew = |(lease_id, token): (warden::LeaseId, u64)| {
        let renew = Command::Renew {
            lease_id,
            token,
            operation: None,
            caller: caller(),
        };
        arbiter
            .handle(now, &renew, &mut |_, _, _| {})
            .expect_err("it has ended")
            .code
    };
    assert_eq!(renew(tokens[1].clone()), Code::LeaseEnded);
    assert_eq!(renew(tokens[REMEMBERED].clone()), Code::LeaseEnded);
}
