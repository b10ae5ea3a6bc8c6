//! A reload as a transaction: tried, taken or refused as a whole, taken back, and explained.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so when it fails"
)]

mod workshop;

use std::env;
use std::fs;
use std::path::Path;
use std::process;
use std::time::{Duration, Instant};

use warden_reload::{
    self as reload, BuildCommand, CapturedState, Child, Failure, HotModule, Outcome, Rehearsed,
    RollBackError, Snapshot, Standing, StateError, Watch, rehearse_child,
};
use workshop::chameleons::{Stage, compile, draw, library, module, told, write_unnoticed};
use workshop::{STAMP, staged_copies};

fn failed(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("expected a failure, got {other:?}"),
    }
}

fn at(failure: &Failure) -> String {
    format!("{}: {}", failure.stage, failure.title)
}

#[test]
fn memory_is_carried_over_and_every_key_is_told() {
    let stage = Stage::new(None);
    let first = stage.take(library(false));
    stage.prove();
    let before = stage.memory();
    assert!(before.contains("name:\"first\""), "{before}");

    // Frames that are drawn after the rehearsal count too.
    let outcome = stage.load(library(true));
    assert!(matches!(outcome, Outcome::Ready(2)), "{outcome:?}");
    stage.draw_well(2);
    let frames = stage.draw().result.unwrap();
    assert_eq!(stage.reloader.swap("tiny").unwrap().number(), 2);
    let status = stage.reloader.status("tiny").unwrap();
    let moved = status.migration.unwrap();
    assert_eq!((moved.from, moved.to), (Some(first), 2));
    let told = &moved.migration;
    let keys = |changes: &[warden_reload::Change]| -> Vec<String> {
        changes.iter().map(|change| change.key.clone()).collect()
    };
    assert_eq!(told.kept, ["frames"]);
    assert_eq!(keys(&told.migrated), ["name → title", "zoom"]);
    assert_eq!(keys(&told.defaulted), ["kind", "fresh"]);
    assert_eq!(keys(&told.dropped), ["gone"]);
    let kind = &told.defaulted[0];
    assert_eq!(
        (kind.old.as_deref(), kind.new.as_deref()),
        (Some("7"), Some("[\"none\"]"))
    );
    assert!(kind.why.is_some(), "why the old value was not taken");
    assert_eq!(stage.draw().result.unwrap(), frames + 1, "counted on");

    // By hand, with the memory as it is now.
    let now = stage.memory();
    assert!(
        now.contains("title:\"first\"") && now.contains("zoom:1.0"),
        "{now}"
    );
    stage.reloader.roll_back("tiny", first).unwrap();
    assert_eq!(stage.draw().result.unwrap(), frames + 2);
    let history = stage.reloader.status("tiny").unwrap().history;
    let standing: Vec<Standing> = history.iter().map(|row| row.standing).collect();
    assert_eq!(standing, [Standing::Running, Standing::RolledBack]);
    assert!(history.iter().all(|row| row.mapped_bytes > 0));
    assert_eq!(
        stage.reloader.roll_back("tiny", first).unwrap_err(),
        RollBackError::Runs(first)
    );
    let none = stage.reloader.roll_back("tiny", 9).unwrap_err();
    assert!(matches!(none, RollBackError::NoSuch { number: 9, .. }));
}

#[test]
fn captured_memory_outlives_the_process() {
    let stage = Stage::new(None);
    stage.take(library(false));
    stage.draw_well(3);
    let captured = stage.reloader.capture_state("tiny").unwrap().unwrap();

    let next = Stage::new(None);
    let told = next.reloader.restore_state("tiny", &captured).unwrap();
    assert!(told.is_none(), "nothing runs yet");
    next.take(library(true));
    assert_eq!(next.draw().result.unwrap(), 4);
    let told = next
        .reloader
        .restore_state("tiny", &captured)
        .unwrap()
        .unwrap();
    assert_eq!(told.kept, ["frames"]);
    assert_eq!(next.draw().result.unwrap(), 4);
    let other = CapturedState {
        module: "other".to_owned(),
        ..captured
    };
    let refused = next.reloader.restore_state("tiny", &other);
    assert_eq!(refused.unwrap_err(), StateError::Other("other".to_owned()));
}

