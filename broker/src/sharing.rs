//! The configuration that programs share, live: what `shared.env` says, as far as `schema.ron` marks
//! it `shared`, with one number that orders its changes.
//!
//! Invariants:
//! - The number never goes back: it is in the data directory before anybody is told of it.
//! - Nothing leaves but keys that the live schema shares. A key that is shared no more is not told
//!   with its last value, and what was told of it before can be had no more.
//! - All of a file or nothing of it: a shared value that the schema does not allow changes nothing.
//!   Where a file is broken from the start, what was live before this start stays live.

mod diff;
mod placed;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use warden::wire::config::{ConfigEvent, LiveConfig};
use warden::wire::reload::{RefusedFile, ReloadKind, ReloadModule, ReloadOutcome, ReloadResult};
use warden_reload::files::{
    Fault, FaultKind, FileState, Files, Format as _, HotFile, Problem, Subscription,
};
use warden_reload::promotion::{Checks, Live, Place, Schema};

use crate::clock::{rfc3339, wall_ms};
use crate::disk::directory::replace;
use crate::http::answer::Failure;
use crate::http::events::write;
use crate::module::{self, Watch, follow};
use crate::ring::{Entry, Reader, Ring};
use placed::{PlacedEnv, PlacedValues};

/// What a reload calls it.
pub(crate) const MODULE: &str = "config";
/// The file in the data directory with what is live.
const FILE: &str = "config.json";

/// The shared configuration of one broker.
#[derive(Debug)]
pub(crate) struct Sharing {
    env: HotFile<PlacedValues>,
    schema: HotFile<Schema>,
    /// Promotions read it for themselves: here it is only known whether they can.
    checks: HotFile<Checks>,
    /// Where what is live is written down.
    file: PathBuf,
    live: ArcSwap<LiveConfig>,
    /// What was told of last, and lies in the file. What is live is less where a key is shared no more
    /// and that cannot be written down.
    told: ArcSwap<LiveConfig>,
    ring: Arc<Ring<Told>>,
    /// Held while the files are looked at, so that an older look never comes after a newer one.
    seen: Mutex<Seen>,
    watches: [Watch; 3],
    followed: OnceLock<[Subscription; 5]>,
}

/// What came of the last look at the files.
#[derive(Debug, Default)]
struct Seen {
    /// Of the values that are live, where they are a file's.
    sha256: Option<String>,
    /// Why what the files say together is not live.
    fault: Option<Fault>,
    /// What was wrong with either by itself: what is told of a file is told with what came of it.
    of_env: Option<Fault>,
    of_schema: Option<Fault>,
}

/// One event of the stream.
#[derive(Debug)]
pub(crate) struct Told {
    generation: u64,
    text: Bytes,
}

impl Entry for Told {
    fn number(&self) -> u64 {
        self.generation
    }

    fn text(&self) -> &Bytes {
        &self.text
    }

    fn weight(&self) -> usize {
        self.text.len()
    }
}

impl Sharing {
    /// Goes on from what was live when the last broker of this data directory ended, and follows the
    /// files from here on.
    pub(crate) fn open(files: &Files, place: &Place, data_dir: &Path) -> Arc<Self> {
        let none = PlacedValues::default();
        let env = files.open_or(place.env(), none.clone(), none, PlacedEnv.trusted());
        let none = Schema::default();
        let schema = files.open_or(place.schema(), none.clone(), none, Schema::format());
        let none = Checks::default();
        let checks = files.open_or(place.checks(), none.clone(), none, Checks::format());
        let file = data_dir.join(FILE);
        let before = recall(&file);
        let ring = Arc::new(Ring::new());
        ring.begin_at(before.generation);
        let sharing = Arc::new(Self {
            watches: [
                Watch::new("shared.env", "no key has a value", &env.state()),
                Watch::new(
                    "schema.ron",
                    "no key is shared, and none may be set",
                    &schema.state(),
                ),
                Watch::new("checks.ron", "there is no check", &checks.state()),
            ],
            env,
            schema,
            checks,
            file,
            told: ArcSwap::from_pointee(before.clone()),
            live: ArcSwap::from_pointee(before),
            ring,
            seen: Mutex::default(),
            followed: OnceLock::new(),
        });
        let look = || follow(&sharing, |sharing, (): &()| drop(sharing.look()));
        let note = |which: usize| {
            follow(&sharing, move |sharing, state: &FileState| {
                sharing.watches[which].note(state);
                // A file that was broken from the start may have been deleted.
                drop(sharing.look());
            })
        };
        let (on_env, on_schema) = (look(), look());
        let followed = [
            sharing.env.on_change(move |_| on_env(&())),
            sharing.schema.on_change(move |_| on_schema(&())),
            sharing.env.on_state(note(0)),
            sharing.schema.on_state(note(1)),
            sharing.checks.on_state(note(2)),
        ];
        // This is the only place that sets it.
        let _ = sharing.followed.set(followed);
        drop(sharing.look());
        sharing
    }

