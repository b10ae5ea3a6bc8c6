//! The files of a folder.

use std::fs::{self, File};
use std::io::Write as _;
use std::sync::mpsc::channel;

use warden_reload::files::{FaultKind, Files, Listing};

use crate::{PATIENCE, folder};

fn names(listing: &Listing) -> Vec<String> {
    let name = |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    listing.keys().map(name).collect()
}

#[test]
fn files_come_and_go_and_one_that_is_written_is_not_there_yet() {
    let parent = folder();
    let winners = parent.path().join("winners");
    let files = Files::start();
    let listing = files.open_folder(&winners, "json");
    assert!(listing.get().is_empty() && !listing.state().present);
    let (teller, changes) = channel();
    let _told = listing.on_change(move |change| drop(teller.send(names(&change.new))));
    let until = |wanted: &[&str]| {
        while names(&listing.get()) != wanted {
            changes.recv_timeout(PATIENCE).unwrap();
        }
    };
    fs::create_dir(&winners).unwrap();
    fs::write(winners.join("a.json"), "{}").unwrap();
    until(&["a.json"]);

    let mut slow = File::create(winners.join("slow.json")).unwrap();
    slow.write_all(b"{").unwrap();
    fs::write(winners.join("b.json"), "{}").unwrap();
    fs::write(winners.join("b.txt"), "not asked for").unwrap();
    fs::create_dir(winners.join("folder.json")).unwrap();
    until(&["a.json", "b.json"]);
    slow.write_all(b"}").unwrap();
    drop(slow);
    until(&["a.json", "b.json", "slow.json"]);

    let before = listing.get();
    fs::write(winners.join("a.json"), "{ }").unwrap();
    while listing.get() == before {
        changes.recv_timeout(PATIENCE).unwrap();
    }
    fs::rename(winners.join("b.json"), winners.join("c.json")).unwrap();
    until(&["a.json", "c.json", "slow.json"]);
    fs::remove_file(winners.join("slow.json")).unwrap();
    until(&["a.json", "c.json"]);

    // Another folder in its place.
    fs::rename(&winners, parent.path().join("old")).unwrap();
    fs::create_dir(&winners).unwrap();
    fs::write(winners.join("new.json"), "{}").unwrap();
    until(&["new.json"]);
}

#[test]
fn a_stamp_tells_one_file_from_another_whatever_is_in_it() {
    let parent = folder();
    let path = parent.path().join("program");
    let files = Files::start();
    let listing = files.open_stamp(&path);
    assert!(listing.get().is_empty());
    let (teller, changes) = channel();
    let _told = listing.on_change(move |change| drop(teller.send(names(&change.new))));
    let next = || changes.recv_timeout(PATIENCE).unwrap();
    // Larger than any text that is watched, and no text.
    fs::write(parent.path().join("fresh"), vec![0xff; 3 << 20]).unwrap();
    fs::rename(parent.path().join("fresh"), &path).unwrap();
    assert_eq!(next(), ["program"]);
    let before = listing.get();
    fs::write(parent.path().join("other"), "not asked for").unwrap();
    fs::write(parent.path().join("fresh"), "#!").unwrap();
    fs::rename(parent.path().join("fresh"), &path).unwrap();
    assert_eq!(next(), ["program"]);
    assert_ne!(listing.get(), before);
    fs::remove_file(&path).unwrap();
    assert_eq!(next(), Vec::<String>::new());
}

#[test]
fn a_file_is_no_folder() {
    let parent = folder();
    let path = parent.path().join("winners");
    fs::write(&path, "").unwrap();
    let listing = Files::start().open_folder(&path, "json");
    let fault = listing.state().fault.clone().unwrap();
    assert_eq!(fault.kind, FaultKind::NotAFile);
}
