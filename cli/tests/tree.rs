//! `warden run` and everything that its command starts: kept under the lease, and ended with it.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is a test")]

mod stand;

use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use stand::{Broker, DAEMON, DEAF_DAEMON, PATIENCE, Running, Stray, state_of, until};
use warden::wire::{GpuState, LockBody, RenewBody};
use warden_client::Error;

fn body() -> LockBody {
    LockBody {
        client: "next".to_owned(),
        ..LockBody::default()
    }
}

/// A run whose command has a daemon beside it, and goes on itself.
fn with_daemon(broker: &Broker, daemon: &str) -> (Running, Stray) {
    let script = format!("{daemon}; exec sleep 600");
    let run = Running::start(&mut broker.warden(&["run", "--", "sh", "-c", &script]));
    let stray = Stray::named(&run.line());
    until("asleep", || name_of(stray.0) == "sleep");
    (run, stray)
}

fn name_of(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim().to_owned()
}

#[test]
fn a_killed_run_leaves_nothing_wherever_it_went_and_the_next_has_the_gpu() {
    let broker = Broker::start(1);
    let client = broker.client();
    let mut took = Vec::new();
    for _ in 0..5 {
        let (mut run, stray) = with_daemon(&broker, DEAF_DAEMON);
        let (put, get) = channel();
        let (waiting, pid) = (client.clone(), stray.0);
        let next = thread::spawn(move || {
            let lease = waiting.acquire(body()).unwrap();
            put.send((Instant::now(), state_of(pid))).unwrap();
            lease.close().unwrap();
        });
        broker.until("queued", |status| status.queue_depth == 1);
        let killed = Instant::now();
        run.signal(Signal::KILL);
        let (granted, state) = get.recv_timeout(PATIENCE).unwrap();
        assert_eq!(state, None, "the daemon was gone before the grant");
        took.push(granted - killed);
        run.wait();
        next.join().unwrap();
    }
    took.sort_unstable();
    eprintln!("run killed → its daemon ended → next granted: {took:?}");
    // The budget is 100 ms; what a busy machine adds is not the broker's.
    assert!(took[took.len() / 2] < Duration::from_secs(2), "{took:?}");
}

/// Kills the run while another waits for its GPU, and says whether this one lived at the grant.
fn lived_at_the_grant(broker: &Broker, mut run: Running, stray: &Stray) -> bool {
    let (put, get) = channel();
    let (waiting, pid) = (broker.client(), stray.0);
    let next = thread::spawn(move || {
        let lease = waiting.acquire(body()).unwrap();
        put.send(state_of(pid).is_some()).unwrap();
        lease.close().unwrap();
    });
    broker.until("queued", |status| status.queue_depth == 1);
    run.signal(Signal::KILL);
    let lived = get.recv_timeout(PATIENCE).unwrap();
    run.wait();
    next.join().unwrap();
    lived
}

#[test]
fn what_a_killed_run_left_is_ended_though_it_has_cleared_its_environment() {
    let broker = Broker::start(1);
    // Its parent carries the mark and outlives the command, which dies with the run.
    let cleared = "setsid env -i sh -c 'sleep 600 >/dev/null 2>&1 & echo $$ $!; wait'";
    let script = format!("({cleared} & wait) & wait");
    let run = Running::start(&mut broker.warden(&["run", "--", "sh", "-c", &script]));
    let line = run.line();
    let (cleared, started) = line.split_once(' ').unwrap();
    let (cleared, started) = (Stray::named(cleared), Stray::named(started));
    assert!(!lived_at_the_grant(&broker, run, &cleared));
    assert!(!started.lives());
}

#[test]
fn what_a_killed_run_left_is_ended_by_either_of_its_marks() {
    let broker = Broker::start(1);
    for lost in ["env -i", "prlimit --locks=unlimited"] {
        // Nobody that outlives the command has the one that is lost.
        let (run, stray) = with_daemon(
            &broker,
            &DAEMON.replace("setsid", &format!("setsid {lost}")),
        );
        assert!(!lived_at_the_grant(&broker, run, &stray), "{lost}");
    }
}

