//! A broker that may have few open files.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::json;

use crate::daemon::Daemon;
use crate::lines::{Answer, Line};
use crate::stand::until;

/// So many files the broker may have open.
const FILES: u64 = 700;

/// Processes that are nobody's but this test's; they end with it.
struct Sleepers(Vec<Child>);

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn who_finds_no_room_for_its_process_is_told_so_and_nobody_else_notices() {
    let broker = Daemon::start_with(&["--simulate-gpus", "2"], |command| {
        let few = Rlimit {
            current: Some(FILES),
            maximum: Some(FILES),
        };
        // SAFETY: `setrlimit` is one system call, and may be called between fork and exec.
        unsafe { command.pre_exec(move || Ok(setrlimit(Resource::Nofile, few)?)) };
    });
    let sleeper = |_| Command::new("sleep").arg("600").spawn().unwrap();
    let mut sleepers = Sleepers((0..900).map(sleeper).collect());
    let body = |pid: u32| json!({"client": "c", "pid": pid, "request_id": format!("r{pid}")});
    let (mut taken, mut refused) = (Vec::new(), 0);
    let mut note = |pid: u32, answer: Option<Answer>| match answer {
        Some(answer) if matches!(answer.status, 200 | 202) => taken.push(pid),
        Some(answer) => {
            assert_eq!(answer.status, 429, "{answer:?}");
            assert_eq!(answer.body["code"], "too_many_requests", "{answer:?}");
            assert!(answer.head.contains("retry-after:"), "{answer:?}");
            refused += 1;
        }
        // Who was turned away at the door may find its connection reset.
        None => refused += 1,
    };
    let lock = |pid: u32| {
        let mut body = body(pid);
        body["wait"] = false.into();
        let mut line = Line::open(&broker);
        line.try_send("POST /v1/gpu/lock", Some(&body));
        line
    };
    // One after the other, so that connections are not what there is too little of; then all at once,
    // each on a connection of its own.
    let (some, others) = sleepers.0.split_at(450);
    for sleeper in some {
        note(sleeper.id(), lock(sleeper.id()).try_answer());
    }
    let lines: Vec<_> = others.iter().map(|sleeper| lock(sleeper.id())).collect();
    for (mut line, sleeper) in lines.into_iter().zip(others) {
        note(sleeper.id(), line.try_answer());
    }
    assert!(taken.len() > 100 && refused > 100, "{} taken", taken.len());
    let client = broker.client();
    until("all are known", || {
        let status = client.status().unwrap();
        status.queue.len() + status.leases.len() == taken.len()
    });
    // Who is watched already may ask again.
    let mut known = body(taken[0]);
    known["wait"] = false.into();
    let again = Line::open(&broker).ask("POST /v1/gpu/lock", Some(&known));
    assert!(matches!(again.status, 200 | 202), "{again:?}");
    // The watch is as good as ever, and what it frees is there for others.
    for sleeper in &mut sleepers.0 {
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
    until("all have ended", || {
        let status = client.status().unwrap();
        status.queue.is_empty() && status.leases.is_empty()
    });
    let us = Line::open(&broker).ask("POST /v1/gpu/lock", Some(&body(std::process::id())));
    assert_eq!(us.status, 200, "{us:?}");
    let said: Vec<_> = broker.process.stderr.try_iter().collect();
    let short = said
        .iter()
        .filter(|line| line.contains("Too many open files"));
    assert_eq!(short.count(), 0, "{said:?}");
}
