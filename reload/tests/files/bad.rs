//! Every bad input: one clear message, the last good value, and watching goes on.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use warden_reload::files::{Env, EnvMap, Fault, FaultKind, Files, Format as _, HotFile, Ron, load};

use crate::{Followed, folder, save, text};

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    theme: String,
    rows: u32,
    pane: Pane,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Pane {
    width: u32,
}

fn checked() -> Ron<Settings> {
    Ron::new().validated(|settings: &Settings| match settings.pane.width {
        0..=100 => Ok(()),
        _ => Err([("pane.width", "must be at most 100")]),
    })
}

/// Saves this over a good file: the fault that it makes, after which a good one is live again.
fn fault_of(bytes: &[u8]) -> Fault {
    let folder = folder();
    let path = folder.path().join("settings.ron");
    fs::write(&path, "(theme: \"good\")").unwrap();
    let files = Files::start();
    let file = files.open(&path, Settings::default(), checked());
    assert_eq!(file.get().theme, "good");
    let (teller, states) = std::sync::mpsc::channel();
    let _told = file.on_state(move |state| drop(teller.send(state.clone())));
    fs::write(&path, bytes).unwrap();
    let fault = loop {
        if let Some(fault) = states.recv_timeout(crate::PATIENCE).unwrap().fault {
            break fault;
        }
    };
    assert_eq!(file.get().theme, "good", "{fault}");
    assert_eq!(file.state().generation, 1);
    assert_eq!(file.force_reload(), Err(fault.clone()));
    fs::write(&path, "(theme: \"mended\")").unwrap();
    while states
        .recv_timeout(crate::PATIENCE)
        .unwrap()
        .fault
        .is_some()
    {}
    assert_eq!(file.get().theme, "mended");
    fault
}

#[test]
fn an_empty_file_is_told() {
    for empty in ["", " \n\n"] {
        let fault = fault_of(empty.as_bytes());
        assert_eq!(fault.kind, FaultKind::Empty);
        assert!(fault.message.contains("the file is empty"), "{fault}");
    }
}

#[test]
fn a_syntax_error_has_its_line_and_column() {
    let fault = fault_of(b"(\n  theme: \"x\",\n  rows: many,\n)");
    assert_eq!(
        (fault.kind, fault.line, fault.column),
        (FaultKind::Syntax, Some(3), Some(9))
    );
    assert!(fault.to_string().contains("settings.ron:3:9: "), "{fault}");
    let fault = fault_of("(théme: 1".as_bytes());
    assert_eq!(fault.line, Some(1), "{fault}");
    assert_eq!(fault_of(b"(rowz: 3)").kind, FaultKind::Syntax);
}

#[test]
fn what_is_not_allowed_has_the_line_of_its_key() {
    let fault = fault_of(b"(\n  theme: \"pane: (width: 3)\",\n  pane: (\n    width: 101,\n  ),\n)");
    assert_eq!(
        (fault.kind, fault.line, fault.column),
        (FaultKind::Invalid, Some(4), Some(5))
    );
    assert_eq!(fault.message, "pane.width must be at most 100");
}

#[test]
fn what_is_not_text_is_told_where() {
    let fault = fault_of(b"(\n  theme: \"\xFF\xFE\")");
    assert_eq!(
        (fault.kind, fault.line, fault.column),
        (FaultKind::NotUtf8, Some(2), Some(11))
    );
}

#[test]
fn a_hostile_depth_is_refused() {
    let deep = "(".repeat(100_000);
    assert_eq!(fault_of(deep.as_bytes()).kind, FaultKind::Syntax);
    let mut nested = String::from("(theme: ");
    nested.push_str(&"[".repeat(500_000));
    assert_eq!(fault_of(nested.as_bytes()).kind, FaultKind::Syntax);
}

#[test]
fn a_mark_of_the_encoding_and_windows_lines_are_read() {
    let folder = folder();
    let path = folder.path().join("settings.ron");
    fs::write(&path, "\u{feff}(\r\n  theme: \"x\",\r\n)\r\n").unwrap();
    let settings = load(&path, &checked()).unwrap().unwrap();
    assert_eq!(settings.value.theme, "x");
}