/// A command whose child is another user's, marked all the same. Only root can become another.
fn with_another_users(broker: &Broker) -> Option<(Running, Stray)> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can start another user's process");
        return None;
    }
    let another = "setsid setpriv --reuid 65534 --clear-groups sh -c \
                   'echo $$; exec sleep 600 >/dev/null 2>&1' & wait";
    let run = Running::start(&mut broker.warden(&["run", "--", "sh", "-c", another]));
    let stray = Stray::named(&run.line());
    until("asleep", || name_of(stray.0) == "sleep");
    Some((run, stray))
}

#[test]
fn what_a_killed_run_left_is_ended_though_it_is_another_users() {
    let broker = Broker::start(1);
    if let Some((run, stray)) = with_another_users(&broker) {
        assert!(!lived_at_the_grant(&broker, run, &stray));
    }
}

#[test]
fn what_a_killed_run_left_is_ended_though_it_moves_from_process_to_process() {
    let folder = tempfile::tempdir().unwrap();
    let beats = folder.path().join("beats");
    // Each of them lives for some milliseconds, like one look at all processes.
    let command = r#"
        n=1500
        hop() {
            [ $n -gt 0 ] || exit
            n=$((n - 1))
            echo >>"$0"
            i=0
            while [ $i -lt 2000 ]; do i=$((i + 1)); done
            hop & exit
        }
        hop & sleep 600"#;
    // Where it is faster than the broker, the GPU drains until it has come to its end.
    let broker = Broker::start_under(1, "(drain_ms: 600000)");
    let length = || std::fs::metadata(&beats).map_or(0, |file| file.len());
    for _ in 0..4 {
        let before = length();
        let mut command = broker.warden(&["run", "--", "sh", "-c", command]);
        let mut run = Running::start(command.arg(&beats));
        until("hopping", || length() > before + 5);
        run.signal(Signal::KILL);
        let lease = broker.client().acquire(body()).unwrap();
        let at_the_grant = length();
        // It would have gone on ten times.
        thread::sleep(Duration::from_millis(200));
        assert_eq!(length(), at_the_grant);
        lease.close().unwrap();
        run.wait();
    }
}

#[test]
fn what_may_not_be_ended_holds_the_gpu_up_until_it_is_gone() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can start another user's process");
        return;
    }
    let broker = Broker::start_without("kill", 1, "(drain_ms: 600000)");
    let (mut run, stray) = with_another_users(&broker).unwrap();
    let waiting = broker.client();
    let next = thread::spawn(move || waiting.acquire(body()).unwrap());
    broker.until("queued", |status| status.queue_depth == 1);
    run.signal(Signal::KILL);
    run.wait();
    let status = broker.until("drains", |status| status.leases.is_empty());
    assert_eq!(status.gpus[0].state, GpuState::Draining);
    assert!(stray.lives());
    // It would be granted within a few ms, were it taken for gone.
    thread::sleep(Duration::from_millis(500));
    assert_eq!(broker.status().gpus[0].state, GpuState::Draining);
    stray.signal(Signal::KILL);
    next.join().unwrap().close().unwrap();
}

#[test]
fn what_a_killed_run_left_is_ended_by_the_next_broker() {
    let mut broker = Broker::start(1);
    let (mut run, stray) = with_daemon(&broker, DEAF_DAEMON);
    broker.kill();
    run.signal(Signal::KILL);
    run.wait();
    assert!(stray.lives(), "nobody is there to end it");
    broker.start_again();
    broker.client().acquire(body()).unwrap();
    assert!(!stray.lives());
}

#[test]
fn another_brokers_processes_are_left_alone_though_the_lease_has_the_same_number() {
    let brokers = [Broker::start(1), Broker::start(1)];
    let mut runs = brokers.each_ref().map(|broker| with_daemon(broker, DAEMON));
    let lease_of = |broker: &Broker| broker.status().leases[0].lease_id.clone();
    assert_eq!(lease_of(&brokers[0]), lease_of(&brokers[1]));
    runs[0].0.signal(Signal::KILL);
    runs[0].0.wait();
    brokers[0].until_idle();
    assert!(!runs[0].1.lives());
    assert!(runs[1].1.lives());
    assert_eq!(brokers[1].status().leases.len(), 1);
    // Nor does the second broker take it for one of its own when it looks.
    runs[1].0.signal(Signal::KILL);
    runs[1].0.wait();
    brokers[1].until_idle();
    assert!(!runs[1].1.lives());
}

