//! `warden check` on brokers that are idle, at work and away.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is a test")]

mod stand;

use rustix::process::Signal;
use stand::{Broker, Running};

#[test]
fn an_idle_broker_passes_and_is_left_as_it_was() {
    let broker = Broker::start(2);
    let output = broker.output(&["check"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for name in [
        "answers",
        "priority order",
        "time-out",
        "renewal",
        "stale token",
        "forced release",
        "status with a queue",
        "status under load",
        "nothing left behind",
    ] {
        let line = said.lines().find(|line| line.contains(name));
        assert!(
            line.is_some_and(|line| line.starts_with("ok ")),
            "{name}:\n{said}"
        );
    }
    let status = broker.status();
    assert!(status.leases.is_empty() && status.queue.is_empty());
}

#[test]
fn at_a_broker_that_is_at_work_it_skips_what_would_delay_others() {
    let broker = Broker::start(1);
    let client = broker.client();
    let lease = broker.hold(&client);
    let mut waiter = Running::start(&mut broker.warden(&["run", "--", "echo", "ran"]));
    let before = broker.until("queued", |status| status.queue_depth == 1);
    let output = broker.output(&["check"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let skipped = said
        .lines()
        .filter(|line| line.starts_with("skipped "))
        .count();
    assert_eq!(skipped, 6, "{said}");
    assert!(said.contains("ok      status under load"), "{said}");
    let after = broker.status();
    assert_eq!(after.revision, before.revision, "it changed something");
    drop(lease);
    assert_eq!(waiter.line(), "ran");
    assert_eq!(waiter.code(), 0);
}

#[test]
fn interrupted_it_leaves_nothing_behind() {
    let broker = Broker::start(1);
    for signal in [Signal::INT, Signal::TERM] {
        let mut check = Running::start(&mut broker.warden(&["check"]));
        broker.until("checking", |status| {
            status
                .leases
                .iter()
                .any(|lease| lease.client.starts_with("warden-check"))
        });
        check.signal(signal);
        assert_eq!(check.code(), 128 + signal.as_raw());
        let status = broker.status();
        assert!(
            status.leases.is_empty() && status.queue.is_empty(),
            "{status:?}"
        );
    }
}
