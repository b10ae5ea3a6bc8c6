//! What is not committed is committed later, in order, or as the state that it led to.

use std::path::Path;

use warden::event::Fact;
use warden::{Arbiter, Code, Event, Now};

use super::{Journal, JournalError, Opening};
use crate::disk::reserve::Ceiling;

fn open(dir: &Path) -> (Journal, Arbiter) {
    let opening = Opening {
        dir,
        stamp: "then",
        boot: "this boot",
        ceiling: None,
        gpus: &[],
    };
    let mut opened = Journal::open(opening, |_, _, _, _| {}).unwrap();
    assert!(opened.set_aside.is_none() && !opened.host_restarted);
    opened.journal.set_boot_id("this boot");
    opened.journal.begin_head(dir, "this boot");
    (opened.journal, opened.arbiter)
}

/// Facts as they come, each with another number in it.
fn count(journal: &mut Journal, arbiter: &mut Arbiter, number: u64) {
    let event = Event {
        at: Now {
            clock_ms: number,
            wall_ms: number,
        },
        fact: Fact::Refused {
            refused: [(Code::QueueFull, number)].into(),
        },
    };
    arbiter.apply(&event);
    journal.append(&event);
}

/// Lets the file grow by so many pages and no more, as a full disk does.
fn limit(journal: &Journal, more: i64) {
    let pages = "PRAGMA page_count";
    let pages: i64 = journal.db.query_row(pages, [], |row| row.get(0)).unwrap();
    let limit = format!("PRAGMA max_page_count = {}", pages + more);
    journal.db.query_row(&limit, [], |_| Ok(())).unwrap();
}

fn fill_up(journal: &mut Journal, arbiter: &mut Arbiter) -> u64 {
    limit(journal, 0);
    for number in 1.. {
        count(journal, arbiter, number);
        if let Err(error) = journal.commit(arbiter) {
            assert!(error.is_full(), "{error}");
            return number;
        }
    }
    unreachable!("a page holds only so much")
}

#[test]
fn what_found_no_room_is_committed_in_order_once_there_is_some() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, mut arbiter) = open(dir.path());
    let last = fill_up(&mut journal, &mut arbiter);
    for number in last + 1..last + 100 {
        count(&mut journal, &mut arbiter, number);
        journal.commit(&arbiter).unwrap_err();
    }
    let (_, before) = open_copy(dir.path());
    let known = before.counters().refused[&Code::QueueFull];
    assert_eq!(
        known,
        (1..last).sum::<u64>(),
        "as it was at the last commit"
    );

    limit(&journal, 1_000);
    journal.commit(&arbiter).unwrap();
    count(&mut journal, &mut arbiter, 7);
    journal.commit(&arbiter).unwrap();
    drop(journal);
    let (_, replayed) = open(dir.path());
    assert_eq!(replayed.image(), arbiter.image());
}

#[test]
fn facts_that_were_let_go_of_are_in_the_image_that_follows() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, mut arbiter) = open(dir.path());
    fill_up(&mut journal, &mut arbiter);
    assert!(journal.pending_bytes() > 0);
    journal.forget_record();
    for number in 0..1_000 {
        count(&mut journal, &mut arbiter, number);
        assert_eq!(journal.pending_bytes(), 0);
    }
    // Where there is no room even for the image, nothing changes.
    let (_, before) = open_copy(dir.path());
    limit(&journal, -1_000_000);
    let _ = journal.commit(&arbiter);
    limit(&journal, 1_000);
    journal.commit(&arbiter).unwrap();
    assert_ne!(before.image(), arbiter.image());
    count(&mut journal, &mut arbiter, 7);
    journal.commit(&arbiter).unwrap();
    drop(journal);
    let (_, replayed) = open(dir.path());
    assert_eq!(replayed.image(), arbiter.image());
}

#[test]
fn a_journal_without_room_for_an_image_goes_on_with_facts() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, mut arbiter) = open(dir.path());
    for number in 0..200 {
        count(&mut journal, &mut arbiter, number);
        journal.commit(&arbiter).unwrap();
    }
    journal.facts_max = 100;
    assert!(journal.is_long());
    journal.db.execute_batch("PRAGMA query_only = ON").unwrap();
    journal.shorten(&arbiter);
    journal.db.execute_batch("PRAGMA query_only = OFF").unwrap();
    assert!(!journal.is_long(), "it is not tried again at every turn");
    count(&mut journal, &mut arbiter, 7);
    journal.commit(&arbiter).unwrap();
    journal.facts_max = 100;
    journal.shorten(&arbiter);
    assert!(!journal.is_long());
    drop(journal);
    let (journal, replayed) = open(dir.path());
    assert_eq!(replayed.image(), arbiter.image());
    assert_eq!(journal.facts, 0);
}

