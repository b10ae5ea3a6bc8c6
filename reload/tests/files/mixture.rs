//! No reader ever sees a mixture of two versions, nor a version older than one that it saw.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::prelude::*;
use warden_reload::files::{Env, EnvMap, Files, HotFile};

use crate::{PATIENCE, folder, save};

#[derive(Clone, Copy, Debug)]
enum Way {
    Rename,
    InPlace,
    /// Cut first, then written in parts.
    Parts(usize),
    DeleteAndMake,
    /// Broken: nothing of it may show.
    Broken,
}

fn ways() -> impl Strategy<Value = Vec<(Way, usize)>> {
    let way = prop_oneof![
        Just(Way::Rename),
        Just(Way::InPlace),
        (2_usize..6).prop_map(Way::Parts),
        Just(Way::DeleteAndMake),
        Just(Way::Broken),
    ];
    prop::collection::vec((way, 1_usize..200), 1..40)
}

/// A file of so many keys that all have the same value, which says how many they are.
fn content(version: usize, keys: usize) -> String {
    (0..keys)
        .map(|key| format!("KEY_{key}={version}\n"))
        .collect()
}

fn write(path: &Path, way: Way, content: &str) {
    match way {
        Way::Rename => save(path, content),
        Way::InPlace => fs::write(path, content).unwrap(),
        Way::Parts(parts) => {
            use std::io::Write as _;
            let mut open = fs::File::create(path).unwrap();
            for part in content.as_bytes().chunks(content.len().div_ceil(parts)) {
                open.write_all(part).unwrap();
                thread::yield_now();
            }
        }
        Way::DeleteAndMake => {
            let _ = fs::remove_file(path);
            fs::write(path, content).unwrap();
        }
        Way::Broken => fs::write(path, format!("{content}broken line\n")).unwrap(),
    }
}

/// Reads until told to stop: how many versions it saw.
fn read(file: &HotFile<EnvMap>, stop: &AtomicBool) -> Result<usize, String> {
    let (mut last, mut versions, mut generation) = (0, 0, 0);
    while !stop.load(Ordering::Relaxed) {
        let (map, state) = file.snapshot();
        let mut values = map.values();
        let Some(version) = values.next().map(|value| value.parse::<usize>().unwrap()) else {
            continue;
        };
        if values.any(|value| *value != version.to_string()) {
            return Err(format!("a mixture of versions: {:?}", map.values()));
        }
        if map.len() != version % 1000 || version < last || state.generation < generation {
            return Err(format!(
                "version {version} of {} keys after {last}",
                map.len()
            ));
        }
        versions += usize::from(version != last);
        (last, generation) = (version, state.generation);
    }
    Ok(versions)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn no_reader_sees_a_mixture(ways in ways()) {
        let folder = folder();
        let path = folder.path().join("shared.env");
        let file: HotFile<EnvMap> = Files::start().open(&path, EnvMap::default(), Env);
        let stop = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (file, stop) = (file.clone(), Arc::clone(&stop));
                thread::spawn(move || read(&file, &stop))
            })
            .collect();
        for (at, (way, keys)) in ways.iter().enumerate() {
            write(&path, *way, &content((at + 1) * 1000 + keys, *keys));
        }
        let last = (ways.len() + 1) * 1000 + 7;
        let (teller, told) = std::sync::mpsc::channel();
        let _told = file.on_change(move |_| {
            let _ = teller.send(());
        });
        save(&path, &content(last, 7));
        let wanted = last.to_string();
        while file.get().get("KEY_0") != Some(wanted.as_str()) {
            prop_assert!(told.recv_timeout(PATIENCE).is_ok(), "the last version did not come: {file:?}");
        }
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            let read = reader.join().unwrap();
            prop_assert!(read.is_ok(), "{}", read.unwrap_err());
        }
    }
}
