//! Holders are asked to give way: by a signal, by a command, in words, and in the client library.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is a test")]

mod stand;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use stand::{Broker, ECHO_SIGNALS, PATIENCE, Running, Stray, until};
use warden::RequestId;
use warden::wire::{LockBody, Outcome, PriorityName};
use warden_client::LeaseState;
use warden_client::blocking::Client;

const SOON: &str = "(yield: (after_ms: 100, min_hold_ms: 0))";

/// Somebody more urgent waits.
fn urgent(client: &Client, name: &str) -> RequestId {
    let id = RequestId::from(name);
    let body = LockBody {
        client: "urgent".to_owned(),
        priority: Some(PriorityName::Number(0)),
        request_id: Some(id.clone()),
        ..LockBody::default()
    };
    client.submit(body).unwrap();
    id
}

fn run(broker: &Broker, options: &[&str], script: &str) -> Running {
    let mut args = vec!["run", "--priority", "dreamer"];
    args.extend(options);
    args.extend(["--", "sh", "-c", script]);
    Running::start(&mut broker.warden(&args))
}

#[test]
fn what_is_no_way_to_be_asked_is_refused_before_anything_waits() {
    let broker = Broker::start(1);
    let held = broker.client();
    let _held = broker.hold(&held);
    for on_yield in ["STOP", "stop", "KILL", "9", "sigusr9", "no-such-program"] {
        let output = broker.output(&["run", "--on-yield", on_yield, "--", "true"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{on_yield}: {said}");
        assert!(said.contains("--on-yield"), "{said}");
    }
}

#[test]
fn the_command_gets_a_signal_once_an_ask() {
    let broker = Broker::start_under(1, SOON);
    let client = broker.client();
    let mut run = run(&broker, &["--on-yield", "sigusr1"], ECHO_SIGNALS);
    assert_eq!(run.line(), "ready");
    for name in ["first", "second"] {
        let asked = Instant::now();
        let id = urgent(&client, name);
        assert_eq!(run.line(), "USR1");
        // By the events: a renewal is due after 20 s only.
        assert!(asked.elapsed() < Duration::from_secs(5));
        eprintln!(
            "a waiter that is asked for after 100 ms → signal: {:?}",
            asked.elapsed()
        );
        run.until_said("a more urgent waiter asks for the GPU; sending USR1");
        client.cancel(&id).unwrap();
        run.until_said("nobody more urgent asks for the GPU any more");
        run.signal(Signal::USR2);
        assert_eq!(run.line(), "USR2", "and not the other once more");
    }
    drop(run.stdin.take());
    assert_eq!(run.code(), 0);
}

#[test]
fn who_gives_way_has_yielded() {
    let broker = Broker::start_under(1, SOON);
    let client = broker.client();
    let mut run = run(&broker, &["--on-yield", "TERM"], "echo up; exec sleep 600");
    assert_eq!(run.line(), "up");
    urgent(&client, "first");
    assert_eq!(run.code(), 128 + 15);
    let status = broker.until("granted on", |status| {
        status.leases.iter().any(|lease| lease.client == "urgent")
    });
    assert_eq!(status.counters.ended.get(&Outcome::Yielded), Some(&1));
}

#[test]
fn a_command_runs_beside_it_once_an_ask_and_keeps_no_lease() {
    let broker = Broker::start_under(1, SOON);
    let client = broker.client();
    let asks = broker.dir.path().join("asks");
    let on_yield = format!(
        "echo $$ $WARDEN_LEASE >> {}; exec sleep 600",
        asks.display()
    );
    let mut run = run(
        &broker,
        &["--on-yield", &on_yield],
        "echo $WARDEN_LEASE; cat",
    );
    let lease = run.line();
    let asked = || {
        let text = std::fs::read_to_string(&asks).unwrap_or_default();
        let lines = text.lines().map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    let mut strays = Vec::new();
    for (nth, name) in ["first", "second"].into_iter().enumerate() {
        let id = urgent(&client, name);
        until("run", || asked().len() > nth);
        let line = asked()[nth].clone();
        let (pid, told) = line.split_once(' ').unwrap();
        strays.push(Stray::named(pid));
        assert_eq!(told, lease);
        client.cancel(&id).unwrap();
        run.until_said("nobody more urgent");
    }
    drop(run.stdin.take());
    assert_eq!(run.code(), 0, "what runs beside it is not waited for");
    assert!(broker.status().leases.is_empty());
    assert_eq!(asked().len(), 2);
    assert!(strays.iter().all(Stray::lives));
}

#[test]
fn a_command_that_fails_is_told_of() {
    let broker = Broker::start_under(1, SOON);
    let client = broker.client();
    let mut run = run(
        &broker,
        &["--on-yield", "echo to stderr; exit 3"],
        "echo up; cat",
    );
    assert_eq!(run.line(), "up");
    urgent(&client, "first");
    run.until_said("to stderr");
    run.until_said("--on-yield ended with 3");
    drop(run.stdin.take());
    assert_eq!(run.code(), 0);
}

#[test]
fn without_the_option_it_is_said_and_no_more() {
    let broker = Broker::start_under(1, SOON);
    let client = broker.client();
    let mut run = run(&broker, &["--ttl", "1s"], ECHO_SIGNALS);
    assert_eq!(run.line(), "ready");
    urgent(&client, "first");
    let said = run.until_said("more urgent");
    assert!(
        said.ends_with("a more urgent waiter asks for the GPU"),
        "{said}"
    );
    let shown = String::from_utf8(broker.output(&["status"]).stdout).unwrap();
    assert!(shown.contains("sh (asked to yield)"), "{shown}");
    // Renewed many times over, it is said once.
    broker.until("renewed", |status| {
        status.leases.iter().any(|lease| lease.held_ms > 2_000)
    });
    assert_eq!(run.stderr.try_iter().count(), 0);
    drop(run.stdin.take());
    assert_eq!(run.code(), 0);
    assert_eq!(run.stdout.iter().count(), 0);
}

#[test]
fn where_the_policy_takes_who_does_not_give_way_is_ended() {
    let policy = "(yield: (mode: take, after_ms: 100, min_hold_ms: 0, grace_ms: 300))";
    let broker = Broker::start_under(1, policy);
    let client = broker.client();
    let script = "trap 'echo asked' USR1; echo up; while :; do sleep 600 & wait $!; done";
    let mut run = run(&broker, &["--on-yield", "USR1"], script);
    assert_eq!(run.line(), "up");
    urgent(&client, "first");
    assert_eq!(run.line(), "asked");
    run.until_said("taken away (yielded)");
    assert_eq!(run.code(), 76);
    broker.until("granted on", |status| {
        status.leases.iter().any(|lease| lease.client == "urgent")
    });
}

#[test]
fn a_rust_program_hears_of_an_ask_and_of_its_end() {
    let broker = Broker::start_under(1, SOON);
    let client = broker.client();
    let mut lease = broker.hold(&client);
    lease.follow_events();
    assert!(!lease.wait_asked(Duration::ZERO).is_yield_asked());
    let began = Instant::now();
    let id = urgent(&client, "first");
    assert!(lease.wait_asked(PATIENCE).is_yield_asked());
    assert!(began.elapsed() < Duration::from_secs(5), "by the events");
    client.cancel(&id).unwrap();
    until("withdrawn", || matches!(lease.state(), LeaseState::Held));
    urgent(&client, "second");
    assert!(lease.wait_asked(PATIENCE).is_yield_asked());
    let ended = lease.close().unwrap().unwrap();
    assert_eq!(ended.outcome, Outcome::Yielded);
}
