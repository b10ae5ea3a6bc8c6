//! Every way that a file changes.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use warden_reload::files::{FaultKind, Files, Problem, Reloaded, Watching};

use crate::{Followed, PATIENCE, folder, save};

#[test]
fn a_renamed_save_goes_live_each_time() {
    let folder = folder();
    renamed(folder.path());
}

pub fn renamed(folder: &Path) {
    let path = folder.join("renamed.txt");
    fs::write(&path, "0").unwrap();
    let followed = Followed::new(&path);
    assert_eq!(followed.value(), "0", "it is live when it is open");
    for save_no in 1..=5 {
        save(&path, &save_no.to_string());
        followed.until_live(&save_no.to_string());
    }
    assert_eq!(followed.file.state().generation, 6);
}

#[test]
fn a_write_in_place_goes_live_each_time() {
    let folder = folder();
    in_place(folder.path());
}

pub fn in_place(folder: &Path) {
    let path = folder.join("in_place.txt");
    let followed = Followed::new(&path);
    for save_no in 1..=5 {
        fs::write(&path, save_no.to_string()).unwrap();
        followed.until_live(&save_no.to_string());
    }
    // Appended to, without being cut first.
    let mut open = OpenOptions::new().append(true).open(&path).unwrap();
    open.write_all(b" and more").unwrap();
    drop(open);
    followed.until_live("5 and more");
}

#[test]
fn a_slow_writer_is_believed_when_it_closes_and_not_before() {
    let folder = folder();
    slow(folder.path());
}

pub fn slow(folder: &Path) {
    let path = folder.join("slow.txt");
    fs::write(&path, "whole").unwrap();
    let followed = Followed::new(&path);
    let content = "written byte by byte, for longer than two seconds";
    let mut open = File::create(&path).unwrap();
    for byte in content.bytes() {
        open.write_all(&[byte]).unwrap();
        // The writer's own slowness is what is tested.
        thread::sleep(Duration::from_millis(45));
        assert_eq!(followed.value(), "whole");
    }
    // Longer than any gathering: it is still open.
    followed.stays("whole");
    drop(open);
    followed.until_live(content);
    assert_eq!(followed.file.state().generation, 2);
}

#[test]
fn a_new_file_that_is_written_slowly_is_believed_when_it_is_closed() {
    let folder = folder();
    let path = folder.path().join("new.txt");
    let followed = Followed::new(&path);
    let mut open = File::create(&path).unwrap();
    followed.stays("initial");
    open.write_all(b"half").unwrap();
    followed.stays("initial");
    open.write_all(b", whole").unwrap();
    drop(open);
    followed.until_live("half, whole");
    assert_eq!(followed.file.state().generation, 1);
}

#[test]
fn a_file_that_is_linked_into_place_has_no_writer() {
    let folder = folder();
    let (path, other) = (
        folder.path().join("file.txt"),
        folder.path().join("other.txt"),
    );
    fs::write(&other, "linked").unwrap();
    let followed = Followed::new(&path);
    fs::hard_link(&other, &path).unwrap();
    fs::remove_file(&other).unwrap();
    followed.until_live("linked");
}

#[test]
fn a_config_map_is_swapped_by_its_link() {
    let folder = folder();
    swapped(folder.path());
}

