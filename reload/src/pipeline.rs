//! The way of one new generation, from the source to being ready. Runs on the reload thread.
//!
//! The stages stand one after another in [`Attempt::stages`]: build, check, a rehearsal in a child
//! where the host asks for one, load, migrate, rehearse. The swap and all that follows it happen on
//! the host's thread, in [`crate::slot`] and [`crate::trial`].

use std::collections::btree_map::{BTreeMap, Entry};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use std::{fs, io};

use warden_hot::Memory;

use crate::HotModule;
use crate::check::{self, Artifact, Fits};
use crate::child::{self, Child, Given, Rehearsal};
use crate::compile::{self, BuildCommand, Built};
use crate::failure::{Fault, Stage};
use crate::generation::{Generation, Mapped, Provenance, Rehearsed, Timings};
use crate::loader::Loader;
use crate::manifest::Stamp;
use crate::orders::{Order, Outcome, Shared};
use crate::rebuild::Rebuild;
use crate::record::{self, Record};
use crate::rehearse::{Candidate, Rehearse};
use crate::revision::Revision;
use crate::slot::{Carried, Made};
use crate::staging::Staging;
use crate::state::carry;

/// What the reload thread owns.
pub(crate) struct Pipeline {
    // Before the staging directory, so that its libraries are closed before that is removed.
    loaders: BTreeMap<usize, Loader>,
    staging: Staging,
    stamp: Stamp,
    /// What was learned from the last build of each.
    known: BTreeMap<usize, Option<Rebuild>>,
}

/// What the stages came to.
enum End {
    Ready(Box<Made>),
    Unchanged,
    /// Nobody wants it any more.
    GivenUp,
}

/// One attempt, and what is known of it so far: a refusal tells as much.
struct Attempt<'a> {
    shared: &'a Shared,
    order: &'a Order,
    module: Arc<HotModule>,
    sha256: String,
    provenance: Provenance,
    timings: Timings,
}

/// What the build stage left.
struct Source {
    artifact: PathBuf,
    /// What it was built from, where it was built just now.
    revision: Option<Revision>,
}

impl Pipeline {
    pub fn new(staging: Staging, stamp: Stamp) -> Self {
        Self {
            loaders: BTreeMap::new(),
            staging,
            stamp,
            known: BTreeMap::new(),
        }
    }

    /// Does what can wait until a generation was handed on.
    pub fn settle(&mut self, shared: &Shared, order: &Order) {
        if let Some(loader) = self.loaders.get_mut(&order.slot) {
            loader.settle(|| shared.lock().is_ordered());
        }
    }

    /// Makes a generation ready, or says why not.
    pub fn make(&mut self, shared: &Shared, order: &Order) -> Outcome {
        let module = Arc::clone(&shared.lock().slots[order.slot].module);
        let mut attempt = Attempt {
            shared,
            order,
            module,
            sha256: String::new(),
            provenance: Provenance::default(),
            timings: Timings::default(),
        };
        let end = attempt.stages(self);
        let Attempt {
            sha256,
            provenance,
            timings,
            ..
        } = attempt;
        let mut state = shared.lock();
        let given_up = state.given_up(order);
        let slot = &mut state.slots[order.slot];
        slot.status.progress = None;
        match (end, given_up) {
            (_, Some(Outcome::Cancelled)) => {
                slot.given_up();
                Outcome::Cancelled
            }
            (Ok(End::Ready(made)), _) => Outcome::Ready(slot.ready(*made, timings)),
            (Ok(End::Unchanged), _) => {
                slot.unchanged(timings);
                Outcome::Unchanged
            }
            (_, Some(outcome)) => outcome,
            (Ok(End::GivenUp), None) => Outcome::Superseded,
            (Err(fault), None) => Outcome::Failed(slot.refused(fault, sha256, provenance, timings)),
        }
    }

    fn loader(&mut self, slot: usize, module: &HotModule) -> Result<&mut Loader, Fault> {
        match self.loaders.entry(slot) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let directory = self.staging.directory(&module.name).map_err(no_place)?;
                Ok(entry.insert(Loader::new(directory, &module.name)))
            }
        }
    }
}

