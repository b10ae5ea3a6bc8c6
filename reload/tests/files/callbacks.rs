//! Callbacks that misbehave harm nobody.

use std::fs;
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};

use warden_reload::files::{Env, EnvMap, Files, HotFile, Subscription};

use crate::{PATIENCE, folder, save, text};

#[test]
fn one_that_panics_stays_subscribed_and_others_are_told() {
    let folder = folder();
    let path = folder.path().join("file.txt");
    let file = Files::start().open(&path, "0".to_owned(), text);
    let (teller, told) = channel();
    let second = teller.clone();
    let _panics = file.on_change(move |change| {
        let _ = teller.send(format!("panics at {}", change.new));
        panic!("at {}", change.new);
    });
    let _calm = file.on_change(move |change| drop(second.send(format!("calm at {}", change.new))));
    for save_no in 1..=3 {
        save(&path, &save_no.to_string());
        let mut heard = [
            told.recv_timeout(PATIENCE).unwrap(),
            told.recv_timeout(PATIENCE).unwrap(),
        ];
        heard.sort();
        assert_eq!(
            heard,
            [format!("calm at {save_no}"), format!("panics at {save_no}")]
        );
    }
}

#[test]
fn one_that_never_returns_holds_up_nobody() {
    let folder = folder();
    let path = folder.path().join("file.txt");
    let files = Files::start();
    let file = files.open(&path, "0".to_owned(), text);
    let (release, stuck) = sync_channel::<()>(0);
    let stuck = Mutex::new(stuck);
    let (teller, told) = channel();
    let seen = teller.clone();
    let stuck = file.on_change(move |change| {
        let _ = seen.send(format!("stuck, {} to {}", change.old, change.new));
        let _ = stuck.lock().unwrap().recv();
    });
    save(&path, "1");
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), "stuck, 0 to 1");
    let _calm = file.on_change(move |change| drop(teller.send(change.new.to_string())));
    for save_no in 2..=4 {
        save(&path, &save_no.to_string());
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), save_no.to_string());
        assert_eq!(*file.get(), save_no.to_string());
    }
    // What it missed comes as one.
    drop(release);
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), "stuck, 1 to 4");
    drop(stuck);
}

#[test]
fn one_may_reload_from_within() {
    let folder = folder();
    let path = folder.path().join("file.txt");
    let file = Files::start().open(&path, "0".to_owned(), text);
    let (teller, told) = channel();
    let (within, inner) = (file.clone(), path.clone());
    let _reloads = file.on_change(move |change| {
        if *change.new == "1" {
            fs::write(&inner, "2").unwrap();
            within.force_reload().unwrap();
            assert_eq!(*within.get(), "2");
        }
        let _ = teller.send((change.old.to_string(), change.new.to_string()));
    });
    save(&path, "1");
    let pair = |old: &str, new: &str| (old.to_owned(), new.to_owned());
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), pair("0", "1"));
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), pair("1", "2"));
}

#[test]
fn one_may_end_itself_and_one_that_ended_is_not_called() {
    let folder = folder();
    let path = folder.path().join("file.txt");
    let file = Files::start().open(&path, "0".to_owned(), text);
    let (teller, told) = channel();
    let once = Arc::new(Mutex::new(None::<Subscription>));
    let (own, seen) = (Arc::clone(&once), teller.clone());
    let subscription = file.on_change(move |change| {
        let _ = seen.send(format!("once, {}", change.new));
        drop(own.lock().unwrap().take());
    });
    *once.lock().unwrap() = Some(subscription);
    save(&path, "1");
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), "once, 1");
    let _always = file.on_change(move |change| drop(teller.send(change.new.to_string())));
    for save_no in 2..=3 {
        save(&path, &save_no.to_string());
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), save_no.to_string());
    }
}

#[test]
fn nothing_is_locked_while_one_runs() {
    let folder = folder();
    let path = folder.path().join("file.txt");
    let files = Files::start();
    let file = files.open(&path, "0".to_owned(), text);
    let (teller, told) = channel();
    let (within, service, other) = (file.clone(), files.clone(), folder.path().join("other"));
    fs::write(&other, "opened").unwrap();
    let kept = OnceLock::new();
    let _told = file.on_change(move |_| {
        let opened = service.open(&other, String::new(), text);
        let more = within.on_change(|_| ());
        let _ = teller.send((
            opened.get(),
            within.state().generation,
            service.generation(),
        ));
        let _ = kept.set((opened, more));
    });
    save(&path, "1");
    let (opened, generation, last) = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!((opened.as_str(), generation, last), ("opened", 1, 2));
}

#[test]
fn a_key_is_told_when_it_changes_and_not_when_others_do() {
    let folder = folder();
    let path = folder.path().join("shared.env");
    fs::write(&path, "KLR_RAG_CHUNK_SIZE=512\nOTHER=1\n").unwrap();
    let file: HotFile<EnvMap> = Files::start().open(&path, EnvMap::default(), Env);
    let (teller, told) = channel();
    let heard = move |who: &'static str| {
        let teller = teller.clone();
        move |old: Option<&str>, new: Option<&str>| {
            let _ = teller.send((who, old.map(str::to_owned), new.map(str::to_owned)));
        }
    };
    let _size = file.on_key("KLR_RAG_CHUNK_SIZE", heard("size"));
    let _other = file.on_key("OTHER", heard("other"));
    let next = || told.recv_timeout(PATIENCE).unwrap();
    let some = |value: &str| Some(value.to_owned());
    save(&path, "KLR_RAG_CHUNK_SIZE=768\nOTHER=1\n");
    assert_eq!(next(), ("size", some("512"), some("768")));
    save(&path, "KLR_RAG_CHUNK_SIZE=768\nOTHER=2\n");
    assert_eq!(next(), ("other", some("1"), some("2")));
    save(&path, "OTHER=2\n");
    assert_eq!(next(), ("size", some("768"), None));
}