pub fn swapped(folder: &Path) {
    let make = |name: &str, value: &str| {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("file.txt"), value).unwrap();
        symlink(name, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    make("..2024_0", "0");
    let path = folder.join("swapped.txt");
    symlink("..data/file.txt", &path).unwrap();
    let followed = Followed::new(&path);
    assert_eq!(followed.value(), "0");
    for version in 1..=4 {
        make(&format!("..2024_{version}"), &version.to_string());
        fs::remove_dir_all(folder.join(format!("..2024_{}", version - 1))).unwrap();
        followed.until_live(&version.to_string());
    }
}

#[test]
fn what_a_link_leads_to_is_followed_wherever_it_is() {
    let (folder, elsewhere) = (folder(), folder());
    let (path, target) = (
        folder.path().join("link"),
        elsewhere.path().join("file.txt"),
    );
    symlink(&target, &path).unwrap();
    let followed = Followed::new(&path);
    assert!(!followed.file.state().present);
    fs::write(&target, "there").unwrap();
    followed.until_live("there");
    save(&target, "replaced");
    followed.until_live("replaced");
    let other = elsewhere.path().join("other.txt");
    fs::write(&other, "other").unwrap();
    fs::remove_file(&path).unwrap();
    symlink(&other, &path).unwrap();
    followed.until_live("other");
    fs::write(&target, "nobody looks").unwrap();
    followed.stays("other");
}

#[test]
fn a_file_that_is_deleted_leaves_its_value_and_comes_back() {
    let folder = folder();
    deleted(folder.path());
}

pub fn deleted(folder: &Path) {
    let path = folder.join("deleted.txt");
    fs::write(&path, "first").unwrap();
    let followed = Followed::new(&path);
    fs::remove_file(&path).unwrap();
    let state = followed.until("absence", |state| !state.present);
    assert_eq!((followed.value().as_str(), state.fault), ("first", None));
    assert_eq!(followed.file.force_reload(), Ok(Reloaded::Absent));
    fs::write(&path, "second").unwrap();
    followed.until_live("second");
    assert!(followed.file.state().present);
    // And with the same content as before.
    fs::remove_file(&path).unwrap();
    followed.until("absence", |state| !state.present);
    fs::write(&path, "second").unwrap();
    let state = followed.until("presence", |state| state.present);
    assert_eq!(state.generation, 2);
}

#[test]
fn a_deleted_file_means_what_an_absent_one_does_where_that_is_said() {
    let folder = folder();
    let path = folder.path().join("deleted.txt");
    let text = |text: &str| match text {
        "broken" => Err(Problem::new(FaultKind::Invalid, "broken")),
        text => Ok(text.to_owned()),
    };
    let open = || {
        let (absent, initial) = ("absent".to_owned(), "initial".to_owned());
        Followed::of(Files::start().open_or(&path, absent, initial, text))
    };
    let followed = open();
    let stood = |followed: &Followed| (followed.value(), followed.file.state().generation);
    assert_eq!(stood(&followed), ("absent".to_owned(), 0));
    fs::write(&path, "first").unwrap();
    followed.until_live("first");

    fs::remove_file(&path).unwrap();
    followed.until_live("absent");
    let state = followed.file.state();
    assert_eq!((state.present, &state.sha256), (false, &None));
    assert_eq!(state.generation, 2);
    assert_eq!(followed.file.force_reload(), Ok(Reloaded::Absent));
    // The same content as before is news by now.
    fs::write(&path, "first").unwrap();
    followed.until_live("first");
    assert_eq!(followed.file.state().generation, 3);

    // One that is replaced in two steps was never gone.
    let (teller, values) = channel();
    let _told = followed
        .file
        .on_change(move |change| drop(teller.send(String::clone(&change.new))));
    fs::remove_file(&path).unwrap();
    fs::write(&path, "second").unwrap();
    assert_eq!(values.recv_timeout(PATIENCE).unwrap(), "second");

    // Asked to look, nobody waits for it to come back.
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        followed.file.force_reload(),
        Ok(Reloaded::Changed(_))
    ));
    assert_eq!(followed.value(), "absent");

    // What was broken from the start keeps what the caller knew, until it is deleted.
    fs::write(&path, "broken").unwrap();
    let followed = open();
    assert_eq!(stood(&followed), ("initial".to_owned(), 0));
    fs::remove_file(&path).unwrap();
    followed.until_live("absent");
}

#[test]
fn a_folder_on_the_way_is_replaced() {
    let folder = folder();
    replaced(folder.path());
}

pub fn replaced(folder: &Path) {
    let way = folder.join("way");
    let make = |value: &str| {
        let new = folder.join("way.new/inner");
        fs::create_dir_all(&new).unwrap();
        fs::write(new.join("file.txt"), value).unwrap();
    };
    make("0");
    fs::rename(folder.join("way.new"), &way).unwrap();
    let followed = Followed::new(way.join("inner/file.txt"));
    for version in 1..=3 {
        make(&version.to_string());
        fs::rename(&way, folder.join(format!("way.{version}"))).unwrap();
        fs::rename(folder.join("way.new"), &way).unwrap();
        followed.until_live(&version.to_string());
        // What was moved away is nobody's any more, what took its place is watched.
        fs::write(folder.join(format!("way.{version}/inner/file.txt")), "old").unwrap();
        let saved = format!("{version}, saved");
        save(&way.join("inner/file.txt"), &saved);
        followed.until_live(&saved);
    }
    fs::remove_dir_all(&way).unwrap();
    followed.until("absence", |state| !state.present);
    make("again");
    fs::rename(folder.join("way.new"), &way).unwrap();
    followed.until_live("again");
}

#[test]
fn a_file_whose_folders_are_not_there_yet_is_waited_for() {
    let folder = folder();
    let path = folder.path().join("a/b/c/file.txt");
    let followed = Followed::new(&path);
    let state = followed.file.state();
    assert!(!state.present && state.fault.is_none() && state.generation == 0);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "there").unwrap();
    followed.until_live("there");
    save(&path, "again");
    followed.until_live("again");
}

