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

use warden_reload::{BuildCommand, HotModule, Outcome, RegisterError, Stage};
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
    assert_eq!(
        shop.reloader
            .status("tiny")
            .unwrap()
            .running
            .unwrap()
            .number(),
        1
    );

    package(&shop, &Source::answering(1).text());
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
fn modules_are_registered_once_and_after_what_they_go_after() {
    let shop = Workshop::new();
    let module = |name: &str, after: &[&str]| HotModule {
        name: name.to_owned(),
        artifact: shop.directory.path().join(format!("lib{name}.so")),
        build: None,
        schema: SCHEMA,
        state_keys: Vec::new(),
        delegation_targets: Vec::new(),
        after: after.iter().map(|name| (*name).to_owned()).collect(),
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