    /// What is live.
    pub(crate) fn live(&self) -> Arc<LiveConfig> {
        self.live.load_full()
    }

    /// What a reader begins with, and the events after it.
    pub(crate) fn read(
        &self,
        last: Option<u64>,
        hang_up: CancellationToken,
    ) -> (Option<Bytes>, Reader<Told>) {
        if let Some(last) = last
            && let Some(reader) = self.ring.resume(last, hang_up.clone())
        {
            return (None, reader);
        }
        let live = self.live();
        let generation = live.generation;
        let first = told(&ConfigEvent::Config((*live).clone()));
        (Some(first.text), self.ring.follow(generation, hang_up))
    }

    /// How it stands.
    pub(crate) fn module(&self) -> ReloadModule {
        let seen = self.seen();
        let (live, sha256) = (self.live(), seen.sha256.clone());
        let fault = self
            .faults(&seen)
            .into_iter()
            .map(|(fault, _)| fault)
            .next();
        ReloadModule {
            name: MODULE.to_owned(),
            kind: ReloadKind::Config,
            state: module::standing(fault.as_ref()),
            generation: live.generation,
            sha256,
            since: live.at.clone(),
            last_error: fault.as_ref().map(module::error),
            program: None,
        }
    }

    /// Reads both files now, and returns once what they say is live.
    ///
    /// # Errors
    /// `reload_refused`; what was live stays so.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<ReloadResult, Failure> {
        let sharing = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || {
            let before = sharing.live().generation;
            sharing.schema.force_reload()?;
            sharing.env.force_reload()?;
            sharing.look().map(|generation| (before, generation))
        });
        let read = read.await.map_err(|_| Failure::shutting_down())?;
        let (before, generation) = read.map_err(|fault| module::refused(&fault))?;
        Ok(ReloadResult {
            name: MODULE.to_owned(),
            outcome: if generation == before {
                ReloadOutcome::Unchanged
            } else {
                ReloadOutcome::Reloaded
            },
            generation,
        })
    }

    /// Why what lies there is not live, file by file.
    pub(crate) fn refused(&self) -> Vec<RefusedFile> {
        let faults = self.faults(&self.seen()).into_iter();
        let told = faults.map(|(fault, holds)| module::refused_file(&fault, holds));
        told.collect()
    }

    /// What is wrong, and what holds meanwhile.
    fn faults(&self, seen: &Seen) -> Vec<(Fault, &'static str)> {
        const VALUES: &str = "the last good values hold";
        const SCHEMA: &str = "the last good schema holds, and nothing can be promoted";
        const CHECKS: &str = "nothing can be promoted with a check";
        // What was wrong with the values before says nothing of a file that cannot be read now.
        let is_past = |fault: &&Fault| seen.of_env.is_some() && fault.path == self.env.path();
        let of_values = seen.fault.as_ref().filter(|fault| !is_past(fault));
        let of_files = [
            (seen.of_env.clone(), VALUES),
            (seen.of_schema.clone(), SCHEMA),
            (of_values.cloned(), VALUES),
            (self.checks.state().fault.clone(), CHECKS),
        ];
        let faults = of_files.into_iter();
        faults
            .filter_map(|(fault, holds)| Some((fault?, holds)))
            .collect()
    }

    /// Makes live what the files say now; the number of what is live then.
    ///
    /// # Errors
    /// Why what they say together is not.
    fn look(&self) -> Result<u64, Fault> {
        let mut seen = self.seen();
        let (env, env_state) = self.env.snapshot();
        let (schema, schema_state) = self.schema.snapshot();
        seen.of_env.clone_from(&env_state.fault);
        seen.of_schema.clone_from(&schema_state.fault);
        match self.bring_up((&env, &env_state), (&schema, &schema_state)) {
            Ok(sha256) => {
                (seen.sha256, seen.fault) = (sha256, None);
                Ok(self.live().generation)
            }
            Err(fault) => {
                if seen.fault.as_ref() != Some(&fault) {
                    tracing::warn!(module = MODULE, %fault, "refused; the last good values hold");
                }
                seen.fault = Some(fault.clone());
                Err(fault)
            }
        }
    }

    /// The hash of the values that are live after this, where they are a file's.
    fn bring_up(
        &self,
        (env, env_state): (&PlacedValues, &FileState),
        (schema, schema_state): (&Schema, &FileState),
    ) -> Result<Option<String>, Fault> {
        if !is_known(schema_state) {
            return Ok(None);
        }
        let live = self.live();
        let wanted = if is_known(env_state) {
            diff::shared(env, schema)
        } else {
            Ok(diff::still_shared(&live, schema))
        };
        let (values, problem) = match wanted {
            Ok(values) => (values, None),
            Err(problem) => (diff::still_shared(&live, schema), Some(problem)),
        };
        self.make_live(&live, values, schema)?;
        match problem {
            None => Ok(env_state.sha256.clone()),
            Some(problem) => Err(problem.of(self.env.path())),
        }
    }

    fn make_live(
        &self,
        live: &LiveConfig,
        values: diff::Values,
        schema: &Schema,
    ) -> Result<(), Fault> {
        let told_of = self.told.load_full();
        let change_of = |base| diff::change(base, &values, schema, rfc3339(wall_ms()));
        // A key that went and came back in between may have been seen to be gone.
        let change = match (change_of(&told_of), change_of(live)) {
            (Some(mut change), Some(seen)) => {
                for (key, seen) in seen.changed {
                    change.changed.entry(key).or_insert(seen);
                }
                Some(change)
            }
            (change, seen) => change.or(seen),
        };
        let Some(change) = change else {
            return Ok(());
        };
        let unshared = live.values.keys().any(|key| !schema.is_shared(key));
        if unshared {
            self.ring.forget();
        }
        let next = LiveConfig {
            generation: change.generation,
            at: change.at.clone(),
            values,
        };
        if let Err(fault) = self.write_down(&next) {
            if unshared {
                let values = diff::still_shared(live, schema);
                self.live.store(Arc::new(LiveConfig {
                    values,
                    ..live.clone()
                }));
            }
            return Err(fault);
        }
        let keys: Vec<&str> = change.changed.keys().map(String::as_str).collect();
        tracing::info!(module = MODULE, generation = next.generation, ?keys, "live");
        let next = Arc::new(next);
        self.told.store(Arc::clone(&next));
        self.live.store(next);
        let head = self
            .ring
            .tell(&mut vec![told(&ConfigEvent::Changed(change))]);
        self.ring.drop_laggards(head.unwrap_or_default());
        Ok(())
    }

    fn write_down(&self, config: &LiveConfig) -> Result<(), Fault> {
        let written = serde_json::to_vec(config)
            .map_err(std::io::Error::other)
            .and_then(|text| match self.file.parent() {
                Some(dir) => replace(dir, FILE, &text),
                None => Err(ErrorKind::NotFound.into()),
            });
        written.map_err(|error| {
            let message = format!(
                "the number of the new configuration cannot be written down: {error}; it goes live \
                 once it can, when a file is saved again or a reload is asked for"
            );
            Problem::new(FaultKind::Io, message).of(&self.file)
        })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // What is in it is replaced as a whole: there is no half-done state to fear.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For promotions in this process.
impl Live for Sharing {
    fn make_live(&self, sha256: &str) -> Result<Option<u64>, String> {
        let read = self.env.force_reload().map_err(|fault| fault.to_string());
        read?;
        let generation = self.look().map_err(|fault| fault.to_string())?;
        if self.env.state().sha256.as_deref() == Some(sha256) {
            Ok(Some(generation))
        } else {
            Err("somebody else changed the file in the same moment".to_owned())
        }
    }
}

/// Whether the live value is what a file says, or said last, or that there is none.
fn is_known(state: &FileState) -> bool {
    state.sha256.is_some() || !state.present && state.fault.is_none()
}

fn told(event: &ConfigEvent) -> Told {
    let generation = event.generation();
    Told {
        generation,
        text: write(generation, event.name(), event),
    }
}

/// What was live when the last broker ended.
fn recall(file: &Path) -> LiveConfig {
    let error = match fs::read(file) {
        Ok(text) => match serde_json::from_slice(&text) {
            Ok(live) => return live,
            Err(error) => error.to_string(),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return LiveConfig {
                at: rfc3339(wall_ms()),
                ..LiveConfig::default()
            };
        }
        Err(error) => error.to_string(),
    };
    // No count of changes gets to the milliseconds of Unix time, so this never goes back.
    let generation = wall_ms();
    let file = file.display();
    tracing::error!(%file, %error, generation, "unreadable; the configuration is counted on from here");
    LiveConfig {
        generation,
        at: rfc3339(generation),
        ..LiveConfig::default()
    }
}
