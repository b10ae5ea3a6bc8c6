//! `warden run` around a command: its environment, its signals, its end.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is a test")]

mod stand;

use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use stand::{Broker, ECHO_SIGNALS, Running, has_pending, state_of, until};

fn pid(text: &str) -> Pid {
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

#[test]
fn the_command_is_told_what_it_was_granted() {
    let broker = Broker::start(3);
    let script = "echo $CUDA_VISIBLE_DEVICES $HIP_VISIBLE_DEVICES $ZE_AFFINITY_MASK; \
                  echo $WARDEN_LEASE; echo $WARDEN_FENCING_TOKEN; cat";
    let run = |args: &[&str]| {
        let mut all = vec!["run"];
        all.extend(args);
        all.extend(["--", "sh", "-c", script]);
        Running::start(&mut broker.warden(&all))
    };
    let mut first = run(&[
        "--name",
        "a name",
        "--priority",
        "mic",
        "--operation",
        "model_load",
    ]);
    assert_eq!(first.line(), "0 0 0");
    let (lease, token) = (first.line(), first.line());
    let mut second = run(&["--gpus", "2", "--priority", "200", "--ttl", "7s"]);
    assert_eq!(second.line(), "1,2 1,2 1,2");
    second.line();
    assert!(second.line().parse::<u64>().unwrap() > token.parse().unwrap());

    let status = broker.status();
    let shown = status
        .leases
        .iter()
        .find(|shown| shown.lease_id.as_str() == lease)
        .unwrap();
    assert_eq!(shown.client, "a name");
    assert_eq!(
        (shown.priority, shown.operation.as_str()),
        (0, "model_load")
    );
    assert_eq!(
        shown.pid,
        Some(first.pid().as_raw_nonzero().get().cast_unsigned())
    );
    let other = status
        .leases
        .iter()
        .find(|shown| shown.lease_id.as_str() != lease)
        .unwrap();
    assert_eq!(
        other.client, "sh",
        "the command's base name, where none is given"
    );
    assert_eq!((other.priority, other.ttl_ms), (200, 7000));
    for running in [&mut first, &mut second] {
        drop(running.stdin.take());
        assert_eq!(running.code(), 0);
    }
    // Given back when the program had ended, not some time later.
    assert!(broker.status().leases.is_empty());
}

#[test]
fn shares_of_a_gpu_run_side_by_side() {
    let broker = Broker::start(1);
    let share = || Running::start(&mut broker.warden(&["run", "--vram", "1GiB", "--", "cat"]));
    let _running = [share(), share()];
    let status = broker.until("both held", |status| status.leases.len() == 2);
    assert!(
        status
            .leases
            .iter()
            .all(|lease| lease.vram_mib == Some(1024))
    );
}

#[test]
fn a_lease_outlives_its_ttl_while_the_command_runs() {
    let broker = Broker::start(1);
    let mut run = Running::start(&mut broker.warden(&["run", "--ttl", "1s", "--", "cat"]));
    let held = broker.until("held longer than its ttl", |status| {
        status
            .leases
            .first()
            .is_some_and(|lease| lease.held_ms > 2500)
    });
    assert_eq!(held.counters.granted, 1);
    drop(run.stdin.take());
    assert_eq!(run.code(), 0);
}

#[test]
fn a_signal_to_the_program_or_to_its_group_reaches_the_command_once() {
    let broker = Broker::start(1);
    let mut command = broker.warden(&["run", "--", "sh", "-c", ECHO_SIGNALS]);
    let mut run = Running::start(command.process_group(0));
    assert_eq!(run.line(), "ready");
    let names = [
        ("USR1", Signal::USR1),
        ("INT", Signal::INT),
        ("USR2", Signal::USR2),
        ("HUP", Signal::HUP),
        ("WINCH", Signal::WINCH),
        ("QUIT", Signal::QUIT),
        ("CONT", Signal::CONT),
    ];
    // One at a time, and in both ways: a signal that came twice would be read in the next one's
    // place.
    for (name, signal) in names {
        kill_process_group(run.pid(), signal).unwrap();
        assert_eq!(run.line(), name, "to the group");
        // Equal signals merge in the kernel until the first one is taken.
        until("taken", || !has_pending(run.pid()));
        run.signal(signal);
        assert_eq!(run.line(), name, "to the program alone");
    }
    run.signal(Signal::TERM);
    assert_eq!(run.line(), "TERM");
    assert_eq!(run.code(), 3);
    assert_eq!(run.stdout.iter().count(), 0);
}

#[test]
fn a_command_in_a_group_of_its_own_gets_what_the_programs_group_gets() {
    let broker = Broker::start(1);
    let script = format!("setsid sh -c '{ECHO_SIGNALS}'");
    let mut command = broker.warden(&["run", "--", "sh", "-c", &format!("exec {script}")]);
    let mut run = Running::start(command.process_group(0));
    assert_eq!(run.line(), "ready");
    kill_process_group(run.pid(), Signal::USR1).unwrap();
    assert_eq!(run.line(), "USR1");
    drop(run.stdin.take());
    assert_eq!(run.code(), 0);
}

#[test]
fn a_command_that_stops_stops_the_program_and_both_go_on() {
    let broker = Broker::start(1);
    let mut command = broker.warden(&["run", "--", "sh", "-c", "echo $$; exec cat"]);
    let mut run = Running::start(command.process_group(0));
    let own = run.pid().as_raw_nonzero().get().cast_unsigned();
    let child: u32 = run.line().parse().unwrap();
    let both = |state: char| {
        until(&format!("both {state}"), || {
            [own, child]
                .iter()
                .all(|pid| (state_of(*pid) == Some('T')) == (state == 'T'))
        });
    };
    // As Ctrl+Z and `fg` do it, then as `kill` from elsewhere does.
    kill_process_group(run.pid(), Signal::TSTP).unwrap();
    both('T');
    kill_process_group(run.pid(), Signal::CONT).unwrap();
    both('R');
    run.signal(Signal::TSTP);
    both('T');
    run.signal(Signal::CONT);
    both('R');
    drop(run.stdin.take());
    assert_eq!(run.code(), 0);
}

#[test]
fn a_killed_program_leaves_neither_lease_nor_process() {
    let broker = Broker::start(1);
    let mut run =
        Running::start(&mut broker.warden(&["run", "--", "sh", "-c", "echo $$; exec cat"]));
    let child = pid(&run.line());
    let own = run.pid();
    until("a witness", || !children_of(own).is_empty());
    let all = children_of(own);
    run.signal(Signal::KILL);
    run.wait();
    broker.until_idle();
    until("gone", || all.iter().all(|pid| state_of(*pid).is_none()));
    assert!(all.contains(&child.as_raw_nonzero().get().cast_unsigned()));
}

fn children_of(parent: Pid) -> Vec<u32> {
    let parent = parent.as_raw_nonzero();
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

#[test]
fn a_command_that_ignores_the_loss_of_its_lease_is_killed() {
    let broker = Broker::start(1);
    let script = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
    let mut run = Running::start(&mut broker.warden(&["run", "--", "sh", "-c", script]));
    assert_eq!(run.line(), "ready");
    assert_eq!(
        broker.output(&["force-release", "--all"]).status.code(),
        Some(0)
    );
    run.until_said("killing it");
    assert_eq!(run.code(), 76);
}

#[test]
fn without_a_broker_a_fallback_runs_without_a_lease_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = stand::warden();
    command
        .env("WARDEN_DATA_DIR", dir.path())
        .env_remove("WARDEN_LEASE")
        .args([
            "run",
            "--fallback",
            "--",
            "sh",
            "-c",
            "echo lease:$WARDEN_LEASE; exit 5",
        ]);
    let mut run = Running::start(&mut command);
    assert_eq!(run.line(), "lease:");
    assert_eq!(run.code(), 5);
    run.until_said("without a lease");
}

#[test]
fn a_refusal_is_no_reason_to_fall_back() {
    let broker = Broker::start(1);
    let output = broker.output(&["run", "--fallback", "--gpus", "9", "--", "echo", "ran"]);
    assert_eq!(output.status.code(), Some(75));
    assert!(output.stdout.is_empty());
}

#[test]
fn a_broker_that_is_killed_ends_nothing_and_finds_everything_again() {
    let mut broker = Broker::start(1);
    let mut holder =
        Running::start(&mut broker.warden(&["run", "--ttl", "3s", "--", "sh", "-c", ECHO_SIGNALS]));
    assert_eq!(holder.line(), "ready");
    let token_of = "echo $WARDEN_FENCING_TOKEN";
    let mut waiter = Running::start(&mut broker.warden(&[
        "run",
        "--request-id",
        "keeps-its-place",
        "--",
        "sh",
        "-c",
        token_of,
    ]));
    let before = broker.until("queued", |status| status.queue_depth == 1);
    let lease = before.leases[0].lease_id.clone();
    for _ in 0..2 {
        broker.kill();
        // The command runs on meanwhile.
        holder.signal(Signal::USR1);
        assert_eq!(holder.line(), "USR1");
        broker.start_again();
        let after = broker.until("as before", |status| {
            status.queue.first().is_some_and(|waiter| waiter.connected) && status.leases.len() == 1
        });
        assert_eq!(after.leases[0].lease_id, lease);
        assert_eq!(after.queue[0].request_id.as_str(), "keeps-its-place");
    }
    let renewed = broker.until("renewed by its holder", |status| {
        status
            .leases
            .first()
            .is_some_and(|lease| lease.held_ms > 3500)
    });
    assert_eq!(renewed.leases[0].lease_id, lease);
    drop(holder.stdin.take());
    assert_eq!(holder.code(), 0);
    assert!(waiter.line().parse::<u64>().is_ok());
    assert_eq!(waiter.code(), 0);
}

#[test]
fn contending_runs_are_served_by_priority_then_by_arrival() {
    let broker = Broker::start(1);
    let client = broker.client();
    let lease = broker.hold(&client);
    let (names, order) = (["20", "10", "dreamer", "mic", "console"], [3, 1, 4, 0, 2]);
    let file = broker.dir.path().join("order");
    let mut runs = Vec::new();
    for (nth, priority) in names.iter().enumerate() {
        let script = format!("echo {nth} >> {}", file.display());
        runs.push(Running::start(&mut broker.warden(&[
            "run",
            "--priority",
            priority,
            "--",
            "sh",
            "-c",
            &script,
        ])));
        broker.until("queued", |status| status.queue_depth == nth as u64 + 1);
    }
    let waiting = broker.status();
    assert!(
        waiting
            .queue
            .iter()
            .all(|waiter| waiter.client == "sh" && waiter.connected)
    );
    runs[2].until_said("place 5");
    drop(lease);
    for run in &mut runs {
        assert_eq!(run.code(), 0);
    }
    let served: Vec<usize> = stand::read(&file)
        .lines()
        .map(|nth| nth.parse().unwrap())
        .collect();
    assert_eq!(served, order);
}

#[test]
fn what_arrives_while_the_program_is_stopped_in_the_queue_is_not_lost() {
    let broker = Broker::start(1);
    let client = broker.client();
    let lease = broker.hold(&client);
    let mut run = Running::start(&mut broker.warden(&["run", "--", "echo", "ran"]));
    broker.until("queued", |status| status.queue_depth == 1);
    run.signal(Signal::TSTP);
    let own = run.pid().as_raw_nonzero().get().cast_unsigned();
    until("stopped", || state_of(own) == Some('T'));
    drop(lease);
    broker.until("granted", |status| {
        status.leases.iter().any(|lease| lease.client == "echo")
    });
    std::thread::sleep(Duration::from_millis(50));
    assert!(run.stdout.try_recv().is_err());
    kill_process(run.pid(), Signal::CONT).unwrap();
    assert_eq!(run.line(), "ran");
    assert_eq!(run.code(), 0);
}
