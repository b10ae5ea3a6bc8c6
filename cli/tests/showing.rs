//! What `warden` shows of a broker, and what comes of its orders.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is a test")]

mod stand;

use std::io::Write as _;

use stand::{Broker, Running, lines};
use warden::wire::{LockBody, PriorityName, Status};

fn text(output: &std::process::Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_status_names_gpus_holders_and_waiters_and_what_is_simulated() {
    let broker = Broker::start(1);
    let _holder = Running::start(&mut broker.warden(&["run", "--name", "the holder", "--", "cat"]));
    broker.until("held", |status| status.leases.len() == 1);
    let _waiter = Running::start(&mut broker.warden(&[
        "run",
        "--name",
        "the waiter",
        "--priority",
        "20",
        "--request-id",
        "its-id",
        "--",
        "cat",
    ]));
    broker.until("queued", |status| status.queue_depth == 1);

    let json = broker.output(&["status", "--json"]);
    let status: Status = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((status.leases.len(), status.queue_depth), (1, 1));

    let page = text(&broker.output(&["status"]));
    for part in [
        "1 lease",
        "1 waiter",
        "imulated",
        "the holder",
        "the waiter",
        "its-id",
        "WHY",
        status.leases[0].lease_id.as_str(),
        status.queue[0].why.text.as_str(),
    ] {
        assert!(page.contains(part), "no {part:?} in\n{page}");
    }
    assert!(!page.contains('\x1b'), "colour where there is no terminal");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let broker = Broker::start(1);
    let status = format!(
        "{} status | true; {0} status >&-",
        env!("CARGO_BIN_EXE_warden")
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &status])
        .env("WARDEN_DATA_DIR", broker.data_dir())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn the_monitor_tells_what_happens_a_line_an_event() {
    let broker = Broker::start(1);
    let monitor = Running::start(&mut broker.warden(&["monitor"]));
    assert!(monitor.line().contains("connected to unix:"));
    assert!(monitor.line().contains("snapshot"));
    assert_eq!(
        broker
            .output(&["run", "--name", "quick", "--", "true"])
            .status
            .code(),
        Some(0)
    );
    let mut told = Vec::new();
    while !told.iter().any(|line: &String| line.contains("released")) {
        told.push(monitor.line());
    }
    let granted = told
        .iter()
        .find(|line| line.contains(" granted: "))
        .unwrap();
    assert!(granted.contains("quick"), "{granted}");
    // Each has the time, and a number one above that of the line before.
    let number = |line: &String| {
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    for pair in told.windows(2) {
        assert_eq!(number(&pair[0]) + 1, number(&pair[1]), "{told:?}");
    }
}

#[test]
fn the_monitor_with_an_interval_shows_the_status_again_and_again() {
    let mut broker = Broker::start(1);
    let monitor = Running::start(&mut broker.warden(&["monitor", "--interval", "0.1"]));
    let until = |part: &str| while !monitor.line().contains(part) {};
    until("no leases");
    until("no leases");
    broker.kill();
    until("no broker answers");
    broker.start_again();
    until("no leases");
}

#[test]
fn orders_say_what_came_of_them() {
    let broker = Broker::start(2);
    let client = broker.client();
    let first = broker.hold(&client).granted().lease_id.clone();
    let held = broker.hold(&client);
    let waiter = Running::start(&mut broker.warden(&[
        "run",
        "--gpus",
        "2",
        "--request-id",
        "waits",
        "--",
        "true",
    ]));
    broker.until("queued", |status| status.queue_depth == 1);
    let said = text(&broker.output(&["cancel", "waits"]));
    assert!(said.contains("waits: cancelled"), "{said}");
    drop(waiter);
    assert!(text(&broker.output(&["reset"])).contains("nothing was stale"));
    let lease = held.granted().lease_id.clone();
    let said = text(&broker.output(&["force-release", lease.as_str()]));
    assert!(
        said.contains(lease.as_str()) && said.contains("forced"),
        "{said}"
    );
    let said = text(&broker.output(&["force-release", "--all", "--clear-queue"]));
    assert!(said.contains("nobody waited"), "{said}");

    for (args, code) in [
        (&["cancel", "never-was"][..], "unknown_request"),
        (&["force-release", "never-was"], "unknown_lease"),
        (&["force-release", lease.as_str()], "lease_ended"),
        (&["force-release", first.as_str()], "lease_ended"),
    ] {
        let output = broker.output(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(code), "{args:?}: {said}");
        assert_eq!(output.status.code(), Some(1), "{args:?}");
    }
}

#[test]
fn a_stranger_on_the_port_never_gets_the_token() {
    let mut broker = Broker::start(1);
    let address = broker.address();
    let token = stand::read(&broker.data_dir().join("token"));
    broker.kill();
    // It takes the dead broker's port, and answers whatever it is asked.
    let stranger = std::net::TcpListener::bind(address).unwrap();
    let (heard, ear) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = stranger.accept() {
            let mut answer = stream.try_clone().unwrap();
            let heard = heard.clone();
            std::thread::spawn(move || {
                for line in lines(stream) {
                    if line.is_empty() {
                        let _ = answer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
                    }
                    let _ = heard.send(line);
                }
            });
        }
    });
    let address = address.to_string();
    for args in [
        &["status"][..],
        &["status", "--addr", &address],
        &["run", "--", "true"],
        &["run", "--addr", &address, "--", "true"],
        &["check"],
        &["monitor"],
        &["force-release", "--all"],
    ] {
        let output = broker.output(args);
        assert_eq!(output.status.code(), Some(69), "{args:?}: {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("is not the broker of") && said.contains(&address),
            "{said}"
        );
    }
    let heard: Vec<String> = ear.try_iter().collect();
    assert!(
        !heard.iter().any(|line| line.contains(token.trim())),
        "{heard:?}"
    );
}

