//! The command line.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::client;

pub const USAGE: &str = "\
Usage: histories [--crashes N] [--at-once N] [--simulated N] [--seed N]
       histories --judge FILE

  --crashes N    kill the real broker so often (30)
  --at-once N    so often in one history, which is judged as one (15)
  --simulated N  simulated histories of a sound broker (25)
  --seed N       as a run before that printed it
  --judge FILE   judge a history again that was kept
";

/// What there is to do.
#[derive(Debug)]
pub enum Job {
    All(Options),
    /// Only the real broker, on this disk, which may be filled.
    Real(Options, PathBuf),
    Judge(PathBuf),
    /// Be a client of a history.
    Client(client::Options),
}

#[derive(Debug)]
pub struct Options {
    pub crashes: u32,
    pub crashes_at_once: u32,
    pub simulated: u64,
    pub seed: u64,
}

impl Job {
    /// Nothing where `cargo test` was given the name of another test.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Options {
            crashes: 30,
            crashes_at_once: 15,
            simulated: 25,
            seed: seed_of_now(),
        };
        let mut named = None;
        let (mut judge, mut disk) = (None, None);
        let (mut number, mut data_dir, mut log) = (None, None, None);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
            match word.as_str() {
                "--crashes" => options.crashes = parsed(&value()?)?,
                "--at-once" => options.crashes_at_once = parsed::<u32>(&value()?)?.max(1),
                "--simulated" => options.simulated = parsed(&value()?)?,
                "--seed" => options.seed = parsed(&value()?)?,
                "--judge" => judge = Some(PathBuf::from(value()?)),
                "--disk" => disk = Some(PathBuf::from(value()?)),
                "--client" => number = Some(parsed(&value()?)?),
                "--data-dir" => data_dir = Some(PathBuf::from(value()?)),
                "--log" => log = Some(PathBuf::from(value()?)),
                "--help" => return Err(String::new()),
                // What else a test program is given: how to run, which is fixed here.
                flag if flag.starts_with('-') => {}
                name => named = Some(named.unwrap_or(false) || "histories".contains(name)),
            }
        }
        if let (Some(number), Some(data_dir), Some(log)) = (number, data_dir, log) {
            let seed = options.seed;
            return Ok(Some(Self::Client(client::Options {
                number,
                seed,
                data_dir,
                log,
            })));
        }
        if let Some(disk) = disk {
            return Ok(Some(Self::Real(options, disk)));
        }
        Ok(match judge {
            Some(file) => Some(Self::Judge(file)),
            None if named == Some(false) => None,
            None => Some(Self::All(options)),
        })
    }
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| format!("{text}: {error}"))
}

/// Every run tries something else; what it tried it prints.
fn seed_of_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}
