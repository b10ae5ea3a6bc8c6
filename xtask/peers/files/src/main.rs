//! Measures watchers of files: `files latency SAVES rename|write`, `files storm rename|write`,
//! `files halves SAVES`, `files apply KEYS`, `files idle SECONDS`. Each line that is printed is a
//! name and numbers.

mod watchers;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use warden_reload::files::{Env, EnvMap, Files};

use watchers::{Seen, Watcher, all};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Between two saves: a person is slower, and a storm is measured apart.
const PACE: Duration = Duration::from_millis(75);
/// The slowest peer looks every 2 s.
const AFTER: Duration = Duration::from_secs(3);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["latency", saves, way] => latency(saves.parse()?, way),
        ["storm", way] => storm(way),
        ["halves", saves] => halves(saves.parse()?),
        ["apply", keys] => apply(keys.parse()?),
        ["idle", seconds] => idle(seconds.parse()?),
        other => Err(format!("what is {other:?}?").into()),
    }
}

/// The content of a save: its number, in a file of some size, and a mark that it is whole.
fn content(number: u64) -> String {
    let mut content = format!("NUMBER={number}\n");
    for key in 0..20 {
        content.push_str(&format!("KEY_{key}=a value of some length, {number}\n"));
    }
    content + "END=here\n"
}

fn save(path: &Path, way: &str, number: u64) -> Result<()> {
    let content = content(number);
    if way == "rename" {
        let new = path.with_extension("new");
        fs::write(&new, content)?;
        fs::rename(&new, path)?;
    } else {
        fs::write(path, content)?;
    }
    Ok(())
}

/// From the end of a save to when each watcher had it, in seconds: `NAME p50 p99 max applied`.
fn latency(saves: u64, way: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("shared.env");
    save(&path, way, 0)?;
    let watchers = all(&path)?;
    let mut saved = Vec::new();
    for number in 1..=saves {
        save(&path, way, number)?;
        saved.push(Instant::now());
        // The pace of the saves.
        thread::sleep(PACE);
    }
    thread::sleep(AFTER);
    for Watcher { name, seen, .. } in &watchers {
        let seen = seen.taken();
        let mut took: Vec<f64> = Vec::new();
        let mut at = 0;
        for (number, saved) in (1..).zip(&saved) {
            while seen.get(at).is_some_and(|seen| seen.number < number) {
                at += 1;
            }
            // Never seen: as late as anything.
            let took_one = seen
                .get(at)
                .map_or(AFTER, |seen| seen.at.saturating_duration_since(*saved));
            took.push(took_one.as_secs_f64());
        }
        took.sort_by(f64::total_cmp);
        let part =
            |part: f64| took[((took.len() as f64 * part).ceil() as usize).clamp(1, took.len()) - 1];
        println!(
            "{name}\t{}\t{}\t{}\t{}",
            part(0.5),
            part(0.99),
            part(1.0),
            seen.len()
        );
    }
    Ok(())
}

/// A thousand saves in a second: `NAME applied last_after_s` and whether the last one won.
fn storm(way: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("shared.env");
    save(&path, way, 0)?;
    let watchers = all(&path)?;
    let start = Instant::now();
    for number in 1..=1000 {
        save(&path, way, number)?;
        if let Some(early) = Duration::from_millis(number).checked_sub(start.elapsed()) {
            // The pace of the storm.
            thread::sleep(early);
        }
    }
    let end = Instant::now();
    thread::sleep(AFTER);
    for Watcher { name, seen, .. } in &watchers {
        let seen = seen.taken();
        let last = seen.last().filter(|last| last.number == 1000);
        let after = last.map_or(f64::INFINITY, |last| {
            last.at.saturating_duration_since(end).as_secs_f64()
        });
        println!(
            "{name}\t{}\t{after}\t{}",
            seen.len(),
            (end - start).as_secs_f64()
        );
    }
    Ok(())
}

/// Saves in place that pause in the middle: how often each watcher took a half: `NAME halves`.
fn halves(saves: u64) -> Result<()> {
    use std::io::Write as _;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("shared.env");
    save(&path, "write", 0)?;
    let watchers = all(&path)?;
    for number in 1..=saves {
        let content = content(number);
        let (first, second) = content.split_at(content.len() / 2);
        let mut file = fs::File::create(&path)?;
        file.write_all(first.as_bytes())?;
        // The pause of the writer is what is measured.
        thread::sleep(Duration::from_millis(1200));
        file.write_all(second.as_bytes())?;
        drop(file);
        // Out of step with whoever looks every 2 s.
        thread::sleep(Duration::from_millis(1100));
    }
    thread::sleep(AFTER);
    for Watcher { name, seen, .. } in &watchers {
        println!("{name}\t{}", seen.halves());
    }
    Ok(())
}

/// Read, parse, store: `apply median_s max_s bytes`.
fn apply(keys: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("shared.env");
    let write = |number: usize| {
        let line = |key| format!("SOME_KEY_NUMBER_{key}=a value, {number} # why\n");
        fs::write(&path, (0..keys).map(line).collect::<String>())
    };
    write(0)?;
    let file = Files::start_polling("measured").open(&path, EnvMap::default(), Env);
    let mut took = Vec::new();
    for number in 1..=200 {
        write(number)?;
        let start = Instant::now();
        file.force_reload()?;
        took.push(start.elapsed().as_secs_f64());
    }
    took.sort_by(f64::total_cmp);
    println!(
        "apply\t{}\t{}\t{}",
        took[took.len() / 2],
        took[took.len() - 1],
        fs::metadata(&path)?.len()
    );
    Ok(())
}

/// What a watch costs while nothing happens: `idle bytes cpu_part`.
fn idle(seconds: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("shared.env");
    save(&path, "write", 0)?;
    let before = memory()?;
    let file = Files::start().open(&path, EnvMap::default(), Env);
    let _told = file.on_change(|change| {
        std::hint::black_box(change.generation);
    });
    // What its first change allocates stays.
    save(&path, "rename", 1)?;
    // Before what is measured: how it is awaited adds nothing to that.
    while file.state().generation < 2 {
        thread::sleep(Duration::from_millis(10));
    }
    let cpu = Seen::process_cpu();
    let start = Instant::now();
    // What it costs while nothing happens.
    thread::sleep(Duration::from_secs(seconds));
    let part = (Seen::process_cpu() - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    println!("idle\t{}\t{part}", memory()?.saturating_sub(before));
    Ok(())
}

/// The memory of this process that no file backs, in bytes.
fn memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .ok_or("no RssAnon")?;
    Ok(kib.trim().parse::<u64>()? * 1024)
}