#[test]
fn permission_is_lost_and_regained() {
    let folder = folder();
    let path = folder.path().join("file.txt");
    fs::write(&path, "readable").unwrap();
    if !crate::trust::as_nobody(folder.path()) {
        return;
    }
    let followed = Followed::new(&path);
    let allow = |what: &Path, mode: u32| {
        fs::set_permissions(what, fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(&path, 0o000);
    let state = followed.until("the fault", |state| state.fault.is_some());
    let fault = state.fault.unwrap();
    assert_eq!(fault.kind, FaultKind::Unreadable);
    assert_eq!(followed.value(), "readable");
    allow(&path, 0o600);
    followed.until("its end", |state| state.fault.is_none());
    // The folder's.
    allow(folder.path(), 0o000);
    followed.until("the fault", |state| state.fault.is_some());
    allow(folder.path(), 0o700);
    followed.until("its end", |state| state.fault.is_none());
    fs::write(&path, "changed").unwrap();
    followed.until_live("changed");
}

#[test]
fn touching_a_file_changes_nothing() {
    let folder = folder();
    let path = folder.path().join("file.txt");
    fs::write(&path, "same").unwrap();
    let followed = Followed::new(&path);
    fs::write(&path, "same").unwrap();
    save(&path, "same");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    followed.stays("same");
    assert_eq!(followed.file.state().generation, 1);
}

#[test]
fn editors_save_in_their_ways() {
    let folder = folder();
    let path = folder.path().join("file.txt");
    fs::write(&path, "colour 1\n").unwrap();
    let followed = Followed::new(&path);
    let mut ways: Vec<(&str, Vec<&str>)> = vec![
        ("sed", vec!["-i", "s/colour [0-9]*/colour 2/"]),
        (
            "vim",
            vec![
                "-u",
                "NONE",
                "-es",
                "-c",
                "%s/colour .*/colour 3/",
                "-c",
                "wq",
            ],
        ),
        (
            "vim",
            vec![
                "-u",
                "NONE",
                "-es",
                "-c",
                "set backupcopy=no writebackup",
                "-c",
                "%s/colour .*/colour 4/",
                "-c",
                "wq",
            ],
        ),
        (
            "vim",
            vec![
                "-u",
                "NONE",
                "-es",
                "-c",
                "set backupcopy=yes backup",
                "-c",
                "%s/colour .*/colour 5/",
                "-c",
                "wq",
            ],
        ),
    ];
    for (save_no, (editor, arguments)) in ways.drain(..).enumerate() {
        let ran = Command::new(editor).args(arguments).arg(&path).status();
        match ran {
            Ok(_) => followed.until_live(&format!("colour {}\n", save_no + 2)),
            Err(error) => eprintln!("skipped: there is no {editor}: {error}"),
        }
    }
}

#[test]
fn one_service_orders_the_changes_of_all_its_files() {
    let folder = folder();
    let files = Files::start();
    let paths = ["a", "b", "c"].map(|name| folder.path().join(name));
    let followed = paths.each_ref().map(|path| Followed::by(&files, path));
    let mut last = 0;
    for round in 0..5 {
        for (path, followed) in paths.iter().zip(&followed) {
            save(path, &round.to_string());
            followed.until_live(&round.to_string());
            let generation = followed.file.state().generation;
            assert_eq!(generation, last + 1);
            last = generation;
        }
    }
    assert_eq!(files.generation(), last);
    assert_eq!(followed[0].file.state().watching, Watching::Native);
}

#[test]
fn a_forced_reload_waits_for_nobody() {
    let folder = folder();
    let path = folder.path().join("file.txt");
    fs::write(&path, "1").unwrap();
    let followed = Followed::new(&path);
    let mut open = File::create(&path).unwrap();
    open.write_all(b"2, half").unwrap();
    assert_eq!(followed.file.force_reload(), Ok(Reloaded::Changed(2)));
    assert_eq!(followed.value(), "2, half");
    assert_eq!(followed.file.force_reload(), Ok(Reloaded::Unchanged(2)));
}

#[test]
fn everything_ends_with_the_last_handle() {
    struct Told(std::sync::mpsc::Sender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let folder = folder();
    let (teller, ended) = std::sync::mpsc::channel();
    let told = Told(teller);
    let files = Files::start();
    let format = move |read: &str| {
        let _ = &told;
        crate::text(read)
    };
    let file = files.open(folder.path().join("file.txt"), String::new(), format);
    let subscription = file.on_change(|_| ());
    drop((files, file));
    assert!(ended.try_recv().is_err(), "a subscription keeps its file");
    drop(subscription);
    ended.recv_timeout(crate::PATIENCE).unwrap();
}