/// A shell that is to become `sleep` may not have yet.
fn is_daemons(name: &str) -> bool {
    ["sleep)", "sh)"]
        .iter()
        .any(|known| name.starts_with(known))
}

#[test]
fn a_daemon_keeps_the_lease_until_it_ends() {
    let broker = Broker::start(1);
    let start = || {
        let script = format!("{DAEMON}; exit 7");
        let args = ["run", "--ttl", "1s", "--", "sh", "-c", &script];
        let run = Running::start(&mut broker.warden(&args));
        let stray = Stray::named(&run.line());
        let said = run.until_said("goes on and keeps the GPU");
        let who = format!(
            "ended with 7; 1 process that it started goes on and keeps the GPU: {} (",
            stray.0
        );
        let (_, name) = said.split_once(&who).expect(&said);
        assert!(is_daemons(name), "{said}");
        (run, stray)
    };
    let (mut run, stray) = start();
    broker.until("renewed", |status| {
        status.leases.iter().any(|lease| lease.held_ms > 2_500)
    });
    stray.signal(Signal::TERM);
    assert_eq!(run.code(), 7, "the command's own");
    assert!(broker.status().leases.is_empty(), "given back before");
    // Ctrl+C ends it, though a shell's background job is told to ignore that.
    let (mut run, stray) = start();
    run.signal(Signal::INT);
    assert_eq!(run.code(), 7);
    assert!(!stray.lives());
    let (mut run, stray) = start();
    run.signal(Signal::TERM);
    assert_eq!(run.code(), 7);
    assert!(!stray.lives());
    broker.until_idle();
}

