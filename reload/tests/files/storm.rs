//! A thousand saves in a second.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::{Followed, folder, save};

fn storm(save: impl Fn(&Path, &str)) {
    let folder = folder();
    let path = folder.path().join("file.txt");
    let followed = Followed::new(&path);
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let _counts = followed.file.on_change(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let start = Instant::now();
    for save_no in 0..1000 {
        save(&path, &format!("{save_no:04}"));
        let due = Duration::from_millis(save_no);
        if let Some(early) = due.checked_sub(start.elapsed()) {
            // The pace of the storm.
            std::thread::sleep(early);
        }
    }
    let took = start.elapsed();
    followed.until_live("0999");
    let applied = followed.file.state().generation;
    // Eight at once, then one a second, and the last.
    let most = 8 + took.as_secs() + 12;
    assert!(applied <= most, "{applied} applications in {took:?}");
    assert!(calls.load(Ordering::Relaxed) <= applied);
}

#[test]
fn a_storm_of_renamed_saves_is_applied_a_few_times_and_the_last_wins() {
    storm(save);
}

#[test]
fn a_storm_of_saves_in_place_is_applied_a_few_times_and_the_last_wins() {
    storm(|path, content| fs::write(path, content).unwrap());
}
