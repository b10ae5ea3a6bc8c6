//! The functions that the host delegates to, whichever generation they are of, and how they are
//! replaced.

mod change;
mod memory;
mod place;
mod rehearse;
mod remedy;
mod table;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use warden_reload::{
    CapturedState, Child, HotModule, HotReloader, MemoryCell, Pending, Start, StartError,
};

pub use change::{Failed, TakenBack};
pub use place::Place;
pub use rehearse::{Scene, Stage, rehearse};
pub use remedy::Remedy;
pub use table::{Draw, DrawOwn, Drawing, Entry, Functions, MODULES, Style};

use memory::linked_memory;

/// A rehearsal in a process of its own must have ended by then, on a busy machine too.
const REHEARSAL_MAX: Duration = Duration::from_secs(10);
/// And may write to so much memory: fonts, egui's tables and the scene take a tenth of it.
const REHEARSAL_MEMORY: u64 = 1 << 30;

/// What draws, and how it is replaced.
#[derive(Debug)]
pub struct Hot {
    /// In the order in which they draw.
    layers: Vec<Layer>,
    source: Source,
    stage: Stage,
    /// When this program's file was written, which a build may replace while it runs.
    program_written: Option<SystemTime>,
}

/// One hot module.
#[derive(Debug)]
struct Layer {
    entry: Entry,
    functions: Option<Functions>,
    memory: MemoryCell,
    /// It must still prove itself, so its frames are measured.
    on_probation: bool,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
enum Source {
    /// Linked in: there is nothing to reload.
    Fixed,
    Reloaded {
        reloader: HotReloader,
        place: Place,
        pending: Vec<(&'static str, Pending)>,
    },
}

impl Hot {
    /// What is linked in, in the order in which it draws.
    #[must_use]
    pub fn fixed(modules: &[Entry]) -> Self {
        let layer = |entry: &Entry| Layer {
            entry: *entry,
            functions: entry.linked,
            memory: linked_memory(entry),
            on_probation: false,
        };
        Self {
            layers: modules.iter().map(layer).collect(),
            source: Source::Fixed,
            stage: Stage::default(),
            program_written: None,
        }
    }

    /// Loads the libraries of these modules and stands ready to replace them. `kept` is what they
    /// remembered when the window was closed, by name. `wake` is called, from another thread,
    /// whenever [`Self::swap`] or [`Self::status`] have something new.
    ///
    /// # Errors
    /// When no code can be loaded at all.
    pub fn start(
        place: Place,
        modules: &[Entry],
        kept: &BTreeMap<String, String>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let reloader = HotReloader::start(Start {
            staging: place.staging.clone(),
            stamp: warden_manifest::stamp!(shares: warden_toolkit),
            wake: Box::new(wake),
        })?;
        let stage = Stage::default();
        let (mut layers, mut pending) = (Vec::new(), Vec::new());
        for entry in modules {
            if let Err(error) = reloader.register(module(entry, &place, &stage)) {
                tracing::error!(%error, "a hot module is left out");
                continue;
            }
            if let Some(memory) = kept.get(entry.name) {
                let captured = CapturedState {
                    module: entry.name.to_owned(),
                    memory: memory.clone(),
                };
                if let Err(error) = reloader.restore_state(entry.name, &captured) {
                    tracing::warn!(module = entry.name, %error, "what it remembered is lost");
                }
            }
            // A build takes seconds where there is none yet; what lies there was built with this
            // host.
            let artifact = place.artifact(entry.name);
            let first = if artifact.exists() || place.build(entry.name).is_none() {
                reloader.load(entry.name)
            } else {
                reloader.reload(entry.name)
            };
            pending.extend(first.ok().map(|attempt| (entry.name, attempt)));
            layers.push(Layer {
                entry: *entry,
                functions: None,
                memory: reloader.memory(entry.name).unwrap_or_default(),
                on_probation: false,
            });
        }
        let source = Source::Reloaded {
            reloader,
            place,
            pending,
        };
        Ok(Self {
            layers,
            source,
            stage,
            program_written: remedy::program_written(),
        })
    }

    /// Waits for the first generations, so that the first frame shows them. To be called before the
    /// first frame; a build is not waited for.
    pub fn settle(&mut self) {
        let Source::Reloaded {
            pending, reloader, ..
        } = &mut self.source
        else {
            return;
        };
        for (name, attempt) in std::mem::take(pending) {
            let stage = reloader.status(name).and_then(|status| status.stage);
            if stage.is_some_and(|(stage, _)| stage == warden_reload::Stage::Build) {
                pending.push((name, attempt));
            } else {
                let outcome = attempt.wait();
                tracing::info!(module = name, %outcome, "the first generation");
            }
        }
    }

    /// How many modules there are.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there always is one")]
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// The modules, in the order in which they draw.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.layers.iter().map(|layer| &layer.entry)
    }

    /// The pointers of the module at this place, while it has any that are good.
    #[must_use]
    pub fn functions(&self, at: usize) -> Option<Functions> {
        self.layers.get(at)?.functions
    }

    /// Whether there is something to draw on.
    #[must_use]
    pub fn can_draw(&self) -> bool {
        self.functions(0).is_some()
    }

    /// The name of the module at this place.
    #[must_use]
    pub fn name(&self, at: usize) -> Option<&'static str> {
        self.layers.get(at).map(|layer| layer.entry.name)
    }

    /// Where rehearsals find what to draw.
    #[must_use]
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// A module's file; empty where it is linked in.
    #[must_use]
    pub fn artifact(&self, name: &str) -> String {
        match &self.source {
            Source::Fixed => String::new(),
            Source::Reloaded { place, .. } => place.artifact(name).display().to_string(),
        }
    }

    /// Where the libraries come from; none where the code is linked in.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match &self.source {
            Source::Fixed => None,
            Source::Reloaded { place, .. } => Some(place),
        }
    }
}

fn module(entry: &Entry, place: &Place, stage: &Stage) -> HotModule {
    let paranoid = place.rehearser.clone().map(|program| Child {
        program,
        arguments: vec!["--rehearse".to_owned()],
        deadline: REHEARSAL_MAX,
        memory_max: REHEARSAL_MEMORY,
    });
    HotModule {
        name: entry.name.to_owned(),
        artifact: place.artifact(entry.name),
        build: place.build(entry.name),
        schema: warden_view::SCHEMA,
        state_keys: vec!["ui memory".to_owned(), "egui memory".to_owned()],
        delegation_targets: entry.targets(),
        after: entry.after.iter().map(|name| (*name).to_owned()).collect(),
        rehearse: Some(stage.rehearse(entry, paranoid.is_some())),
        paranoid,
        ..HotModule::default()
    }
}
