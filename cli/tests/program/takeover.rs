//! The process becomes the program on disk, and back, and keeps what it has.

use std::fs;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use warden::Code;
use warden::wire::LockBody;
use warden::wire::reload::{ReloadBody, ReloadOutcome, ReloadState};

use crate::daemon::{Daemon, only_program};
use crate::stand::{PATIENCE, until};

const BACK: ReloadBody = ReloadBody {
    module: None,
    back: true,
    one_way: false,
};

#[test]
fn the_process_goes_on_as_the_program_on_disk() {
    let broker = Daemon::start(&[]);
    let client = broker.client();
    client.enable_reload(true).unwrap();
    let lease = client
        .acquire(LockBody {
            client: "holder".to_owned(),
            pid: Some(std::process::id()),
            ..LockBody::default()
        })
        .unwrap();
    let (before, status) = (broker.module(), client.status().unwrap());
    assert_eq!((before.generation, before.state), (1, ReloadState::Live));
    let open = || fs::read_dir(broker.proc("fd")).unwrap().count();
    let mut opened = 0;
    for generation in 2..=5 {
        broker.install(&[b'x'; 3][..generation as usize % 2 + 1]);
        assert!(broker.module().program.unwrap().newer_sha256.is_some());
        let results = broker.reload_program().unwrap().results;
        assert_eq!(
            (results[0].outcome, results[0].generation),
            (ReloadOutcome::Reloaded, generation)
        );
        let module = broker.module();
        let sha256 = module.sha256.unwrap();
        assert_eq!(broker.running(), broker.data("programs").join(&sha256));
        assert_eq!(module.program.unwrap().newer_sha256, None);
        assert_eq!(broker.copies().len(), 2, "{:?}", broker.copies());
        assert!(broker.copies().contains(&sha256));
        if generation == 3 {
            opened = open();
        }
    }
    assert!(
        open() <= opened + 2,
        "descriptors pile up: {opened}, {}",
        open()
    );
    let comm = fs::read_to_string(broker.proc("comm")).unwrap();
    assert_eq!(comm.trim(), "warden");

    let published = broker.published();
    assert_eq!(published.pid, broker.ready.pid);
    assert_eq!(published.address, broker.ready.address);
    assert_eq!(published.socket, broker.ready.socket);
    assert_eq!(published.started_at, broker.ready.started_at);
    let after = client.status().unwrap();
    assert_eq!(after.leases[0].lease_id, status.leases[0].lease_id);
    assert_eq!(after.leases[0].pid, Some(std::process::id()));
    assert!(after.revision >= status.revision);
    lease.close().unwrap().unwrap();
    let second = broker.process.stdout.try_recv();
    assert!(second.is_err(), "it is ready only once: {second:?}");
    broker.start_again(&[]);
}

#[test]
fn sameness_is_by_content() {
    let broker = Daemon::start(&["--dev"]);
    let file = fs::File::open(broker.program()).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(60))
        .unwrap();
    let results = broker.reload_program().unwrap().results;
    assert_eq!(results[0].outcome, ReloadOutcome::Unchanged);
    broker.install(b"");
    let results = broker.reload_program().unwrap().results;
    assert_eq!(results[0].outcome, ReloadOutcome::Unchanged);
    assert!(!broker.data("programs").exists(), "nothing was copied");
}

