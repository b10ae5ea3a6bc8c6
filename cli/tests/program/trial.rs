//! Programs that must not take over, and one that cannot after all.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::Signal;
use warden::Code;
use warden::wire::LockBody;
use warden::wire::reload::{ReloadBody, ReloadState, Reloaded};
use warden_client::blocking::Lease;

use crate::daemon::{Daemon, only_program};
use crate::stand::until;

/// What the running broker hands over by.
const FORMAT: u32 = 2;

/// A script that does one thing when it is checked and another when it is to take over: that is the
/// second time that it runs, and all that it can go by.
fn by_turns(broker: &Daemon, checked: &str, otherwise: &str) -> String {
    let mark = broker.folder.path().join("checked");
    format!(
        "MARK='{}'\nif [ ! -e \"$MARK\" ]; then : > \"$MARK\"; {checked}; exit; fi\n\
         rm \"$MARK\"\n{otherwise}",
        mark.display()
    )
}

/// One that passes the start check as the built program does, and otherwise does as it says.
fn after_check(broker: &Daemon, otherwise: &str) -> String {
    by_turns(broker, TAKE_OVER, otherwise)
}

pub const TAKE_OVER: &str = "exec \"$REAL\" \"$@\"";
/// The same with a note that is none.
const WRONG_NOTE: &str = "WARDEN_HANDOVER=$(echo \"$WARDEN_HANDOVER\" | sed 's/:[0-9]*:/:999:/') \
     exec \"$REAL\" \"$@\"";

/// Shell that answers the start check with this report.
fn report(handover: u32, journal: i64) -> String {
    format!("echo '{{\"version\":\"9\",\"handover\":{handover},\"journal\":{journal}}}'")
}

fn hold(broker: &Daemon) -> Lease {
    let body = LockBody {
        client: "holder".to_owned(),
        ..LockBody::default()
    };
    broker.client().acquire(body).unwrap()
}

/// Why a reload was refused: the stage, and what was said.
fn refused(answer: Result<Reloaded, warden_client::Error>) -> (String, String) {
    let error = answer.unwrap_err();
    let refusal = error.refusal().unwrap_or_else(|| panic!("{error}"));
    assert_eq!(refusal.problem.code, Code::ReloadRefused, "{error}");
    let stage = refusal.problem.extra.stage.clone().unwrap();
    (stage, refusal.problem.detail.to_string())
}

#[test]
fn a_program_that_fails_its_check_changes_nothing() {
    let broker = Daemon::start(&[]);
    broker.client().enable_reload(true).unwrap();
    let lease = hold(&broker);
    let sha256 = broker.module().sha256;
    let check = |script: &str, said: &str| {
        broker.install_script(script);
        let (stage, detail) = refused(broker.reload_program());
        assert_eq!(stage, "check", "{detail}");
        assert!(detail.contains(said), "{detail}");
        let module = broker.module();
        assert_eq!(module.state, ReloadState::Refused);
        assert!(module.last_error.unwrap().message.contains(said));
        assert_eq!(broker.copies().len(), 1, "only the one that runs");
    };
    check("echo broken >&2; exit 3", "exit code 3): broken");
    check("kill -SEGV $$", "signal 11");
    check("echo hello", "no `warden`");
    check("exit 0", "no `warden`");
    check(&report(999, 1), "format 999");
    check(WRONG_NOTE, "handed over");
    check("exec \"$REAL\" \"$@\" --nonsense", "--nonsense");
    check("sleep 60 & sleep 60", "did not end within");
    // Another state out of the same journal.
    let copied = broker.data("programs/.check/journal.db");
    let copied = copied.display();
    check(&format!("rm '{copied}'*\n{TAKE_OVER}"), "another state");
    // Its last words are enough, however much it says.
    check(
        "seq 100000 >&2; echo last words >&2; exit 3",
        "\n100000\nlast words",
    );
    let message = broker.module().last_error.unwrap().message;
    assert!(message.len() < 4096, "{}", message.len());
    // No program at all, and nothing of what it says instead.
    fs::write(broker.program(), "secret:x:0:0\n").unwrap();
    let (stage, detail) = refused(broker.reload_program());
    assert_eq!(stage, "check", "{detail}");
    assert!(
        detail.contains("neither") && !detail.contains("secret"),
        "{detail}"
    );
    fs::write(broker.program(), [0x7f, b'E', b'L', b'F', 0, 0]).unwrap();
    let (stage, detail) = refused(broker.reload_program());
    assert_eq!(stage, "check", "{detail}");

    assert_eq!(broker.module().sha256, sha256);
    assert_eq!(broker.client().status().unwrap().leases.len(), 1);
    lease.close().unwrap().unwrap();
    broker.install(b"good");
    broker.reload_program().unwrap();
    assert_eq!(broker.module().state, ReloadState::Live);
}

#[test]
fn one_that_fails_after_the_exec_goes_back() {
    let broker = Daemon::start(&[]);
    broker.client().enable_reload(true).unwrap();
    let lease = hold(&broker);
    let first = broker.module().sha256;
    // It starts with other arguments than it was checked with, and finds another socket than it is
    // to listen on.
    let elsewhere = broker.folder.path().join("elsewhere.sock");
    let otherwise = format!("exec \"$REAL\" \"$@\" --socket '{}'", elsewhere.display());
    broker.install_script(&after_check(&broker, &otherwise));
    for _ in 0..3 {
        let (stage, detail) = refused(broker.reload_program());
        assert_eq!(stage, "start", "{detail}");
        assert!(detail.contains("elsewhere.sock"), "{detail}");
        let module = broker.module();
        assert_eq!((&module.sha256, module.generation), (&first, 1));
        assert_eq!(module.state, ReloadState::Refused);
        assert_eq!(module.last_error.unwrap().stage, "start");
        let copy = broker.data("programs").join(first.as_ref().unwrap());
        assert_eq!(broker.running(), copy);
        assert_eq!(broker.copies().len(), 1, "{:?}", broker.copies());
    }
    assert_eq!(broker.published().pid, broker.ready.pid);
    assert_eq!(broker.published().address, broker.ready.address);
    assert_eq!(broker.client().status().unwrap().leases.len(), 1);
    lease.close().unwrap().unwrap();
    // Nothing stands in the way of a good one.
    broker.install(b"good");
    broker.reload_program().unwrap();
    assert_eq!(broker.module().generation, 2);
    broker.start_again(&[]);
}

