//! The functions that the host delegates to, whichever generation they are of, and how they are
//! replaced.

mod place;
mod rehearse;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use warden_hot::Memory;
use warden_reload::{
    CapturedState, Caught, Child, Failure, Generation, HotModule, HotReloader, MemoryCell, Outcome,
    Pending, RolledBack, Snapshot, Start, StartError, Status, Watch,
};

pub use place::Place;
pub use rehearse::{Scene, Stage};
pub use table::{Draw, DrawOwn, Drawing, Entry, Functions, MODULES, Style};

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

/// A module was taken back.
#[derive(Debug)]
pub struct TakenBack {
    /// Which one.
    pub module: &'static str,
    /// How.
    pub how: RolledBack,
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
                tracing::info!(module = name, ?outcome, "the first generation");
            }
        }
    }

    /// What came of the attempts that have ended since this was asked last.
    pub fn outcomes(&mut self) -> Vec<(&'static str, Outcome)> {
        let Source::Reloaded { pending, .. } = &mut self.source else {
            return Vec::new();
        };
        let mut outcomes = Vec::new();
        pending.retain(|(name, attempt)| match attempt.outcome() {
            Some(outcome) => {
                outcomes.push((*name, outcome));
                false
            }
            None => true,
        });
        outcomes
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

    /// The memory of the module at this place.
    #[must_use]
    pub fn memory(&self, at: usize) -> MemoryCell {
        let layer = self.layers.get(at);
        layer.map(|layer| layer.memory.clone()).unwrap_or_default()
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

    /// Whether the module at this place must still prove itself.
    #[must_use]
    pub fn is_on_probation(&self, at: usize) -> bool {
        self.layers.get(at).is_some_and(|layer| layer.on_probation)
    }

    /// Whether any module must still prove itself, for which it needs frames.
    #[must_use]
    pub fn wants_frames(&self) -> bool {
        self.layers.iter().any(|layer| layer.on_probation)
    }

    /// Where rehearsals find what to draw.
    #[must_use]
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Takes the generations that are ready into use. `capture` copies what of the host's state they
    /// may change; it comes back when one of them fails its probation.
    pub fn swap(&mut self, capture: impl Fn() -> Snapshot) -> Vec<(&'static str, Arc<Generation>)> {
        let Source::Reloaded { reloader, .. } = &self.source else {
            return Vec::new();
        };
        let mut swapped = Vec::new();
        for layer in &mut self.layers {
            if let Some(generation) = reloader.swap_with(layer.entry.name, &capture) {
                layer.functions = layer.entry.functions(&generation);
                layer.on_probation = true;
                swapped.push((layer.entry.name, generation));
            }
        }
        swapped
    }

    /// A copy of each module's memory, in their order.
    ///
    /// # Errors
    /// The place of a module whose code panicked over it, and what it said.
    pub fn copy_memories(&self) -> Result<Vec<Option<Memory>>, (usize, Caught)> {
        let copy = |(at, layer): (usize, &Layer)| {
            let memory = layer.memory.lock();
            let copy = memory.as_ref().map(Memory::try_clone).transpose();
            copy.map_err(|error| {
                let message = error.to_string();
                (
                    at,
                    Caught {
                        message,
                        place: None,
                    },
                )
            })
        };
        self.layers.iter().enumerate().map(copy).collect()
    }

    /// Puts back what [`Self::copy_memories`] copied.
    pub fn put_memories_back(&self, copies: Vec<Option<Memory>>) {
        for (layer, copy) in self.layers.iter().zip(copies) {
            *layer.memory.lock() = copy;
        }
    }

    /// The module at this place, which is on probation, has drawn, at this cost of its thread. It is
    /// taken back if it was too slow too often.
    pub fn drew(&mut self, at: usize, cost: Duration) -> Option<TakenBack> {
        let layer = self.layers.get_mut(at)?;
        let Source::Reloaded { reloader, .. } = &self.source else {
            return None;
        };
        let module = layer.entry.name;
        let how = reloader.drew(module, cost);
        let status = reloader.status(module);
        layer.on_probation = status.is_some_and(|status| status.probation.is_some());
        how.map(|how| layer.taken_back(how))
    }

    /// The last call to the module at this place panicked, and what it had changed was put back: it
    /// goes back to its last good generation, if it has one.
    pub fn panicked(&mut self, at: usize, caught: &Caught) -> Option<TakenBack> {
        let layer = self.layers.get_mut(at)?;
        match &self.source {
            Source::Fixed => {
                layer.functions = None;
                None
            }
            Source::Reloaded { reloader, .. } => reloader
                .panicked(layer.entry.name, caught)
                .map(|how| layer.taken_back(how)),
        }
    }

    /// Goes back to a former generation by hand.
    ///
    /// # Errors
    /// When that cannot be: in a sentence for the operator.
    pub fn roll_back(&mut self, name: &str, number: u32) -> Result<(), String> {
        let layer = self
            .layers
            .iter_mut()
            .find(|layer| layer.entry.name == name);
        if let (Some(layer), Source::Reloaded { reloader, .. }) = (layer, &self.source) {
            let generation = reloader
                .roll_back(name, number)
                .map_err(|error| error.to_string())?;
            layer.functions = layer.entry.functions(&generation);
            layer.on_probation = false;
        }
        Ok(())
    }

    /// The module whose generation is the youngest of those that something can be gone back from,
    /// and the generation that ran before it.
    #[must_use]
    pub fn newest_to_undo(&self) -> Option<(&'static str, u32)> {
        let candidate = |layer: &Layer| {
            let status = self.status(layer.entry.name)?;
            let running = status.running?;
            let former = status.history.iter().rev().find(|row| {
                row.standing == warden_reload::Standing::Former
                    && row.number < Some(running.number())
            })?;
            Some((running.since(), layer.entry.name, former.number?))
        };
        let newest = self.layers.iter().filter_map(candidate).max();
        newest.map(|(_, name, number)| (name, number))
    }

    /// Builds and loads every module anew, each after those that it goes after. Does nothing where
    /// the code is linked in.
    pub fn reload_all(&mut self) {
        if let Source::Reloaded {
            reloader, pending, ..
        } = &mut self.source
        {
            for (name, attempt) in reloader.reload_all() {
                let layer = self.layers.iter().find(|layer| layer.entry.name == name);
                pending.extend(layer.map(|layer| (layer.entry.name, attempt)));
            }
        }
    }

    /// Builds and loads one module anew.
    pub fn reload(&mut self, name: &str) {
        let known = self.layers.iter().find(|layer| layer.entry.name == name);
        if let (
            Some(layer),
            Source::Reloaded {
                reloader, pending, ..
            },
        ) = (known, &mut self.source)
        {
            let attempt = reloader.reload(layer.entry.name).ok();
            pending.extend(attempt.map(|attempt| (layer.entry.name, attempt)));
        }
    }

    /// Gives up the attempt that is under way.
    pub fn cancel(&self, name: &str) {
        if let Source::Reloaded { reloader, .. } = &self.source {
            // False where there is nothing to give up any more: then it has ended by itself.
            let _ = reloader.cancel(name);
        }
    }

    /// Has a module's file watched, or no longer.
    ///
    /// # Errors
    /// When its directory cannot be watched: in a sentence for the operator.
    pub fn watch(&self, name: &str, watch: Watch) -> Result<(), String> {
        match &self.source {
            Source::Fixed => Ok(()),
            Source::Reloaded { reloader, .. } => reloader
                .watch(name, watch)
                .map_err(|error| error.to_string()),
        }
    }

    /// How a module stands; none where it is linked in.
    #[must_use]
    pub fn status(&self, name: &str) -> Option<Status> {
        match &self.source {
            Source::Fixed => None,
            Source::Reloaded { reloader, .. } => reloader.status(name),
        }
    }

    /// The newest failure that no success has cleared yet.
    #[must_use]
    pub fn last_error(&self) -> Option<Failure> {
        match &self.source {
            Source::Fixed => None,
            Source::Reloaded { reloader, .. } => reloader.last_error(),
        }
    }

    /// What the modules remember, as text by name. One whose code fails over it is left out.
    #[must_use]
    pub fn captured(&self) -> BTreeMap<String, String> {
        let Source::Reloaded { reloader, .. } = &self.source else {
            return BTreeMap::new();
        };
        let capture = |layer: &Layer| {
            let captured = reloader.capture_state(layer.entry.name).ok().flatten()?;
            Some((captured.module, captured.memory))
        };
        self.layers.iter().filter_map(capture).collect()
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

    /// Blocks until the attempt that is asked for here has come to something; for tests.
    #[must_use]
    pub fn reload_and_wait(&self, name: &str) -> Option<Outcome> {
        match &self.source {
            Source::Fixed => None,
            Source::Reloaded { reloader, .. } => reloader.reload(name).ok().map(Pending::wait),
        }
    }
}

/// Rehearses the library at `file` in this process, with what is told on the standard input: what a
/// window with `--paranoid` starts this program for.
///
/// # Errors
/// What went wrong; where the new code ends the process, it is not heard any more.
pub fn rehearse(file: &std::path::Path) -> anyhow::Result<()> {
    // Neither is built or loaded from here.
    let place = Place {
        artifacts: PathBuf::new(),
        checkout: None,
        staging: PathBuf::new(),
        rehearser: None,
    };
    let stage = Stage::default();
    let modules: Vec<HotModule> = MODULES
        .iter()
        .map(|entry| module(entry, &place, &stage))
        .collect();
    let stamp = warden_manifest::stamp!(shares: warden_toolkit);
    Ok(warden_reload::rehearse_child(&modules, stamp, file)?)
}

impl Layer {
    fn taken_back(&mut self, how: RolledBack) -> TakenBack {
        let entry = self.entry;
        self.functions = how.to.as_deref().and_then(|to| entry.functions(to));
        self.on_probation = false;
        TakenBack {
            module: entry.name,
            how,
        }
    }
}

/// The memory of a module that is linked in, as it is at first.
fn linked_memory(entry: &Entry) -> MemoryCell {
    let cell = MemoryCell::default();
    let table = entry.linked.and_then(|functions| functions.memory);
    *cell.lock() = table.and_then(|table| Memory::new(table).ok());
    cell
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
