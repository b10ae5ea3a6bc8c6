//! One configuration for the whole program. One test, since a program has one.

use std::fs;
use std::sync::mpsc::channel;

use warden_reload::files::{NotStarted, Reloaded, get_config_reloader, start_hot_reload};

use crate::{PATIENCE, folder, save};

#[test]
fn a_program_has_one_configuration() {
    assert_eq!(get_config_reloader().unwrap_err(), NotStarted::NotYet);
    let folder = folder();
    let path = folder.path().join(".kloros_env");
    fs::write(&path, "KLR_AUTONOMY_LEVEL=3\nKLR_RAG_CHUNK_SIZE=512\n").unwrap();
    let reloader = start_hot_reload(&path).unwrap();
    assert_eq!(reloader.get().len(), 2);
    assert!(start_hot_reload(&path).is_ok());
    let other = start_hot_reload(folder.path().join("other.env")).unwrap_err();
    assert!(other.to_string().contains(".kloros_env already"), "{other}");

    let (teller, told) = channel();
    let level = |map: &warden_reload::files::EnvMap| map["KLR_AUTONOMY_LEVEL"].clone();
    let keys = teller.clone();
    reloader.register_callback(move |old, new| drop(teller.send((level(old), level(new)))));
    save(&path, "KLR_AUTONOMY_LEVEL=4\nKLR_RAG_CHUNK_SIZE=512\n");
    let pair = |old: &str, new: &str| (old.to_owned(), new.to_owned());
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), pair("3", "4"));

    let reloader = get_config_reloader().unwrap();
    reloader.on_key("KLR_RAG_CHUNK_SIZE", move |old, new| {
        let own = |value: Option<&str>| value.unwrap_or("none").to_owned();
        drop(keys.send((own(old), own(new))));
    });
    fs::write(&path, "KLR_AUTONOMY_LEVEL=4\nKLR_RAG_CHUNK_SIZE=768\n").unwrap();
    // By then the file may have been seen by itself.
    assert!(matches!(
        reloader.force_reload(),
        Ok(Reloaded::Changed(3) | Reloaded::Unchanged(3))
    ));
    let mut heard = [
        told.recv_timeout(PATIENCE).unwrap(),
        told.recv_timeout(PATIENCE).unwrap(),
    ];
    heard.sort();
    assert_eq!(heard, [pair("4", "4"), pair("512", "768")]);
}