#[test]
fn one_that_fails_before_it_has_read_anything_goes_back() {
    let broker = Daemon::start(&[]);
    broker.client().enable_reload(true).unwrap();
    let lease = hold(&broker);
    let first = broker.module().sha256;
    let faults = [
        (WRONG_NOTE, "handed over"),
        ("exec \"$REAL\" \"$@\" --nonsense", "before it served"),
        ("exec \"$REAL\" --version", "before it served"),
    ];
    for (otherwise, said) in faults {
        broker.install_script(&after_check(&broker, otherwise));
        let (stage, detail) = refused(broker.reload_program());
        assert_eq!(stage, "start", "{detail}");
        assert!(detail.contains(said), "{detail}");
        let module = broker.module();
        assert_eq!((&module.sha256, module.generation), (&first, 1));
        assert_eq!(broker.client().status().unwrap().leases.len(), 1);
    }
    lease.close().unwrap().unwrap();
    broker.install(b"good");
    broker.reload_program().unwrap();
    assert_eq!(broker.module().generation, 2);
    broker.start_again(&[]);
}

/// A tool that tells of one GPU, and dawdles while there is a file `slow` beside it: as long as a
/// broker asks it, that broker does not serve.
fn install_tool(folder: &Path) {
    let tool = folder.join("nvidia-smi");
    let script = format!(
        "#!/bin/sh\ncd '{}'\nif [ -e slow ]; then : > asked; exec sleep 8; fi\n\
         echo 'GPU-of-test-{}, Fake, 1000'\n",
        folder.display(),
        std::process::id()
    );
    fs::write(&tool, script).unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn one_that_is_ended_before_it_serves_goes_back() {
    let tools = tempfile::tempdir().unwrap();
    install_tool(tools.path());
    let broker = Daemon::start_with(&[], |command| {
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", tools.path().display()));
    });
    let lease = hold(&broker);
    let first = broker.module().sha256;
    let (slow, asked) = (tools.path().join("slow"), tools.path().join("asked"));
    let faults = [
        (Signal::SEGV, "signal 11"),
        (Signal::ABORT, "signal 6"),
        (Signal::BUS, "signal 7"),
        // What a start that takes too long ends with.
        (Signal::ALARM, "signal 14"),
    ];
    broker.client().enable_reload(true).unwrap();
    broker.install(b"ended");
    for (signal, said) in faults {
        fs::write(&slow, "").unwrap();
        let client = broker.client();
        std::thread::scope(|scope| {
            let reload = scope.spawn(|| client.reload(&only_program()));
            until("the new program starts", || asked.exists());
            assert_ne!(broker.running(), broker.program());
            fs::remove_file(&slow).unwrap();
            fs::remove_file(&asked).unwrap();
            broker.process.signal(signal);
            let (stage, detail) = refused(reload.join().unwrap());
            assert_eq!(stage, "start", "{detail}");
            assert!(detail.contains(said), "{detail}");
        });
        let module = broker.module();
        assert_eq!((&module.sha256, module.generation), (&first, 1));
    }
    assert_eq!(broker.client().status().unwrap().leases.len(), 1);
    lease.close().unwrap().unwrap();
    broker.client().reload(&only_program()).unwrap();
    // Off trial a fault is what it always was.
    let mut broker = broker;
    broker.process.signal(Signal::ABORT);
    assert_eq!(broker.process.wait().code(), None);
}

#[test]
fn a_journal_that_the_program_before_cannot_read_takes_a_word() {
    let broker = Daemon::start(&[]);
    broker.client().enable_reload(true).unwrap();
    let lease = hold(&broker);
    broker.install_script(&report(FORMAT, 999));
    let (stage, detail) = refused(broker.reload_program());
    assert_eq!(stage, "one_way", "{detail}");
    assert!(
        detail.contains("999") && detail.contains("--one-way"),
        "{detail}"
    );
    broker.install_script(&by_turns(&broker, &report(FORMAT, 999), TAKE_OVER));
    let output = broker
        .warden(&["hot-reload", "--one-way"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(broker.module().generation, 2);
    assert_eq!(broker.client().status().unwrap().leases.len(), 1);
    lease.close().unwrap().unwrap();
}

#[test]
fn a_check_cannot_touch_the_journal_itself() {
    let broker = Daemon::start(&[]);
    broker.client().enable_reload(true).unwrap();
    // It spoils what it is given.
    let copied = broker.data("programs/.check/journal.db");
    let copied = copied.display();
    broker.install_script(&format!(
        "rm '{copied}-wal'\nprintf spoiled > '{copied}'\n{TAKE_OVER}"
    ));
    let (stage, detail) = refused(broker.client().reload(&ReloadBody {
        one_way: true,
        ..only_program()
    }));
    assert_eq!(stage, "check", "{detail}");
    let lease = hold(&broker);
    // The one on disk cannot serve at all.
    broker.install(b"");
    let broker = broker.start_again(&[]);
    let leases = broker.client().status().unwrap().leases;
    assert_eq!(leases.len(), 1);
    drop(lease);
}
