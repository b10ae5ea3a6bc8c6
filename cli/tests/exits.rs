//! How `warden` ends, as `api.md` lists it.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is a test")]

mod stand;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;

use rustix::process::Signal;
use stand::{Broker, PATIENCE, Running, on, warden};

fn code(args: &[&str]) -> i32 {
    let dir = tempfile::tempdir().unwrap();
    let output = warden()
        .env("WARDEN_DATA_DIR", dir.path())
        .args(args)
        .output()
        .unwrap();
    let said = output.stderr.len() + output.stdout.len();
    assert!(said > 0, "{args:?} says nothing");
    output.status.code().unwrap()
}

#[test]
fn nonsense_on_the_command_line_is_64_and_help_is_no_error() {
    for args in [
        &[][..],
        &["bogus"],
        &["run"],
        &["run", "--"],
        &["run", "--priority", "300", "--", "true"],
        &["run", "--priority", "-1", "--", "true"],
        &["run", "--gpus", "0", "--", "true"],
        &["run", "--vram", "8", "--", "true"],
        &["run", "--timeout", "soon", "--", "true"],
        &["run", "--timeout", "120", "--", "true"],
        &["run", "--ttl", "0s", "--", "true"],
        &["cancel"],
        &["force-release"],
        &["force-release", "l", "--all"],
        &["force-release", "l", "--clear-queue"],
        &["monitor", "--interval", "0"],
        &["serve", "--simulate-gpus", "0"],
        &["serve", "--until-idle", "1"],
        &["status", "--addr", "nowhere"],
        &["status", "--addr", "https://127.0.0.1:1"],
        &["serve", "--addr", "0.0.0.0:0"],
        &["serve", "--addr", "nonsense"],
    ] {
        assert_eq!(code(args), 64, "{args:?}");
    }
    for args in [
        &["--help"][..],
        &["help", "run"],
        &["--version"],
        &["run", "--help"],
    ] {
        assert_eq!(code(args), 0, "{args:?}");
    }
}

#[test]
fn where_there_is_no_broker_it_is_69() {
    for args in [
        &["status"][..],
        &["status", "--addr", "127.0.0.1:1"],
        &["status", "--addr", "unix:/nonexistent/w.sock"],
        &["monitor"],
        &["monitor", "--interval", "1"],
        &["cancel", "r"],
        &["reset"],
        &["force-release", "--all"],
        &["check"],
        &["run", "--", "true"],
    ] {
        assert_eq!(code(args), 69, "{args:?}");
    }
    for addr in [&[][..], &["--addr", "127.0.0.1:1"]] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = warden();
        command
            .env("WARDEN_DATA_DIR", dir.path())
            .arg("status")
            .args(addr);
        let said = String::from_utf8(command.output().unwrap().stderr).unwrap();
        let hints = said.matches("`warden serve`").count();
        assert_eq!((hints, said.lines().count()), (1, 1), "{said}");
    }
}