#[test]
fn the_window_is_found_in_the_path_and_told_which_broker_is_meant() {
    let dir = tempfile::tempdir().unwrap();
    // Away from where a window may have been built.
    let program = dir.path().join("warden");
    // By processes of their own: a file that any of this one's children has open for writing, in
    // the moment between its fork and its exec, cannot be run.
    let sh = |script: String| {
        assert!(
            std::process::Command::new("sh")
                .args(["-c", &script])
                .status()
                .unwrap()
                .success()
        );
    };
    sh(format!(
        "cp {} {}",
        env!("CARGO_BIN_EXE_warden"),
        program.display()
    ));
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let window = bin.join("warden-dashboard");
    let script = r#"printf '#!/bin/sh\necho window "$@"\nexit 5\n' >"#;
    sh(format!("{script} {0}; chmod 755 {0}", window.display()));
    let open = |path: &std::path::Path| {
        std::process::Command::new(&program)
            .env("PATH", format!("{}:/bin:/usr/bin", path.display()))
            .args([
                "dashboard",
                "--addr",
                "127.0.0.1:9",
                "--data-dir",
                "d",
                "--",
                "--shot",
                "x",
            ])
            .output()
            .unwrap()
    };
    let output = open(&bin);
    assert_eq!(
        text(&output),
        "window --addr 127.0.0.1:9 --data-dir d --shot x\n"
    );
    assert_eq!(output.status.code(), Some(5));
    std::fs::rename(&window, dir.path().join("warden-dashboard")).unwrap();
    assert!(
        text(&open(&bin)).starts_with("window"),
        "beside the program"
    );
    std::fs::remove_file(dir.path().join("warden-dashboard")).unwrap();
    let output = open(&bin);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("warden-dashboard")
    );
}

#[test]
fn the_monitor_tells_who_is_asked_and_what_drains() {
    let policy = "(drain_ms: 600000, yield: (after_ms: 0, min_hold_ms: 0))";
    let broker = Broker::start_under(1, policy);
    let client = broker.client();
    let mut owner = Running::start(std::process::Command::new("sleep").arg("600"));
    let body = |client: &str, priority: i64| LockBody {
        client: client.to_owned(),
        priority: Some(PriorityName::Number(priority)),
        request_id: Some(client.into()),
        ..LockBody::default()
    };
    let monitor = Running::start(&mut broker.warden(&["monitor"]));
    let told = |text: &str| {
        let line = std::iter::repeat_with(|| monitor.line()).find(|line| line.contains(text));
        line.unwrap()
    };
    told("snapshot");
    let mut holder = body("holder", 20);
    holder.pid = Some(owner.pid().as_raw_nonzero().get().cast_unsigned());
    let granted = client.lock(holder).unwrap();
    client.submit(body("urgent", 0)).unwrap();
    told("yield_asked: holder");
    client.cancel(&"urgent".into()).unwrap();
    told("no longer asked to give way");
    client.force_release(&granted.lease_id).unwrap();
    let line = told("forced after");
    assert!(
        line.contains("drains until ") && line.ends_with(" at most"),
        "{line}"
    );
    owner.signal(rustix::process::Signal::KILL);
    owner.wait();
    assert!(told("gpus_changed").ends_with("1 GPUs"));
}

#[test]
fn a_doubt_is_shown_and_a_reset_ends_it() {
    let mut broker = Broker::start(1);
    let lease = broker.hold(&broker.client());
    broker.kill();
    drop(lease);
    std::fs::write(broker.data_dir().join("journal.db"), "damaged").unwrap();
    // A young journal is in its log as a whole, and would be read from there.
    std::fs::remove_file(broker.data_dir().join("journal.db-wal")).unwrap();
    broker.start_again();
    let refused = broker.output(&["run", "--timeout", "0s", "--", "true"]);
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    let page = text(&broker.output(&["status"]));
    for part in [
        "journal_damaged since",
        "`warden reset`",
        "journal.corrupt-",
    ] {
        assert!(page.contains(part), "no {part:?} in\n{page}");
    }
    let reset = text(&broker.output(&["reset"]));
    assert_eq!(
        reset,
        "the journal is trusted again: grants go on\nnothing was stale\n"
    );
    assert!(!text(&broker.output(&["status"])).contains("journal_damaged"));
    let runs = broker.output(&["run", "--", "true"]);
    assert!(runs.status.success(), "{runs:?}");
    assert_eq!(text(&broker.output(&["reset"])), "nothing was stale\n");
}
