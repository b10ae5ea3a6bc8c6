//! Real libraries, compiled on the fly, through the whole way of a generation.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so when it fails"
)]

mod workshop;

use std::fs;
use std::mem::transmute;

use warden_reload::{Generation, Outcome, Stage, Standing, catch};
use workshop::{SCHEMA, STAMP, Source, Workshop};

/// Calls the `answer` of a generation.
fn answer(generation: &Generation) -> u32 {
    let address = generation
        .symbol("tiny_answer")
        .expect("every generation exports it");
    // SAFETY: every source of this test declares `tiny_answer` as `fn() -> u32`.
    let answer: fn() -> u32 = unsafe { transmute(address) };
    answer()
}

/// Expects a failure and gives its stage and its title.
fn failed(outcome: Outcome) -> (Stage, String) {
    match outcome {
        Outcome::Failed(failure) => (failure.stage, failure.title),
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[test]
fn a_new_build_takes_over_at_the_swap_and_old_code_stays_callable() {
    let shop = Workshop::new();
    shop.compile(&Source::answering(1));
    assert!(matches!(shop.load(), Outcome::Ready(1)));
    assert!(
        shop.reloader.status("tiny").unwrap().running.is_none(),
        "published before the swap"
    );
    let first = shop.reloader.swap("tiny").unwrap();
    assert_eq!(answer(&first), 1);

    assert!(matches!(shop.load(), Outcome::Unchanged));
    for number in 2..6 {
        shop.compile(&Source::answering(number));
        assert!(matches!(shop.load(), Outcome::Ready(ready) if ready == number));
        assert_eq!(answer(&shop.reloader.swap("tiny").unwrap()), number);
    }
    assert_eq!(answer(&first), 1);
    assert_eq!(shop.reloader.status("tiny").unwrap().loaded, 5);

    shop.compile(&Source::answering(1));
    shop.load();
    let back = shop.reloader.swap("tiny").unwrap();
    assert_eq!((back.number(), answer(&back)), (6, 1));
    assert_eq!(
        shop.reloader.status("tiny").unwrap().loaded,
        5,
        "the same file is mapped once"
    );
    assert_eq!(
        shop.staged_copies(),
        0,
        "copies are unlinked once they are mapped"
    );
}

#[test]
fn whatever_is_wrong_with_a_file_the_running_generation_stays() {
    let shop = Workshop::new();
    shop.compile(&Source::answering(1));
    shop.load();
    let good = shop.reloader.swap("tiny").unwrap();
    let whole = fs::read(&shop.artifact).unwrap();
    let other_stamp = STAMP.replace("rustc rustc", "rustc rustc 1.0.0 not");
    let other_schema = SCHEMA.replace("u64", "f64");

    type Damage<'a> = (&'a str, Box<dyn Fn() + 'a>, Stage, &'a str);
    let faults: [Damage<'_>; 9] = [
        (
            "cut short",
            Box::new(|| shop.write(&whole[..whole.len() / 2])),
            Stage::Load,
            "cut short",
        ),
        ("empty", Box::new(|| shop.write(b"")), Stage::Load, "empty"),
        (
            "garbage",
            Box::new(|| shop.write(&[0x5a; 70_000])),
            Stage::Load,
            "no ELF file",
        ),
        (
            "gone",
            Box::new(|| fs::remove_file(&shop.artifact).unwrap()),
            Stage::Load,
            "cannot be read",
        ),
        (
            "foreign",
            Box::new(|| {
                shop.compile(&Source {
                    manifest: None,
                    ..Source::answering(2)
                })
            }),
            Stage::Check,
            "no build of this module",
        ),
        (
            "no symbol",
            Box::new(|| {
                shop.compile(&Source {
                    symbol: "other",
                    ..Source::answering(2)
                })
            }),
            Stage::Load,
            "does not export `tiny_answer`",
        ),
        (
            "stamp",
            Box::new(|| {
                shop.compile(&Source {
                    manifest: Some(&other_stamp),
                    ..Source::answering(2)
                })
            }),
            Stage::Check,
            "rustc differs",
        ),
        (
            "schema",
            Box::new(|| {
                shop.compile(&Source {
                    schema: &other_schema,
                    ..Source::answering(2)
                })
            }),
            Stage::Check,
            "`Row.place`",
        ),
        (
            "unresolved",
            Box::new(|| {
                shop.compile(&Source { body: "unsafe extern \"C\" { fn nobody_has_this() -> u32; } unsafe { nobody_has_this() }", ..Source::answering(2) })
            }),
            Stage::Load,
            "cannot be mapped",
        ),
    ];
    for (name, damage, stage, words) in faults {
        damage();
        let (at, title) = failed(shop.load());
        assert_eq!(at, stage, "{name}: {title}");
        assert!(title.contains(words), "{name}: {title}");
        assert!(shop.reloader.is_error_state(), "{name}");
        let error = shop.reloader.last_error().unwrap();
        let outdated = ["stamp", "schema"].contains(&name);
        assert_eq!(error.needs_restart, outdated, "{name}");
        let different: Vec<[&str; 2]> = error
            .differences
            .iter()
            .map(|one| [one.of.as_str(), &one.member])
            .collect();
        match name {
            "stamp" => assert_eq!(different, [["rustc", ""]]),
            "schema" => assert_eq!(different, [["Row", "place"]]),
            _ => assert!(different.is_empty(), "{name}"),
        }
        assert!(shop.reloader.swap("tiny").is_none(), "{name}");
        let running = shop.reloader.status("tiny").unwrap().running.unwrap();
        assert_eq!((running.number(), answer(&running)), (1, 1), "{name}");
        assert_eq!(shop.staged_copies(), 0, "{name}");
    }

    shop.compile(&Source::answering(3));
    shop.load();
    assert_eq!(answer(&shop.reloader.swap("tiny").unwrap()), 3);
    assert!(!shop.reloader.is_error_state());
    assert_eq!(answer(&good), 1);
}

#[test]
fn what_is_refused_over_and_over_pushes_nothing_out_of_the_history() {
    let shop = Workshop::new();
    shop.compile(&Source::answering(1));
    shop.load();
    let _ = shop.reloader.swap("tiny").unwrap();
    for len in 0..60 {
        shop.write(&[0x5a; 80][..len]);
        failed(shop.load());
    }
    let history = shop.reloader.status("tiny").unwrap().history;
    assert_eq!(history.len(), 32);
    assert_eq!(
        (history[0].number, history[0].standing),
        (Some(1), Standing::Running)
    );
    assert_eq!(history[31].attempt, 61);
    assert!(history[31].failure.is_some() && !history[31].can_return());
}

#[test]
fn after_a_panic_the_last_good_generation_runs_on() {
    let shop = Workshop::new();
    for source in [
        Source::answering(1),
        Source {
            body: "panic!(\"row 7 is gone\")",
            ..Source::answering(2)
        },
    ] {
        shop.compile(&source);
        shop.load();
        let _ = shop.reloader.swap("tiny").unwrap();
    }
    let running = shop.reloader.status("tiny").unwrap().running.unwrap();
    let caught = catch(|| answer(&running)).unwrap_err();
    assert_eq!(caught.message, "row 7 is gone");

    let good = shop.reloader.panicked("tiny", &caught).unwrap().to.unwrap();
    assert_eq!((good.number(), answer(&good)), (1, 1));
    let error = shop.reloader.last_error().unwrap();
    assert_eq!(error.stage, Stage::Probation);
    assert!(
        error.title.contains("generation 2 panicked: row 7 is gone"),
        "{}",
        error.title
    );
    assert!(error.place.is_some());

    let last = shop.reloader.panicked("tiny", &caught).unwrap();
    assert!(last.to.is_none(), "nothing good is left");
    assert_eq!(
        last.failure.stage,
        Stage::Trusted,
        "it had been gone back to"
    );
    shop.compile(&Source::answering(4));
    assert!(matches!(shop.load(), Outcome::Ready(3)));
    assert_eq!(answer(&shop.reloader.swap("tiny").unwrap()), 4);
}