#[test]
fn what_is_not_known_is_answered_with_where_to_look() {
    let broker = Broker::start(1);
    let held = broker.hold(&broker.client());
    for args in [&["cancel", "never-was"], &["force-release", "never-was"]] {
        let output = broker.output(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("`warden status` shows those that there are"),
            "{said}"
        );
    }
    let output = broker.output(&["force-release"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{said}");
    let lease = format!("  {}  somebody, held ", held.granted().lease_id);
    assert!(said.contains("--all") && said.contains(&lease), "{said}");
}

#[test]
fn a_command_that_is_none_is_126_or_127_before_anything_waits() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text");
    std::fs::write(&text, "no program").unwrap();
    std::fs::set_permissions(&text, PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(code(&["run", "--", "no-such-command-anywhere"]), 127);
    assert_eq!(code(&["run", "--", "/nonexistent/command"]), 127);
    assert_eq!(code(&["run", "--", text.to_str().unwrap()]), 126);
    assert_eq!(code(&["run", "--", dir.path().to_str().unwrap()]), 126);
    // What only the system can tell comes out under the lease.
    std::fs::write(&text, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&text, PermissionsExt::from_mode(0o755)).unwrap();
    let broker = Broker::start(1);
    let output = broker.output(&["run", "--", text.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(126));
    broker.until_idle();
}

#[test]
fn the_commands_own_end_is_the_programs() {
    let broker = Broker::start(1);
    for (script, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -TERM $$", 128 + 15),
        ("kill -KILL $$", 128 + 9),
    ] {
        let output = broker.output(&["run", "--", "sh", "-c", script]);
        assert_eq!(output.status.code(), Some(code), "{script}: {output:?}");
    }
    broker.until_idle();
}

#[test]
fn two_runs_under_one_id_are_not_on_one_gpu() {
    let broker = Broker::start(1);
    let mut first = Running::start(&mut broker.warden(&[
        "run",
        "--request-id",
        "twice",
        "--",
        "sh",
        "-c",
        "echo on; exec sleep 600",
    ]));
    first.line();
    let second = broker.output(&["run", "--request-id", "twice", "--", "echo", "on"]);
    assert_eq!(second.status.code(), Some(75), "{second:?}");
    assert!(second.stdout.is_empty(), "{second:?}");
    let told = String::from_utf8(second.stderr).unwrap();
    let own = first.pid().as_raw_nonzero();
    let whose = format!("Process {own} has the request twice");
    assert!(told.contains(&whose), "{told}");
    first.signal(Signal::TERM);
    first.wait();
    broker.until_idle();
}

#[test]
fn who_starts_a_run_with_signals_blocked_hears_of_its_end_all_the_same() {
    let broker = Broker::start(1);
    let mut command = broker.warden(&["run", "--", "sh", "-c", "echo $$; exec sleep 600"]);
    // SAFETY: these calls may be made between fork and exec, on memory of their own.
    unsafe {
        command.pre_exec(|| {
            let mut all = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
            Ok(())
        });
    }
    let mut run = Running::start(&mut command);
    run.line();
    run.signal(Signal::TERM);
    assert_eq!(run.code(), 128 + 15);
}

#[test]
fn of_runs_that_start_under_one_id_in_the_same_moment_one_is_on_the_gpu() {
    let broker = Broker::start(1);
    for round in 0..10 {
        let id = format!("same-{round}");
        // Whether they know the broker by its directory or by its address.
        let nowhere = tempfile::tempdir().unwrap();
        let start = |number: usize| {
            let mut run = broker.warden(&["run", "--request-id", &id, "--"]);
            if number % 2 == 1 {
                run.env("WARDEN_DATA_DIR", nowhere.path());
                run.env("WARDEN_ADDR", broker.address().to_string());
                run.env("WARDEN_TOKEN_FILE", broker.data_dir().join("token"));
            }
            Running::start(run.args(["sh", "-c", "echo on; read x"]))
        };
        let mut runs: Vec<Running> = (0..4).map(start).collect();
        let mut on = 0;
        for run in &mut runs {
            // Either it is on, or it ends.
            if run.stdout.recv_timeout(PATIENCE).is_ok() {
                on += 1;
            } else {
                assert_eq!(run.code(), 75);
            }
        }
        assert_eq!(on, 1, "round {round}");
    }
}

#[test]
fn what_never_ran_is_75_and_what_is_not_allowed_77() {
    let broker = Broker::start(1);
    let client = broker.client();
    let _lease = broker.hold(&client);
    let run = |args: &[&str]| {
        let mut all = vec!["run"];
        all.extend(args);
        all.extend(["--", "sh", "-c", "echo ran"]);
        let mut running = Running::start(&mut broker.warden(&all));
        drop(running.stdin.take());
        running
    };
    let ended = |mut running: Running, expected: i32| {
        assert_eq!(running.code(), expected);
        assert_eq!(running.stdout.iter().count(), 0, "it ran");
        running.stderr.iter().collect::<Vec<_>>().join("\n")
    };
    let said = ended(run(&["--timeout", "100ms"]), 75);
    assert!(said.contains("queue_timeout"), "{said}");
    ended(run(&["--timeout", "0"]), 75);
    let said = ended(run(&["--gpus", "2"]), 75);
    assert!(said.contains("impossible_request"), "{said}");
    let said = ended(run(&["--vram", "9999TiB"]), 75);
    assert!(said.starts_with("warden: --vram: asks for"), "{said}");
    assert!(!said.contains("vram_mib"), "{said}");
    ended(run(&["--gpu-ids", "no-such-gpu"]), 75);
    ended(run(&["--priority", "no-such-name"]), 64);
    let said = ended(run(&["--ttl", "2h"]), 64);
    assert!(said.starts_with("warden: --ttl: must be"), "{said}");
    ended(run(&["--name", "two\nlines"]), 64);

    let cancelled = run(&["--request-id", "mine"]);
    broker.until("queued", |status| status.queue_depth == 1);
    assert_eq!(broker.output(&["cancel", "mine"]).status.code(), Some(0));
    let said = ended(cancelled, 75);
    assert!(said.contains("request_ended"), "{said}");
    ended(run(&["--request-id", "mine"]), 75);

    let cleared = run(&[]);
    broker.until("queued", |status| status.queue_depth == 1);
    let output = broker.output(&["force-release", "--all", "--clear-queue"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    ended(cleared, 75);

    let wrong = broker.dir.path().join("wrong-token");
    std::fs::File::create(&wrong)
        .unwrap()
        .write_all(b"wrong\n")
        .unwrap();
    let address = broker.address().to_string();
    for args in [&["run", "--", "true"][..], &["status"], &["reset"]] {
        let output = broker
            .warden(args)
            .env("WARDEN_TOKEN_FILE", &wrong)
            .env("WARDEN_ADDR", &address)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(77), "{args:?}: {output:?}");
    }
}

#[test]
fn a_lease_that_is_taken_away_is_76_with_the_reason() {
    let broker = Broker::start(1);
    let mut polite = Running::start(&mut broker.warden(&["run", "--", "cat"]));
    let status = broker.until("held", |status| status.leases.len() == 1);
    let forced = std::time::Instant::now();
    let lease = status.leases[0].lease_id.as_str();
    assert_eq!(
        broker.output(&["force-release", lease]).status.code(),
        Some(0)
    );
    let said = polite.until_said("forced");
    assert_eq!(
        said,
        "warden: the lease was taken away (forced); ending the command"
    );
    assert_eq!(polite.code(), 76);
    // The events tell within 1 s; the renewal would have come after 20.
    assert!(forced.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn interrupted_in_the_queue_it_leaves_the_queue_and_is_128_and_the_signal() {
    let broker = Broker::start(1);
    let client = broker.client();
    let lease = broker.hold(&client);
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let mut run = Running::start(&mut broker.warden(&["run", "--", "true"]));
        broker.until("queued", |status| status.queue_depth == 1);
        run.signal(signal);
        assert_eq!(run.code(), 128 + signal.as_raw());
        broker.until("left", |status| status.queue_depth == 0);
    }
    drop(lease);
    broker.until_idle();
}

#[test]
fn a_hang_up_that_its_starter_ignores_does_not_end_it() {
    let broker = Broker::start(1);
    let lease = broker.hold(&broker.client());
    let mut command = broker.warden(&["run", "--", "true"]);
    on(libc::SIGHUP, libc::SIG_IGN, &mut command);
    let mut run = Running::start(&mut command);
    broker.until("queued", |status| status.queue_depth == 1);
    run.signal(Signal::HUP);
    run.signal(Signal::TERM);
    assert_eq!(run.code(), 128 + Signal::TERM.as_raw());
    drop(lease);
    broker.until_idle();
}

#[test]
fn a_broker_that_cannot_start_says_why_and_how_it_ends() {
    let broker = Broker::start(1);
    let output = broker.output(&["serve", "--addr", "127.0.0.1:0", "--simulate-gpus", "1"]);
    assert_eq!(output.status.code(), Some(73), "{output:?}");
    let dir = tempfile::tempdir().unwrap();
    let address = broker.address().to_string();
    let output = warden()
        .args([
            "serve",
            "--simulate-gpus",
            "1",
            "--addr",
            &address,
            "--data-dir",
        ])
        .arg(dir.path().join("data"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(73), "{output:?}");
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = warden()
        .args([
            "serve",
            "--addr",
            "127.0.0.1:0",
            "--simulate-gpus",
            "1",
            "--data-dir",
        ])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(74), "{output:?}");
}
