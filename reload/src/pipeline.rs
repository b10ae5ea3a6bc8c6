//! The way of one new generation, from the source to being ready. Runs on the reload thread.
//!
//! The stages stand one after another in [`Pipeline::stages`]: build, check, load. Moving the
//! module's own state over and rehearsing belong between loading and being ready; the swap and all
//! that follows it happen on the host's thread, in [`crate::slot`].

use std::collections::btree_map::{BTreeMap, Entry};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use sha2::{Digest, Sha256};

use crate::HotModule;
use crate::compile::{self, Built};
use crate::elf::Library;
use crate::failure::{Fault, Stage};
use crate::generation::Timings;
use crate::loader::Loader;
use crate::manifest::{self, Mismatch, Stamp};
use crate::reloader::{Order, Outcome, Shared};
use crate::slot::Symbols;
use crate::staging::Staging;

/// What the reload thread owns.
pub(crate) struct Pipeline {
    // Before the staging directory, so that its libraries are closed before that is removed.
    loaders: BTreeMap<usize, Loader>,
    staging: Staging,
    stamp: Stamp,
    wake: Box<dyn Fn() + Send + Sync>,
}

/// What the stages came to.
enum Made {
    Ready(String, Symbols),
    Unchanged,
    Superseded,
}

impl Pipeline {
    pub fn new(staging: Staging, stamp: Stamp, wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            loaders: BTreeMap::new(),
            staging,
            stamp,
            wake,
        }
    }

    /// Tells the host that there is something to see.
    pub fn wake(&self) {
        (self.wake)();
    }

    /// Does what can wait until a generation was handed on.
    pub fn settle(&mut self, shared: &Shared, order: &Order) {
        if let Some(loader) = self.loaders.get_mut(&order.slot) {
            loader.settle(|| shared.lock().is_ordered());
        }
    }

    /// Makes a generation ready, or says why not.
    pub fn make(&mut self, shared: &Shared, order: &Order) -> Outcome {
        let mut timings = Timings::default();
        let made = self.stages(shared, order, &mut timings);
        let mut state = shared.lock();
        let superseded = state.superseded(order);
        let slot = &mut state.slots[order.slot];
        match made {
            Ok(Made::Superseded) => Outcome::Superseded,
            Err(_) if superseded => Outcome::Superseded,
            Ok(Made::Ready(sha256, symbols)) => {
                Outcome::Ready(slot.ready(sha256, symbols, timings))
            }
            Ok(Made::Unchanged) => {
                slot.unchanged(timings);
                Outcome::Unchanged
            }
            Err(fault) => Outcome::Failed(slot.failed(fault, timings)),
        }
    }

    fn stages(
        &mut self,
        shared: &Shared,
        order: &Order,
        timings: &mut Timings,
    ) -> Result<Made, Fault> {
        let module = {
            let state = shared.lock();
            let module = Arc::clone(&state.slots[order.slot].module);
            let failed = |name: &&String| {
                state
                    .slots
                    .iter()
                    .any(|s| s.module.name == **name && s.status.failure.is_some())
            };
            if let Some(first) = module.after.iter().find(failed) {
                let title = format!("it goes after `{first}`, whose reload failed");
                return Err(Fault::new(Stage::Build, title));
            }
            module
        };
        let mut artifact = module.artifact.clone();
        if let (true, Some(command)) = (order.build, &module.build) {
            self.enter(shared, order, Stage::Build);
            let started = Instant::now();
            let built = compile::build(command, &shared.building);
            timings.build = started.elapsed();
            match built? {
                Built::Artifact(path) => artifact = path.unwrap_or(artifact),
                Built::NoToolchain => {}
                Built::Cancelled => return Ok(Made::Superseded),
            }
            if shared.lock().superseded(order) {
                return Ok(Made::Superseded);
            }
        }
        self.check_and_load(shared, order, &module, artifact, timings)
    }

    fn check_and_load(
        &mut self,
        shared: &Shared,
        order: &Order,
        module: &HotModule,
        artifact: PathBuf,
        timings: &mut Timings,
    ) -> Result<Made, Fault> {
        let started = Instant::now();
        let bytes = fs::read(&artifact).map_err(|error| {
            Fault::new(
                Stage::Load,
                format!("{} cannot be read: {error}", artifact.display()),
            )
        })?;
        self.check(module, &bytes)?;
        let sha256 = hex(&Sha256::digest(&bytes));
        timings.check = started.elapsed();
        {
            let state = shared.lock();
            let slot = &state.slots[order.slot];
            if slot.runs(&sha256) {
                return Ok(Made::Unchanged);
            }
            if let Some(symbols) = slot.mapped(&sha256) {
                return Ok(Made::Ready(sha256, symbols));
            }
        }
        let started = Instant::now();
        let loaded = self
            .loader(order.slot, module)?
            .load(&bytes, &module.delegation_targets)?;
        timings.watch_wait = loaded.watch_wait;
        timings.load = started.elapsed().saturating_sub(loaded.watch_wait);
        Ok(Made::Ready(sha256, loaded.symbols))
    }

    /// Everything that can be known without mapping the file.
    fn check(&self, module: &HotModule, bytes: &[u8]) -> Result<(), Fault> {
        let library = Library::parse(bytes).map_err(|error| {
            Fault::new(
                Stage::Load,
                format!("the library cannot be loaded: {error}"),
            )
        })?;
        manifest::compare(&library, &module.name, self.stamp, module.schema).map_err(|error| {
            let fault = Fault::new(Stage::Check, error.to_string());
            match error {
                Mismatch::Schema { lines, .. } => {
                    let message = format!("{}\n\n{lines}", fault.title);
                    fault.with(message, None)
                }
                _ => fault,
            }
        })?;
        match module
            .delegation_targets
            .iter()
            .find(|name| !library.exports(name))
        {
            Some(name) => {
                let title = format!("the library does not export `{name}`, which the host calls");
                Err(Fault::new(Stage::Load, title))
            }
            None => Ok(()),
        }
    }

    fn loader(&mut self, slot: usize, module: &HotModule) -> Result<&mut Loader, Fault> {
        match self.loaders.entry(slot) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let directory = self.staging.directory(&module.name).map_err(|error| {
                    Fault::new(
                        Stage::Load,
                        format!("there is no place for a copy: {error}"),
                    )
                })?;
                Ok(entry.insert(Loader::new(directory, &module.name)))
            }
        }
    }

    fn enter(&self, shared: &Shared, order: &Order, stage: Stage) {
        let mut state = shared.lock();
        let at = &mut state.slots[order.slot].status.stage;
        // What was ordered is told to be at its first stage already: another frame to say so again
        // would take the processor from the compiler.
        if at.is_none_or(|(at, _)| at != stage) {
            *at = Some((stage, SystemTime::now()));
            drop(state);
            self.wake();
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