/// What is no file, in the place of a good one.
fn no_file(make: impl Fn(&Path)) -> Fault {
    let folder = folder();
    let path = folder.path().join("file.txt");
    fs::write(&path, "good").unwrap();
    let files = Files::start();
    let followed = Followed::by(&files, &path);
    let other = Followed::by(&files, folder.path().join("other.txt"));
    fs::remove_file(&path).unwrap();
    make(&path);
    let fault = followed
        .until("the fault", |state| state.fault.is_some())
        .fault
        .unwrap();
    assert_eq!(followed.value(), "good", "{fault}");
    // Nobody else is held up.
    fs::write(folder.path().join("other.txt"), "other").unwrap();
    other.until_live("other");
    // As it stands at a start.
    let again = Followed::by(&files, &path);
    assert_eq!(again.value(), "initial");
    assert_eq!(again.file.state().fault, Some(fault.clone()));
    if path.is_dir() {
        fs::remove_dir(&path).unwrap();
    } else {
        fs::remove_file(&path).unwrap();
    }
    fs::write(&path, "mended").unwrap();
    followed.until_live("mended");
    again.until_live("mended");
    fault
}

#[test]
fn a_folder_a_pipe_a_socket_and_a_device_are_no_files() {
    let fault = no_file(|path| fs::create_dir(path).unwrap());
    assert_eq!(
        fault.message,
        "this is a folder and no file; put a file in its place"
    );
    let fault = no_file(|path| {
        let made = Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    });
    assert_eq!(
        fault.message,
        "this is a pipe and no file; put a file in its place"
    );
    let fault = no_file(|path| drop(UnixListener::bind(path).unwrap()));
    assert_eq!(
        fault.message,
        "this is a socket and no file; put a file in its place"
    );
    let fault = no_file(|path| symlink("/dev/zero", path).unwrap());
    assert_eq!(
        fault.message,
        "this is a device and no file; put a file in its place"
    );
    assert_eq!(fault.kind, FaultKind::NotAFile);
}

#[test]
fn a_loop_of_links_is_told() {
    let fault = no_file(|path| symlink("file.txt", path).unwrap());
    assert_eq!(fault.kind, FaultKind::SymlinkLoop);
    assert!(fault.message.contains("symbolic links"), "{fault}");
}

#[test]
fn a_gigabyte_is_refused_unread() {
    let fault = no_file(|path| File::create(path).unwrap().set_len(1 << 30).unwrap());
    assert_eq!(fault.kind, FaultKind::TooLarge);
    assert_eq!(
        fault.message,
        "the file has 1024 MiB and may have 1 MiB at most; nothing of it was read"
    );
}

#[test]
fn a_limit_is_as_large_as_it_is_asked_for() {
    let folder = folder();
    let path = folder.path().join("file.txt");
    let format = text.at_most(10);
    fs::write(&path, "0123456789").unwrap();
    assert_eq!(load(&path, &format).unwrap().unwrap().value, "0123456789");
    fs::write(&path, "0123456789a").unwrap();
    let fault = load(&path, &format).unwrap_err();
    assert_eq!(
        fault.message,
        "the file has 11 bytes and may have 10 bytes at most; nothing of it was read"
    );
    assert_eq!(load(&folder.path().join("none"), &format), Ok(None));
}

#[test]
fn a_format_that_panics_is_a_fault() {
    let folder = folder();
    let path = folder.path().join("file.txt");
    fs::write(&path, "boom").unwrap();
    let format = |read: &str| match read {
        "boom" => panic!("it went off"),
        read => text(read),
    };
    let followed = Followed::of(Files::start().open(&path, "initial".to_owned(), format));
    assert_eq!(
        followed.file.state().fault.as_ref().unwrap().kind,
        FaultKind::Invalid
    );
    save(&path, "calm");
    followed.until_live("calm");
}

#[test]
fn a_broken_file_at_the_start_is_told_and_watched() {
    let folder = folder();
    let path = folder.path().join("shared.env");
    fs::write(&path, "A=1\nthis is no line\n").unwrap();
    let files = Files::start();
    let file: HotFile<EnvMap> = files.open(&path, EnvMap::default(), Env);
    assert!(file.get().is_empty());
    let (fault, present) = (file.state().fault.clone().unwrap(), file.state().present);
    assert_eq!(
        (fault.kind, fault.line, fault.column, present),
        (FaultKind::Syntax, Some(2), Some(6), true)
    );
    let (teller, changes) = std::sync::mpsc::channel();
    let _told = file.on_change(move |change| {
        let _ = teller.send(change.new.len());
    });
    fs::write(&path, "A=1\nB=2\n").unwrap();
    assert_eq!(changes.recv_timeout(crate::PATIENCE), Ok(2));
}
