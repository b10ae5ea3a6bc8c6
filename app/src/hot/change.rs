//! Which generation of a module runs: asking for another, taking it into use, going back.

use std::sync::Arc;
use std::time::Duration;

use warden_reload::{
    Caught, Failure, Generation, Outcome, Pending, RolledBack, Snapshot, Stage, Status, Watch,
};

use super::{Hot, Layer, Remedy, Source};

/// A module was taken back.
#[derive(Debug)]
pub struct TakenBack {
    /// Which one.
    pub module: &'static str,
    /// How.
    pub how: RolledBack,
}

/// A module that failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// Why.
    pub failure: Failure,
    /// The generation that runs on.
    pub running: Option<u32>,
    /// The stage of another attempt that is under way.
    pub stage: Option<Stage>,
    /// What helps.
    pub remedy: Remedy,
}

impl Hot {
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

    /// Every module that no success has come to since its failure, in the order in which they draw.
    #[must_use]
    pub fn failed(&self) -> Vec<Failed> {
        let failed = |layer: &Layer| {
            let status = self.status(layer.entry.name)?;
            let failure = status.failure.clone()?;
            let remedy = self.remedy(&status, &failure);
            Some(Failed {
                failure,
                running: status.running.map(|running| running.number()),
                stage: status.stage.map(|(stage, _)| stage),
                remedy,
            })
        };
        self.layers.iter().filter_map(failed).collect()
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

    /// Blocks until the attempt that is asked for here has come to something; for tests.
    #[must_use]
    pub fn reload_and_wait(&self, name: &str) -> Option<Outcome> {
        match &self.source {
            Source::Fixed => None,
            Source::Reloaded { reloader, .. } => reloader.reload(name).ok().map(Pending::wait),
        }
    }
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