#[test]
fn a_newer_version_is_not_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, arbiter) = open(dir.path());
    journal.commit(&arbiter).unwrap();
    journal
        .db
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    drop(journal);
    let opening = Opening {
        dir: dir.path(),
        stamp: "then",
        boot: "this boot",
        ceiling: None,
        gpus: &[],
    };
    let error = Journal::open(opening, |_, _, _, _| {}).unwrap_err();
    assert!(matches!(error, JournalError::Newer(99)), "{error}");
}

/// What another start would find just now.
fn open_copy(dir: &Path) -> (Journal, Arbiter) {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    open(copy.path())
}

fn opening(dir: &Path) -> Opening<'_> {
    let ceiling = Ceiling {
        token: 1_000,
        revision: 1_000,
    };
    Opening {
        dir,
        stamp: "then",
        boot: "this boot",
        ceiling: Some(ceiling),
        gpus: &[],
    }
}

/// A file or two, as they are called there.
fn put(from: &Path, to: &Path, names: &[(&str, &str)]) {
    for (name, called) in names {
        std::fs::copy(from.join(name), to.join(called)).unwrap();
    }
}

#[test]
fn whoever_is_killed_while_a_damaged_journal_is_replaced_loses_nothing_of_it() {
    let damaged = tempfile::tempdir().unwrap();
    let (mut journal, mut arbiter) = open(damaged.path());
    for number in 1..=20 {
        count(&mut journal, &mut arbiter, number);
        journal.commit(&arbiter).unwrap();
        if number == 10 {
            journal.close();
        }
    }
    let spoil = "UPDATE records SET sum = sum + 1 WHERE seq = 5";
    journal.db.execute_batch(spoil).unwrap();
    drop(journal);
    let wal = "journal.db-wal";
    assert!(std::fs::metadata(damaged.path().join(wal)).unwrap().len() > 0);

    let all = [("journal.db", "journal.db"), (wal, wal)];
    let done = tempfile::tempdir().unwrap();
    put(damaged.path(), done.path(), &all);
    let opened = Journal::open(opening(done.path()), |_, _, _, _| {}).unwrap();
    let counted = |arbiter: &Arbiter| arbiter.counters().refused[&Code::QueueFull];
    let salvaged = counted(&opened.arbiter);
    assert_eq!(
        salvaged,
        (1..=20).sum::<u64>() - 5,
        "all but the spoiled one"
    );
    drop(opened);
    assert!(!done.path().join("journal.fresh").exists());
    assert!(!done.path().join("journal.begun").exists());
    let fresh = ("journal.db", "journal.fresh");
    let (aside, aside_wal) = ("journal.corrupt-then", "journal.corrupt-then-wal");

    // Each as (what there is of the damaged one, what there is of the sound one).
    type Files<'a> = &'a [(&'a str, &'a str)];
    let states: [(Files, Files); 9] = [
        (&all, &[("journal.db", "journal.begun")]),
        (&all, &[fresh]),
        (&[all[0], all[1], ("journal.db", aside)], &[fresh]),
        (
            &[all[0], all[1], ("journal.db", aside), (wal, aside_wal)],
            &[fresh],
        ),
        (&[all[0], ("journal.db", aside), (wal, aside_wal)], &[fresh]),
        // Where files are renamed, since they can have one name only.
        (&[all[1], ("journal.db", aside)], &[fresh]),
        (&[("journal.db", aside), (wal, aside_wal)], &[fresh]),
        // As earlier versions left it.
        (&[all[0], (wal, aside_wal)], &[fresh]),
        (&all, &[("torn", "journal.fresh")]),
    ];
    let half = std::fs::read(done.path().join("journal.db")).unwrap();
    std::fs::write(done.path().join("torn"), &half[..half.len() / 2]).unwrap();
    for (number, (old, new)) in states.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        put(damaged.path(), dir.path(), old);
        put(done.path(), dir.path(), new);
        for start in ["first", "second"] {
            let opened = Journal::open(opening(dir.path()), |_, _, _, _| {}).unwrap();
            assert_eq!(counted(&opened.arbiter), salvaged, "{number} {start}");
            assert!(opened.arbiter.doubt().is_some(), "{number} {start}");
            assert!(opened.arbiter.next_token() > 1_000, "{number} {start}");
            assert_eq!(opened.set_aside.is_some(), start == "first", "{number}");
            for name in ["journal.fresh", "journal.begun"] {
                assert!(!dir.path().join(name).exists(), "{number}: {name}");
            }
        }
        // Nothing of the damaged one is deleted.
        let kept = |original: &str| {
            let content = std::fs::read(damaged.path().join(original)).unwrap();
            let mut entries = std::fs::read_dir(dir.path()).unwrap();
            entries.any(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                name.starts_with("journal.corrupt") && std::fs::read(&path).unwrap() == content
            })
        };
        assert!(kept("journal.db") && kept(wal), "{number}");
    }
}
