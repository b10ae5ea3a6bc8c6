//! The build stage, with a real cargo on a package of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so when it fails"
)]

mod workshop;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use warden_reload::{BuildCommand, HotModule, Level, Outcome, RegisterError, Stage};
use workshop::{SCHEMA, Source, Workshop};

fn cargo(directory: &Path) -> BuildCommand {
    BuildCommand {
        program: PathBuf::from(env!("CARGO")),
        arguments: [
            "build",
            "--offline",
            "--config",
            "build.rustflags=['-Cprefer-dynamic']",
        ]
        .map(str::to_owned)
        .to_vec(),
        directory: directory.to_owned(),
        target: "tiny".to_owned(),
    }
}

fn package(shop: &Workshop, source: &str) {
    let root = shop.directory.path();
    fs::create_dir_all(root.join("src")).unwrap();
    let manifest = "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
                    [lib]\ncrate-type = [\"dylib\"]\n[workspace]\n";
    fs::write(root.join("Cargo.toml"), manifest).unwrap();
    fs::write(root.join("src/lib.rs"), source).unwrap();
}

#[test]
fn what_cargo_built_is_taken_and_a_compile_error_is_told_with_its_place() {
    let shop = Workshop::with(|root| Some(cargo(root)));
    package(&shop, &Source::answering(1).text());
    let outcome = shop.reloader.reload("tiny").unwrap().wait();
    assert!(matches!(outcome, Outcome::Ready(1)), "{outcome:?}");
    let first = shop.reloader.swap("tiny").unwrap();
    assert!(first.timings().build > Duration::ZERO);
    assert!(first.provenance().recorded, "{}", first.provenance());

    package(&shop, "pub fn tiny_answer() -> u32 {\n    nobody\n}\n");
    let Outcome::Failed(failure) = shop.reloader.reload("tiny").unwrap().wait() else {
        panic!("nonsense was built");
    };
    assert_eq!(failure.stage, Stage::Build);
    assert!(failure.title.contains("`nobody`"), "{}", failure.title);
    assert!(
        failure.message.contains("2 |     nobody"),
        "{}",
        failure.message
    );
    assert_eq!(failure.place.unwrap().to_string(), "src/lib.rs:2:5");
    let said = shop.reloader.status("tiny").unwrap().diagnostics;
    assert_eq!(said[0].level, Level::Error);
    assert!(said[0].rendered.contains("2 |     nobody"));
    assert_eq!(
        shop.reloader
            .status("tiny")
            .unwrap()
            .running
            .unwrap()
            .number(),
        1
    );

    // What the compiler warned of stays with the generation.
    package(
        &shop,
        &format!("{}fn idle() {{}}\n", Source::answering(2).text()),
    );
    let _ = shop.reloader.reload("tiny").unwrap().wait();
    let second = shop.reloader.swap("tiny").unwrap();
    let warned = &second.provenance().messages;
    assert_eq!((warned.len(), warned[0].level), (1, Level::Warning));
    assert!(warned[0].title.contains("`idle`"), "{}", warned[0].title);

    assert!(matches!(
        shop.reloader.reload("tiny").unwrap().wait(),
        Outcome::Unchanged
    ));
    assert!(
        !shop.reloader.is_error_state(),
        "a success clears the error"
    );
}

#[test]
fn without_a_toolchain_the_file_on_the_disk_is_taken() {
    let shop = Workshop::with(|root| {
        Some(BuildCommand {
            program: root.join("no-cargo-here"),
            ..cargo(root)
        })
    });
    shop.compile(&Source::answering(2));
    assert!(matches!(
        shop.reloader.reload("tiny").unwrap().wait(),
        Outcome::Ready(1)
    ));
}

#[test]
fn asking_again_ends_the_build_that_runs() {
    let shop = Workshop::with(|root| {
        let script = "if mkdir once; then sleep 60; fi".to_owned();
        Some(BuildCommand {
            program: PathBuf::from("sh"),
            arguments: vec!["-c".to_owned(), script],
            ..cargo(root)
        })
    });
    shop.compile(&Source::answering(3));
    let started = Instant::now();
    let first = shop.reloader.reload("tiny").unwrap();
    while !shop.directory.path().join("once").exists() {
        std::thread::yield_now();
    }
    let second = shop.reloader.reload("tiny").unwrap();
    assert!(matches!(first.wait(), Outcome::Superseded));
    assert!(matches!(second.wait(), Outcome::Ready(1)));
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_cancelled_build_is_ended_and_leaves_everything_as_it_was() {
    let shop = Workshop::with(|root| {
        Some(BuildCommand {
            program: PathBuf::from("sh"),
            arguments: vec!["-c".to_owned(), "mkdir once; sleep 60".to_owned()],
            ..cargo(root)
        })
    });
    assert_eq!(shop.reloader.cancel("tiny"), Ok(false), "there is nothing");
    shop.compile(&Source::answering(3));
    shop.load();
    let _ = shop.reloader.swap("tiny").unwrap();
    let started = Instant::now();
    let first = shop.reloader.reload("tiny").unwrap();
    while !shop.directory.path().join("once").exists() {
        std::thread::yield_now();
    }
    assert_eq!(shop.reloader.cancel("tiny"), Ok(true));
    assert!(matches!(first.wait(), Outcome::Cancelled));
    assert!(started.elapsed() < Duration::from_secs(30));
    let status = shop.reloader.status("tiny").unwrap();
    assert!(status.stage.is_none() && status.failure.is_none());
    assert_eq!(status.running.unwrap().number(), 1);
}

#[test]
fn a_long_build_says_how_far_it_has_come() {
    let bar = r"sleep 0.8; printf '   Compiling a\r    Building [=> ] 3/7: b, c\r' >&2; sleep 60";
    let shop = Workshop::with(|root| {
        Some(BuildCommand {
            program: PathBuf::from("sh"),
            arguments: vec!["-c".to_owned(), bar.to_owned()],
            ..cargo(root)
        })
    });
    let build = shop.reloader.reload("tiny").unwrap();
    let progress = || shop.reloader.status("tiny").unwrap().progress;
    let end = Instant::now() + Duration::from_secs(20);
    while progress().is_none() && Instant::now() < end {
        // The status is asked, as a host asks it in each frame: what is tested is what it says then.
        std::thread::sleep(Duration::from_millis(5));
    }
    let said = progress().unwrap();
    assert_eq!(
        (said.done, said.total, said.current.as_str()),
        (3, 7, "b, c")
    );
    assert_eq!(shop.reloader.cancel("tiny"), Ok(true));
    assert!(matches!(build.wait(), Outcome::Cancelled));
    assert_eq!(progress(), None);
}

#[test]
fn all_are_built_in_the_order_in_which_they_depend_on_each_other() {
    let log = |name: &str| format!("echo {name} >> order");
    let command = |root: &Path, script: String| BuildCommand {
        program: PathBuf::from("sh"),
        arguments: vec!["-c".to_owned(), script],
        ..cargo(root)
    };
    let shop = Workshop::with(|root| Some(command(root, log("tiny"))));
    for (name, after) in [("middle", "tiny"), ("last", "middle")] {
        let module = HotModule {
            name: name.to_owned(),
            artifact: shop.artifact.clone(),
            build: Some(command(shop.directory.path(), log(name))),
            after: vec![after.to_owned()],
            ..HotModule::default()
        };
        shop.reloader.register(module).unwrap();
    }
    shop.compile(&Source::answering(1));
    let all = shop.reloader.reload_all();
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["tiny", "middle", "last"]);
    let outcomes: Vec<Outcome> = all.into_iter().map(|(_, pending)| pending.wait()).collect();
    // The file is no build of `middle`, so what goes after that is not built.
    assert!(matches!(
        &outcomes[..],
        [Outcome::Ready(1), Outcome::Failed(_), Outcome::Failed(_)]
    ));
    let order = fs::read_to_string(shop.directory.path().join("order")).unwrap();
    assert_eq!(order, "tiny\nmiddle\n");
}

#[test]
fn modules_are_registered_once_and_after_what_they_go_after() {
    let shop = Workshop::new();
    let module = |name: &str, after: &[&str]| HotModule {
        name: name.to_owned(),
        artifact: shop.directory.path().join(format!("lib{name}.so")),
        schema: SCHEMA,
        after: after.iter().map(|name| (*name).to_owned()).collect(),
        ..HotModule::default()
    };
    let register = |name, after| shop.reloader.register(module(name, after));
    assert_eq!(
        register("tiny", &[]),
        Err(RegisterError::Taken("tiny".to_owned()))
    );
    assert_eq!(
        register("a-b", &[]),
        Err(RegisterError::Name("a-b".to_owned()))
    );
    assert!(matches!(
        register("late", &["missing"]),
        Err(RegisterError::After { .. })
    ));
    assert_eq!(register("late", &["tiny"]), Ok(()));

    // Neither has a file: the first fails, and the one after it is not even tried.
    let outcomes: Vec<Outcome> = shop
        .reloader
        .reload_all()
        .into_iter()
        .map(|(_, pending)| pending.wait())
        .collect();
    let [Outcome::Failed(first), Outcome::Failed(late)] = &outcomes[..] else {
        panic!("{outcomes:?}");
    };
    assert_eq!(first.stage, Stage::Load);
    assert!(late.title.contains("goes after `tiny`"), "{}", late.title);
    assert!(shop.reloader.reload("nobody").is_err());
}