#[test]
fn what_fails_on_probation_is_taken_back_with_its_state_and_refused_until_it_changes() {
    let stage = Stage::new(None);
    let good = stage.take(library(false));
    stage.prove();
    for (serial, frame) in [(1, 1), (2, 30)] {
        let bad = told(library(false), "panic", frame, serial);
        let outcome = stage.load(&bad);
        assert!(matches!(outcome, Outcome::Ready(_)), "{outcome:?}");
        let before = stage.memory();
        let number = stage
            .reloader
            .swap_with("tiny", || Snapshot::new("the window as it was"))
            .unwrap()
            .number();
        stage.draw_well(frame - 1);
        let called = stage.draw();
        assert!(called.result.unwrap_err().message.contains("is bad"));
        let back = called.rolled_back.unwrap();
        assert_eq!(back.to.unwrap().number(), good);
        assert_eq!(
            back.snapshot.unwrap().get::<&str>(),
            Some(&"the window as it was")
        );
        assert_eq!(
            at(&back.failure),
            format!("probation: generation {number} panicked: frame {frame} is bad")
        );
        assert!(back.failure.place.is_some(), "one std on both sides");
        assert_eq!(stage.memory(), before);

        let again = failed(stage.load(&bad));
        assert!(
            at(&again).starts_with("check: this file was taken back before"),
            "{}",
            again.title
        );
        let by_hand = stage.reloader.roll_back("tiny", number).unwrap_err();
        assert!(
            matches!(by_hand, RollBackError::Quarantined { .. }),
            "{by_hand}"
        );
        let history = stage.reloader.status("tiny").unwrap().history;
        let last = &history[history.len() - 2..];
        assert_eq!(last[0].standing, Standing::Quarantined);
        assert_eq!(last[1].standing, Standing::Refused);
    }
    stage.take(&told(library(false), "good", 0, 3));
    assert!(!stage.reloader.is_error_state());
    stage.prove();
}

#[test]
fn three_slow_frames_running_fail_probation_and_two_do_not() {
    let stage = Stage::new(None);
    stage.take(library(false));
    stage.prove();
    let good = stage.memory();
    let second = stage.take(&told(library(false), "good", 0, 1));
    let [slow, quick] = [Duration::from_millis(101), Duration::from_millis(100)];
    let drew = |cost| stage.reloader.drew("tiny", cost);
    for cost in [slow, slow, quick, slow, slow] {
        assert!(drew(cost).is_none());
    }
    let left = stage.reloader.status("tiny").unwrap().probation.unwrap();
    assert_eq!(left.frames_left, 35);
    let back = drew(slow).unwrap();
    assert_eq!((back.from.unwrap().number(), second), (2, 2));
    assert!(
        back.failure
            .title
            .contains("3 frames running took more than 100 ms")
    );
    assert_eq!(stage.memory(), good);

    // What is trusted may be slow.
    for _ in 0..5 {
        assert!(drew(slow).is_none());
    }
}

#[test]
fn a_file_changed_after_its_build_is_refused() {
    let stage = Stage::new(None);
    // The build copies what lies beside.
    let built = stage.directory.path().join("built.so");
    let module = HotModule {
        build: Some(BuildCommand {
            program: "sh".into(),
            arguments: vec!["-c".to_owned(), "cp source.so built.so".to_owned()],
            directory: stage.directory.path().to_owned(),
            target: "built".to_owned(),
        }),
        ..module("built", &built)
    };
    stage.reloader.register(module).unwrap();
    let bytes = compile("built", &[]);
    fs::write(stage.directory.path().join("source.so"), &bytes).unwrap();
    let outcome = stage.reloader.reload("built").unwrap().wait();
    assert!(matches!(outcome, Outcome::Ready(1)), "{outcome:?}");
    let first = stage.reloader.swap("built").unwrap();
    assert!(first.provenance().recorded);
    assert_eq!(first.provenance().rehearsed, Rehearsed::Here);

    // The same length, the same time, another byte.
    write_unnoticed(&built, &told(&bytes, "good", 0, 7));
    let failure = failed(stage.reloader.load("built").unwrap().wait());
    assert!(at(&failure).contains("check: "), "{}", at(&failure));
    assert!(
        failure.title.contains("changed after it was built"),
        "{}",
        failure.title
    );
    assert!(failure.message.contains(first.sha256()));

    // Another time: somebody else built it.
    fs::write(&built, told(&bytes, "good", 0, 8)).unwrap();
    let outcome = stage.reloader.load("built").unwrap().wait();
    assert!(matches!(outcome, Outcome::Ready(2)), "{outcome:?}");
    let second = stage.reloader.swap("built").unwrap();
    assert_eq!(
        second.provenance().to_string(),
        "built elsewhere: no hash to compare it with; rehearsed in this process"
    );
}

#[test]
fn a_newer_file_is_lit_and_only_loaded_where_somebody_asked_for_that() {
    let stage = Stage::new(None);
    stage.take(library(false));
    let status = || stage.reloader.status("tiny").unwrap();
    let soon = |what: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_secs(10);
        while !what() && Instant::now() < end {
            // The status is asked, as a host asks it in each frame: what is tested is what it says then.
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(what(), "{:?}", status());
    };
    stage.reloader.watch("tiny", Watch::Light).unwrap();
    let replace = |serial| {
        let new = stage.directory.path().join("new.so");
        fs::write(&new, told(library(false), "good", 0, serial)).unwrap();
        fs::rename(new, &stage.artifact).unwrap();
    };
    replace(1);
    soon(&|| status().newer);
    assert!(status().stage.is_none() && stage.reloader.swap("tiny").is_none());
    // The file that runs is not newer.
    fs::write(&stage.artifact, library(false)).unwrap();
    soon(&|| !status().newer);
    replace(2);
    soon(&|| status().newer);
    let taken = stage.reloader.load("tiny").unwrap().wait();
    assert!(matches!(taken, Outcome::Ready(2)) && !status().newer);

    stage.reloader.watch("tiny", Watch::Reload).unwrap();
    replace(3);
    soon(&|| {
        let _ = stage.reloader.swap("tiny");
        status()
            .running
            .is_some_and(|running| running.number() == 3)
    });
    stage.reloader.watch("tiny", Watch::Off).unwrap();
    assert!(stage.reloader.watch("nobody", Watch::Light).is_err());
}

