//! A process ends, and another comes for what it had.

use std::process::{Child, Command};

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::lines::Line;

fn sleeper() -> Child {
    Command::new("sleep").arg("600").spawn().unwrap()
}

fn body(owner: u32) -> Value {
    json!({"client": "c", "request_id": "mine", "pid": owner, "timeout_ms": 1000})
}

#[test]
fn a_lease_whose_owner_has_ended_is_nobodys_to_take_over() {
    let broker = Daemon::start(&[]);
    for id in 0..20 {
        let with_id = |mut body: Value| {
            body["request_id"] = format!("r{id}").into();
            body
        };
        let mut first = sleeper();
        let mut line = Line::open(&broker);
        let lock = "POST /v1/gpu/lock";
        let granted = line.ask(lock, Some(&with_id(body(first.id()))));
        assert_eq!(granted.status, 200, "{granted:?}");
        // So that it hears of both at once.
        kill_process(broker.pid(), Signal::STOP).unwrap();
        first.kill().unwrap();
        first.wait().unwrap();
        let second = std::process::id();
        line.send(lock, Some(&with_id(body(second))));
        kill_process(broker.pid(), Signal::CONT).unwrap();
        let refused = line.answer();
        assert_eq!(refused.status, 409, "{refused:?}");
        assert_eq!(refused.body["code"], "request_ended", "{refused:?}");
        assert_eq!(refused.body["outcome"], "owner_gone", "{refused:?}");
    }
}

#[test]
fn a_lease_whose_owner_lives_goes_to_the_process_that_comes_for_it() {
    let broker = Daemon::start(&[]);
    let mut first = sleeper();
    let mut line = Line::open(&broker);
    let lock = "POST /v1/gpu/lock";
    let granted = line.ask(lock, Some(&body(first.id())));
    let again = line.ask(lock, Some(&body(std::process::id())));
    assert_eq!(
        again.body["lease_id"], granted.body["lease_id"],
        "{again:?}"
    );
    first.kill().unwrap();
    first.wait().unwrap();
    let status = broker.client().status().unwrap();
    assert_eq!(status.leases[0].pid, Some(std::process::id()));
}