#[test]
fn what_is_over_right_after_the_command_needs_no_words() {
    let broker = Broker::start(1);
    let output = broker.output(&["run", "--", "sh", "-c", "(sleep 0.05 &); exit 3"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stderr.is_empty(), "{output:?}");
    assert!(broker.status().leases.is_empty());
}

#[test]
fn a_lease_that_is_taken_away_ends_all_of_it_and_the_gpu_drains_meanwhile() {
    let broker = Broker::start(1);
    let script = format!("{DEAF_DAEMON}; {DAEMON}; exec sleep 600");
    let mut run = Running::start(&mut broker.warden(&["run", "--", "sh", "-c", &script]));
    let strays = [Stray::named(&run.line()), Stray::named(&run.line())];
    until("asleep", || {
        strays.iter().all(|stray| name_of(stray.0) == "sleep")
    });
    let own = run.pid().as_raw_nonzero().get().cast_unsigned();
    assert_eq!(
        broker.output(&["force-release", "--all"]).status.code(),
        Some(0)
    );
    let status = broker.status();
    assert_eq!(status.gpus[0].state, GpuState::Draining);
    assert_eq!(status.gpus[0].draining[0].pid, own);
    let shown = String::from_utf8(broker.output(&["status"]).stdout).unwrap();
    let who = format!("sh's process {own}, at most for ");
    assert!(
        shown.contains("draining") && shown.contains(&who),
        "{shown}"
    );
    run.until_said("what the command had started did not end when asked; killing it");
    assert_eq!(run.code(), 76);
    assert!(strays.iter().all(|stray| !stray.lives()));
    broker.until_idle();
}

#[test]
fn a_cancelled_run_is_over_before_its_gpu_is_granted_on() {
    let broker = Broker::start(1);
    let script = format!("{DEAF_DAEMON}; exec sleep 600");
    let start = || {
        let args = ["run", "--request-id", "mine", "--", "sh", "-c", &script];
        let run = Running::start(&mut broker.warden(&args));
        let stray = Stray::named(&run.line());
        until("asleep", || name_of(stray.0) == "sleep");
        (run, stray)
    };
    let (mut run, stray) = start();
    assert_eq!(broker.output(&["cancel", "mine"]).status.code(), Some(0));
    run.until_said("ending the command");
    // It cannot see to its daemon any more.
    run.signal(Signal::KILL);
    run.wait();
    let next = broker.client().acquire(body()).unwrap();
    assert!(!stray.lives());
    next.close().unwrap();
}

#[test]
fn a_killed_run_leaves_nothing_though_another_process_has_its_lease() {
    let broker = Broker::start(1);
    let script = format!("{DEAF_DAEMON}; exec sleep 600");
    let args = [
        "run",
        "--request-id",
        "mine",
        "--name",
        "mine",
        "--",
        "sh",
        "-c",
        &script,
    ];
    let mut run = Running::start(&mut broker.warden(&args));
    let stray = Stray::named(&run.line());
    let taken_over = LockBody {
        client: "mine".to_owned(),
        request_id: Some("mine".into()),
        pid: Some(std::process::id()),
        ..LockBody::default()
    };
    broker.client().lock(taken_over).unwrap();
    run.signal(Signal::KILL);
    run.wait();
    until("gone", || !stray.lives());
    assert_eq!(broker.status().leases[0].pid, Some(std::process::id()));
}

#[test]
fn a_mark_that_may_not_be_set_is_not_taken_for_anothers() {
    let broker = Broker::start(1);
    let limited = |hard: &str, args: &[&str]| {
        let run = broker.warden(args);
        let mut command = Command::new("prlimit");
        command.arg(format!("--locks={hard}:{hard}"));
        command.arg(run.get_program()).args(run.get_args());
        command.envs(
            run.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        command
    };
    // A hundred is no mark; the other is one of a process that is not there.
    for hard in ["100", "10000000"] {
        let script = format!("{DAEMON}; exec sleep 600");
        let args = ["run", "--", "sh", "-c", &script];
        let run = Running::start(&mut limited(hard, &args));
        let stray = Stray::named(&run.line());
        until("asleep", || name_of(stray.0) == "sleep");
        assert!(!lived_at_the_grant(&broker, run, &stray), "{hard}");
    }
    broker.until("free", |status| status.gpus[0].state == GpuState::Free);
}

#[test]
fn what_a_shell_had_started_before_it_became_the_run_is_not_the_commands() {
    let broker = Broker::start(1);
    let before =
        "(setsid sleep 600 >/dev/null 2>&1 & echo $!); sleep 600 >/dev/null 2>&1 & echo $!";
    let script = format!(
        "{before}; exec {} run -- sh -c '(sleep 600 >/dev/null 2>&1 & echo $!); exit 5'",
        env!("CARGO_BIN_EXE_warden")
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]);
    command.env("WARDEN_DATA_DIR", broker.data_dir());
    let mut run = Running::start(&mut command);
    let orphan = Stray::named(&run.line());
    let child = Stray::named(&run.line());
    let own = Stray::named(&run.line());
    let said = run.until_said("goes on");
    let (_, name) = said
        .split_once(&format!("the GPU: {} (", own.0))
        .expect(&said);
    assert!(is_daemons(name), "{said}");
    run.signal(Signal::TERM);
    assert_eq!(run.code(), 5);
    assert!(child.lives() && orphan.lives());
    assert!(!own.lives());
}

#[test]
fn a_run_that_was_stopped_past_its_deadline_ends_its_command() {
    let broker = Broker::start_under(1, "(drain_ms: 300)");
    let args = [
        "run",
        "--ttl",
        "1s",
        "--",
        "sh",
        "-c",
        "echo $$; exec sleep 600",
    ];
    let mut run = Running::start(&mut broker.warden(&args));
    let command = Stray::named(&run.line());
    run.signal(Signal::STOP);
    let next = broker.client().acquire(body()).unwrap();
    assert!(
        command.lives(),
        "the policy's bound is over, not the process"
    );
    kill_process(run.pid(), Signal::CONT).unwrap();
    run.until_said("expired");
    assert_eq!(run.code(), 76);
    assert!(!command.lives());
    next.close().unwrap();
}

#[test]
fn a_broker_that_was_stopped_takes_no_lease_for_the_time_it_missed() {
    let broker = Broker::start(1);
    let client = broker.client();
    let mut body = body();
    body.ttl_ms = Some(1_000);
    let granted = client.lock(body).unwrap();
    kill_process(broker.pid(), Signal::STOP).unwrap();
    // Longer than the lease lives.
    thread::sleep(Duration::from_millis(2_500));
    kill_process(broker.pid(), Signal::CONT).unwrap();
    let renewal = RenewBody {
        lease_id: granted.lease_id.clone(),
        token: granted.token,
        operation: None,
    };
    client.renew(&renewal).unwrap();
    // And one that nobody renews ends all the same.
    broker.until_idle();
    let late = client.renew(&renewal).unwrap_err();
    assert!(matches!(late, Error::Problem(_)), "{late}");
}