#[test]
fn there_is_a_way_back_also_after_a_restart() {
    let broker = Daemon::start(&[]);
    let client = broker.client();
    client.enable_reload(true).unwrap();
    let refusal = client.reload(&BACK).unwrap_err();
    assert_eq!(refusal.code(), Some(Code::ReloadRefused));
    let stage = refusal.refusal().unwrap().problem.extra.stage.clone();
    assert_eq!(stage.as_deref(), Some("missing"));

    let first = broker.module().sha256;
    broker.install(b"second");
    broker.reload_program().unwrap();
    let second = broker.module();
    let before = second.program.unwrap().before.unwrap();
    assert_eq!(Some(before.sha256), first);
    let output = broker.warden(&["hot-reload", "--back"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "program: reloaded, generation 3\n");
    let module = broker.module();
    assert_eq!(module.sha256, first);
    let program = module.program.unwrap();
    assert_eq!(program.newer_sha256, second.sha256, "on disk");
    assert_eq!(Some(program.before.unwrap().sha256), second.sha256);

    // Started anew from the file on disk: the one before is the one that ran.
    let broker = broker.start_again(&[]);
    let module = broker.module();
    assert_eq!((module.sha256, module.generation), (second.sha256, 1));
    let program = module.program.unwrap();
    assert_eq!(Some(program.before.unwrap().sha256), first);
    broker.client().reload(&BACK).unwrap();
    assert_eq!(broker.module().sha256, first);

    // A copy that is no longer what it was is not executed.
    let kept = broker.module().program.unwrap().before.unwrap().sha256;
    let copy = broker.data("programs").join(kept);
    fs::remove_file(&copy).unwrap();
    fs::write(&copy, "#!/bin/sh\n").unwrap();
    let refusal = broker.client().reload(&BACK).unwrap_err();
    assert_eq!(refusal.code(), Some(Code::ReloadRefused));
    assert_eq!(broker.module().sha256, first);
}

#[test]
fn a_hangup_reloads_all() {
    let broker = Daemon::start(&["--dev"]);
    let config = broker.folder.path().join("config");
    fs::create_dir_all(&config).unwrap();
    broker.install(b"hangup");
    // `--dev` watches the file, too; whoever comes second finds it unchanged.
    fs::write(config.join("policy.ron"), "(max_bypass: 3)").unwrap();
    broker.process.signal(Signal::HUP);
    broker.until_generation(2);
    let client = broker.client();
    until("the policy is live", || {
        let policy = client.hot_reload().unwrap().modules;
        policy
            .iter()
            .any(|module| module.name == "policy" && module.sha256.is_some())
    });
    // Hang-ups in a row, some of which come while nobody listens.
    for round in 0..10_u8 {
        broker.install(&[round; 2]);
        for _ in 0..5 {
            broker.process.signal(Signal::HUP);
            // Each round meets another moment of the reload before.
            std::thread::sleep(Duration::from_millis(u64::from(round) * 3));
        }
    }
    broker.client().status().unwrap();
    broker.start_again(&[]);
}

#[test]
fn a_saved_program_goes_live_in_development_mode() {
    let broker = Daemon::start(&["--dev"]);
    broker.install(b"saved");
    let module = broker.until_generation(2);
    assert_eq!(module.state, ReloadState::Live);
    // Also with the copy that runs now.
    broker.install(b"again");
    broker.until_generation(3);
}

#[test]
fn a_signal_that_comes_on_the_way_ends_it_well() {
    for delay_ms in [0, 2, 5, 10, 20, 40, 80, 160] {
        let mut broker = Daemon::start(&[]);
        broker.client().enable_reload(true).unwrap();
        broker.install(b"term");
        let mut reload = broker
            .warden(&["hot-reload", "--module", "program"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Until the copy is there that is about to run.
        until("copied", || broker.data("programs").exists());
        // Each delay meets another moment of the reload.
        std::thread::sleep(Duration::from_millis(delay_ms));
        broker.process.signal(Signal::TERM);
        assert_eq!(broker.process.code(), 0, "after {delay_ms} ms");
        for left in ["endpoint", "warden.sock"] {
            assert!(!broker.data(left).exists(), "{left}, after {delay_ms} ms");
        }
        reload.wait().unwrap();
    }
}

#[test]
fn what_others_set_in_the_environment_is_no_handover() {
    let serve = |value: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = crate::stand::warden();
        command
            .env("WARDEN_HANDOVER", value)
            .args([
                "serve",
                "--addr",
                "127.0.0.1:0",
                "--simulate-gpus",
                "1",
                "--data-dir",
            ])
            .arg(folder.path().join("data"))
            .arg("--config-dir")
            .arg(folder.path());
        (crate::stand::Running::start(&mut command), folder)
    };
    // Inherited from a broker that started this one: of another process.
    let (process, _folder) = serve("1:9:0");
    assert!(
        process
            .stdout
            .recv_timeout(PATIENCE)
            .unwrap()
            .starts_with('{')
    );
    let (mut process, _folder) = serve("nonsense");
    assert_eq!(process.code(), 74);
    process.until_said("WARDEN_HANDOVER");
}

#[test]
fn who_comes_second_is_answered_too() {
    let broker = Daemon::start(&[]);
    broker.client().enable_reload(true).unwrap();
    broker.install(b"for all");
    std::thread::scope(|scope| {
        let ask = || {
            let client = broker.client();
            scope.spawn(move || client.reload(&only_program()).unwrap().results)
        };
        let asked: Vec<_> = (0..6).map(|_| ask()).collect();
        let answers = asked.into_iter().map(|answer| answer.join().unwrap());
        assert!(answers.flatten().all(|result| result.generation == 2));
    });
}

#[test]
fn only_the_program_goes_back() {
    let broker = Daemon::start(&["--dev"]);
    let body = ReloadBody {
        module: Some("policy".to_owned()),
        ..BACK
    };
    let refusal = broker.client().reload(&body).unwrap_err();
    assert_eq!(refusal.code(), Some(Code::InvalidRequest));
    assert_eq!(
        refusal.refusal().unwrap().problem.extra.field.as_deref(),
        Some("back")
    );
    let body = ReloadBody {
        module: Some("progam".to_owned()),
        ..only_program()
    };
    let refusal = broker.client().reload(&body).unwrap_err();
    assert_eq!(refusal.code(), Some(Code::InvalidRequest));
}