impl Attempt<'_> {
    fn stages(&mut self, pipeline: &mut Pipeline) -> Result<End, Fault> {
        self.after_others()?;
        let known = pipeline.known.entry(self.order.slot).or_default();
        let Some(source) = self.build(known)? else {
            return Ok(End::GivenUp);
        };
        let began = Instant::now();
        let artifact = check::read(&source.artifact)?;
        self.sha256.clone_from(&artifact.sha256);
        self.seen();
        self.compare_record(&source, &artifact)?;
        let fits = check::fits(&self.module, pipeline.stamp, &artifact.bytes)?;
        self.timings.check = began.elapsed();
        let (runs, mapped) = {
            let state = self.shared.lock();
            let slot = &state.slots[self.order.slot];
            (slot.runs(&self.sha256), slot.mapped(&self.sha256))
        };
        if runs {
            return Ok(End::Unchanged);
        }
        let old = self.memory()?;
        let mapped = match mapped {
            Some(mapped) => mapped,
            None => {
                if let Some(child) = &self.module.paranoid.clone() {
                    let file = &artifact.bytes;
                    if self.rehearse_apart(pipeline, child, file, old.as_deref())? {
                        return Ok(End::GivenUp);
                    }
                }
                self.load(pipeline, &artifact, &fits)?
            }
        };
        let memory = self.migrate(&mapped, old)?;
        if let Some(rehearse) = &self.module.rehearse.clone() {
            self.rehearse(rehearse, &mapped, &memory)?;
        }
        Ok(End::Ready(Box::new(Made {
            sha256: self.sha256.clone(),
            mapped,
            provenance: self.provenance.clone(),
            memory,
        })))
    }

    /// What it goes after must stand.
    fn after_others(&self) -> Result<(), Fault> {
        let state = self.shared.lock();
        let failed = |name: &&String| {
            let mut slots = state.slots.iter();
            slots.any(|slot| slot.module.name == **name && slot.status.failure.is_some())
        };
        match self.module.after.iter().find(failed) {
            Some(first) => {
                let title = format!("it goes after `{first}`, whose reload failed");
                Err(Fault::new(Stage::Build, title))
            }
            None => Ok(()),
        }
    }

    /// None when nobody wants it any more.
    fn build(&mut self, known: &mut Option<Rebuild>) -> Result<Option<Source>, Fault> {
        let mut source = Source {
            artifact: self.module.artifact.clone(),
            revision: None,
        };
        if let (true, Some(command)) = (self.order.build, &self.module.build.clone()) {
            match self.compile(command, known)? {
                Built::Artifact {
                    path,
                    fresh,
                    revision,
                } => {
                    source.artifact = path.unwrap_or(source.artifact);
                    source.revision = (!fresh).then_some(revision);
                }
                Built::NoToolchain => {}
                Built::Cancelled => return Ok(None),
            }
        }
        Ok((!self.unwanted()).then_some(source))
    }

    fn compile(
        &mut self,
        command: &BuildCommand,
        known: &mut Option<Rebuild>,
    ) -> Result<Built, Fault> {
        self.enter(Stage::Build);
        let began = Instant::now();
        let (shared, place) = (self.shared, self.order.slot);
        let heard = |progress| {
            shared.lock().slots[place].status.progress = Some(progress);
            shared.wake();
        };
        let unwanted = || self.unwanted();
        let (built, diagnostics) = compile::build(command, known, &shared.process, unwanted, heard);
        self.timings.build = began.elapsed();
        self.provenance.build_took = Some(self.timings.build);
        if !matches!(built, Ok(Built::Cancelled)) {
            self.provenance.messages = diagnostics.into();
            let status = &mut shared.lock().slots[place].status;
            status.progress = None;
            status.diagnostics = Arc::clone(&self.provenance.messages);
        }
        built
    }

    /// The file is not newer any more than what was looked at.
    fn seen(&self) {
        let slot = &mut self.shared.lock().slots[self.order.slot];
        slot.seen.clone_from(&self.sha256);
        slot.status.newer = false;
    }

    /// Refuses bytes that were changed after the build, and remembers those of a new build.
    fn compare_record(&mut self, source: &Source, file: &Artifact) -> Result<(), Fault> {
        self.provenance.built_at = file.stamp.time();
        if let Some(why) = self.quarantine() {
            let title = format!("this file was taken back before: {why}; change the source first");
            return Err(Fault::new(Stage::Check, title));
        }
        let record = record::read(&source.artifact).filter(|record| record.stamp == file.stamp);
        let record = match (record, &source.revision) {
            (Some(record), _) if record.sha256 != file.sha256 => {
                let title = format!(
                    "{} was changed after it was built: its bytes are not those of the record; \
                     remove it and build it anew",
                    source.artifact.display()
                );
                let message = format!(
                    "{title}\n\nrecorded {}\nfound    {}",
                    record.sha256, file.sha256
                );
                return Err(Fault::new(Stage::Check, title).with(message, None));
            }
            (Some(record), None) => record,
            (_, Some(revision)) => {
                let record = Record {
                    sha256: file.sha256.clone(),
                    stamp: file.stamp,
                    revision: revision.hash.clone(),
                    label: revision.subject.clone(),
                };
                if let Err(error) = record::write(&source.artifact, &record) {
                    tracing::warn!(%error, "a build's record cannot be written");
                }
                record
            }
            // Somebody else built it.
            (None, None) => return Ok(()),
        };
        self.provenance.recorded = true;
        self.provenance.revision = record.revision;
        self.provenance.label = record.label;
        Ok(())
    }

    fn quarantine(&self) -> Option<String> {
        let state = self.shared.lock();
        let quarantined = &state.slots[self.order.slot].quarantined;
        quarantined.get(&self.sha256).cloned()
    }

    /// The running generation's memory as RON.
    fn memory(&self) -> Result<Option<String>, Fault> {
        let (cell, restored) = {
            let state = self.shared.lock();
            let slot = &state.slots[self.order.slot];
            (slot.cell.clone(), slot.restored.clone())
        };
        let now = cell.lock().as_ref().map(Memory::to_ron).transpose();
        let now = now.map_err(|error| Fault::new(Stage::Migrate, error.to_string()))?;
        Ok(now.or(restored))
    }

    /// True when somebody gave it up meanwhile.
    fn rehearse_apart(
        &mut self,
        pipeline: &Pipeline,
        child: &Child,
        bytes: &[u8],
        old: Option<&str>,
    ) -> Result<bool, Fault> {
        self.enter(Stage::Rehearse);
        let began = Instant::now();
        let directory = pipeline.staging.directory(".rehearsal").map_err(no_place)?;
        let name = &self.module.name;
        let file = directory.join(format!("lib{name}-{}.so", &self.sha256[..16]));
        fs::write(&file, bytes).map_err(no_place)?;
        let given = Given {
            module: name.clone(),
            memory: old.map(str::to_owned),
            state: self.module.rehearse.as_ref().and_then(Rehearse::state),
        };
        let unwanted = || self.unwanted();
        let rehearsal = child::run(child, &file, &given, &self.shared.process, unwanted);
        if let Err(error) = fs::remove_file(&file) {
            tracing::warn!(%error, "the copy for a rehearsal stays on the disk");
        }
        self.timings.rehearse_child = began.elapsed();
        self.provenance.rehearsed = Rehearsed::Child;
        rehearsal.map(|rehearsal| matches!(rehearsal, Rehearsal::Cancelled))
    }

    fn load(
        &mut self,
        pipeline: &mut Pipeline,
        file: &Artifact,
        fits: &Fits,
    ) -> Result<Mapped, Fault> {
        self.enter(Stage::Load);
        let began = Instant::now();
        let loaded = pipeline.loader(self.order.slot, &self.module)?.load(
            &file.bytes,
            &self.module.delegation_targets,
            fits.has_memory,
        )?;
        self.timings.watch_wait = loaded.watch_wait;
        self.timings.load = began.elapsed().saturating_sub(loaded.watch_wait);
        let mapped = Mapped {
            symbols: loaded.symbols,
            memory: loaded.memory,
            bytes: fits.mapped_bytes,
        };
        self.shared.lock().slots[self.order.slot].keep_mapped(&self.sha256, &mapped);
        Ok(mapped)
    }

    fn migrate(&mut self, mapped: &Mapped, old: Option<String>) -> Result<Carried, Fault> {
        let began = Instant::now();
        let carried = carry(mapped.memory, old.as_deref());
        self.timings.migrate = began.elapsed();
        let (memory, migration) =
            carried.map_err(|error| Fault::new(Stage::Migrate, error.to_string()))?;
        Ok(Carried {
            from: old,
            memory,
            migration,
        })
    }

    fn rehearse(
        &mut self,
        rehearse: &Rehearse,
        mapped: &Mapped,
        carried: &Carried,
    ) -> Result<(), Fault> {
        self.enter(Stage::Rehearse);
        let began = Instant::now();
        let copy = carried.memory.as_ref().map(Memory::try_clone).transpose();
        let mut copy = copy.map_err(|error| Fault::new(Stage::Rehearse, error.to_string()))?;
        let generation = Generation {
            number: self.shared.lock().slots[self.order.slot].next_number(),
            sha256: self.sha256.clone(),
            since: SystemTime::now(),
            timings: self.timings,
            provenance: self.provenance.clone(),
            mapped: mapped.clone(),
        };
        let state = rehearse.state();
        let rehearsed = rehearse.run(Candidate {
            generation: &generation,
            memory: copy.as_mut(),
            state: state.as_deref(),
        });
        self.timings.rehearse = began.elapsed();
        self.provenance.rehearsed = self.provenance.rehearsed.max(Rehearsed::Here);
        rehearsed
    }

    /// Whether it was cancelled, or asked for once more.
    fn unwanted(&self) -> bool {
        self.shared.lock().given_up(self.order).is_some()
    }

    fn enter(&self, stage: Stage) {
        let mut state = self.shared.lock();
        let at = &mut state.slots[self.order.slot].status.stage;
        // What was ordered is told to be at its first stage already: another frame to say so again
        // would take the processor from the compiler. The stages after the build are over before a
        // frame could show them, but for a rehearsal in a child.
        if at.is_none_or(|(at, _)| at != stage) {
            *at = Some((stage, SystemTime::now()));
            let slow = stage == Stage::Build
                || (stage == Stage::Rehearse && self.module.paranoid.is_some());
            drop(state);
            if slow {
                self.shared.wake();
            }
        }
    }
}

fn no_place(error: io::Error) -> Fault {
    let title = format!("there is no place for a copy: {error}");
    Fault::new(Stage::Load, title)
}
