//! Saving a file as a whole, on real files.

#![allow(clippy::unwrap_used, reason = "this is a test")]
#![cfg(unix)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tempfile::tempdir;
use warden_reload::save::replace;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_new_file_is_its_owners_alone_and_an_old_one_keeps_its_mode() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.ron");
    replace(&path, b"one").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"one");
    assert_eq!(mode(&path), 0o600);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    replace(&path, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(mode(&path), 0o644);
    assert_eq!(names(folder.path()), ["a.ron"]);
}

#[test]
fn a_link_stays_and_what_it_points_to_is_replaced() {
    let folder = tempdir().unwrap();
    let real = folder.path().join("real");
    fs::create_dir(&real).unwrap();
    fs::write(real.join("a.env"), "old").unwrap();
    let link = folder.path().join("a.env");
    symlink("real/a.env", &link).unwrap();
    replace(&link, b"new").unwrap();
    assert!(link.is_symlink());
    assert_eq!(fs::read(real.join("a.env")).unwrap(), b"new");

    let dangling = folder.path().join("b.env");
    symlink("real/b.env", &dangling).unwrap();
    replace(&dangling, b"made").unwrap();
    assert!(dangling.is_symlink());
    assert_eq!(fs::read(real.join("b.env")).unwrap(), b"made");
    assert_eq!(names(&real), ["a.env", "b.env"]);
}

#[test]
fn what_is_no_file_is_refused_and_nothing_is_left_beside_it() {
    let folder = tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name);
    fs::create_dir(inside("folder")).unwrap();
    symlink("two", inside("one")).unwrap();
    symlink("one", inside("two")).unwrap();
    let mut fifo = std::process::Command::new("mkfifo");
    assert!(fifo.arg(inside("pipe")).status().unwrap().success());
    let before = names(folder.path());
    for (name, said) in [
        ("folder", "it is a folder"),
        ("one", "in a circle"),
        ("pipe", "no ordinary file"),
        ("nowhere/a", "no temporary file beside it"),
    ] {
        let error = replace(inside(name), b"x").unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        assert!(error.contains(name), "{error}");
    }
    assert_eq!(names(folder.path()), before);
}

/// Writers that come at once each leave their file whole, and no reader sees a part of one.
#[test]
fn readers_see_one_whole_file_or_another() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a");
    let whole = |letter: u8| vec![letter; 100_000];
    replace(&path, &whole(b'a')).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (b'a'..=b'b')
            .map(|letter| {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..25 {
                        replace(path, &whole(letter)).unwrap();
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let seen = fs::read(&path).unwrap();
                assert!(seen == whole(seen[0]), "a mixture of {} bytes", seen.len());
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        over.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(names(folder.path()), ["a"]);
}
