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

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use warden::wire::config::{ConfigEvent, LiveConfig};
use warden::wire::reload::{ReloadKind, ReloadModule, ReloadOutcome, ReloadResult};
use warden_reload::files::{
    Env, EnvMap, Fault, FaultKind, FileState, Files, Format as _, HotFile, Problem, Subscription,
};
use warden_reload::promotion::{Live, Place, Schema};

use crate::clock::{rfc3339, wall_ms};
use crate::disk::directory::replace;
use crate::http::answer::Failure;
use crate::http::events::write;
use crate::module::{self, Watch, follow};
use crate::ring::{Entry, Reader, Ring};

/// What a reload calls it.
pub(crate) const MODULE: &str = "config";
/// The file in the data directory with what is live.
const FILE: &str = "config.json";

/// The shared configuration of one broker.
#[derive(Debug)]
pub(crate) struct Sharing {
    env: HotFile<EnvMap>,
    schema: HotFile<Schema>,
    /// Where what is live is written down.
    file: PathBuf,
    live: ArcSwap<LiveConfig>,
    ring: Arc<Ring<Told>>,
    /// Held while the files are looked at, so that an older look never comes after a newer one.
    seen: Mutex<Seen>,
    watches: [Watch; 2],
    followed: OnceLock<[Subscription; 4]>,
}

/// What came of the last look at the files.
#[derive(Debug, Default)]
struct Seen {
    /// Of the values that are live, where they are a file's.
    sha256: Option<String>,
    /// Why what the files say together is not live.
    fault: Option<Fault>,
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
        let env = files.open(place.env(), EnvMap::default(), Env.trusted());
        let schema = files.open(place.schema(), Schema::default(), Schema::format());
        let file = data_dir.join(FILE);
        let before = recall(&file);
        let ring = Arc::new(Ring::new());
        ring.begin_at(before.generation);
        let sharing = Arc::new(Self {
            watches: [
                Watch::new("shared.env", &env.state()),
                Watch::new("schema.ron", &schema.state()),
            ],
            env,
            schema,
            file,
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
        let live = self.live();
        let (sha256, fault) = self.standing();
        ReloadModule {
            name: MODULE.to_owned(),
            kind: ReloadKind::Config,
            state: module::standing(fault.as_ref()),
            generation: live.generation,
            sha256,
            since: live.at.clone(),
            last_error: fault.as_ref().map(module::error),
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

    /// The hash of the values that are live, and why what lies there is not.
    fn standing(&self) -> (Option<String>, Option<Fault>) {
        let seen = self.seen();
        let (sha256, of_both) = (seen.sha256.clone(), seen.fault.clone());
        drop(seen);
        let of_schema = || self.schema.state().fault.clone();
        let of_env = self.env.state().fault.clone();
        (sha256, of_env.or_else(of_schema).or(of_both))
    }

    /// Makes live what the files say now; the number of what is live then.
    ///
    /// # Errors
    /// Why what they say together is not.
    fn look(&self) -> Result<u64, Fault> {
        let mut seen = self.seen();
        match self.bring_up() {
            Ok(sha256) => {
                *seen = Seen {
                    sha256,
                    fault: None,
                };
                Ok(self.live().generation)
            }
            Err(fault) => {
                if seen.fault.as_ref() != Some(&fault) {
                    tracing::error!(module = MODULE, %fault, "refused; the last good one holds");
                }
                seen.fault = Some(fault.clone());
                Err(fault)
            }
        }
    }

    /// The hash of the values that are live after this, where they are a file's.
    fn bring_up(&self) -> Result<Option<String>, Fault> {
        let (env, env_state) = self.env.snapshot();
        let (schema, schema_state) = self.schema.snapshot();
        if !is_known(&schema_state) {
            return Ok(None);
        }
        let live = self.live();
        let wanted = if is_known(&env_state) {
            diff::shared(&env, &schema)
        } else {
            Ok(diff::still_shared(&live, &schema))
        };
        let (values, problem) = match wanted {
            Ok(values) => (values, None),
            Err(problem) => (diff::still_shared(&live, &schema), Some(problem)),
        };
        self.make_live(&live, values, &schema)?;
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
        let Some(change) = diff::change(live, &values, schema, rfc3339(wall_ms())) else {
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
        self.live.store(Arc::new(next));
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