#[test]
fn a_third_module_is_one_more_entry() {
    let stage = Stage::new(None);
    stage.take(library(false));
    let artifact = stage.directory.path().join("libthird.so");
    fs::write(&artifact, compile("third", &[])).unwrap();
    stage.reloader.register(module("third", &artifact)).unwrap();
    let outcome = stage.reloader.load("third").unwrap().wait();
    assert!(matches!(outcome, Outcome::Ready(1)), "{outcome:?}");
    let _ = stage.reloader.swap("third").unwrap();
    stage.draw_well(3);
    assert_eq!(draw(&stage.reloader, "third").result.unwrap(), 1);
    assert_eq!(stage.draw().result.unwrap(), 4);
    assert_eq!(stage.reloader.modules().len(), 2);
}

/// This very program, as the child of a rehearsal: see the test below it.
fn child() -> Child {
    Child {
        program: env::current_exe().unwrap(),
        arguments: [
            "the_other_side_of_a_rehearsal",
            "--ignored",
            "--nocapture",
            "--exact",
        ]
        .map(str::to_owned)
        .to_vec(),
        deadline: Duration::from_secs(4),
        memory_max: 256 << 20,
    }
}

#[test]
#[ignore = "this is what the rehearsals of these tests run, in a process of its own"]
fn the_other_side_of_a_rehearsal() {
    let Some(file) = env::args().next_back().filter(|file| file.ends_with(".so")) else {
        return;
    };
    let modules = [module("tiny", Path::new(""))];
    if let Err(error) = rehearse_child(&modules, STAMP, Path::new(&file)) {
        eprintln!("{error}");
        process::exit(1);
    }
}

#[test]
fn nothing_that_new_code_does_in_a_rehearsal_harms_this_process() {
    let stage = Stage::new(Some(child()));
    stage.take(library(false));
    stage.draw_well(5);
    let running = stage.reloader.running("tiny").unwrap();
    assert_eq!(running.provenance().rehearsed, Rehearsed::Child);
    assert!(running.timings().rehearse_child > Duration::ZERO);
    let before = stage.memory();
    for (serial, (mode, words)) in (1..).zip([
        ("panic", "panicked: frame 0 is bad"),
        ("segfault", "SIGSEGV"),
        ("balloon", "more than the 256 MiB"),
        ("loop", "did not come to an end within 4 s"),
    ]) {
        let failure = failed(stage.load(&told(library(false), mode, 0, serial)));
        assert!(
            at(&failure).starts_with("rehearse: "),
            "{mode}: {}",
            at(&failure)
        );
        assert!(failure.title.contains(words), "{mode}: {}", failure.message);
        assert!(stage.reloader.swap("tiny").is_none(), "{mode}");
        assert_eq!(stage.memory(), before, "{mode}");
        let status = stage.reloader.status("tiny").unwrap();
        assert_eq!(status.loaded, 1, "{mode}: it was never mapped here");
        assert_eq!(status.running.unwrap().number(), 1, "{mode}");
    }
    stage.draw_well(1);
    assert_eq!(staged_copies(&stage.directory.path().join("staging")), 0);
}

#[test]
fn a_rehearsal_in_a_child_can_be_cancelled() {
    let child = Child {
        deadline: Duration::from_secs(60),
        ..child()
    };
    let stage = Stage::new(Some(child));
    let endless = told(library(false), "loop", 0, 1);
    fs::write(&stage.artifact, endless).unwrap();
    let began = Instant::now();
    let pending = stage.reloader.load("tiny").unwrap();
    let at = || stage.reloader.status("tiny").unwrap().stage;
    while at().is_none_or(|(stage, _)| stage != reload::Stage::Rehearse) {
        std::thread::yield_now();
    }
    // Whether its process runs by now or not.
    assert_eq!(stage.reloader.cancel("tiny"), Ok(true));
    assert!(matches!(pending.wait(), Outcome::Cancelled));
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(at().is_none() && !stage.reloader.is_error_state());
    assert_eq!(staged_copies(&stage.directory.path().join("staging")), 0);
}

#[test]
fn a_panic_in_a_rehearsal_is_caught_here_too() {
    let stage = Stage::new(None);
    stage.take(library(false));
    let failure = failed(stage.load(&told(library(false), "panic", 0, 1)));
    assert!(
        at(&failure).contains("rehearse: panicked: frame 0 is bad"),
        "{}",
        at(&failure)
    );
    stage.draw_well(1);
}
