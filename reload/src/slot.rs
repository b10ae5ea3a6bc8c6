//! How one module stands: which generation runs, which one comes, and what went wrong last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::failure::{Fault, Stage};
use crate::generation::{Generation, Symbol, Timings};
use crate::guard::Caught;
use crate::{Failure, HotModule};

/// How many good generations behind the running one can be gone back to.
const FORMER_MAX: usize = 8;

/// How a module stands.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// What runs; none while nothing good does.
    pub running: Option<Arc<Generation>>,
    /// How many generations are mapped. None is ever unmapped.
    pub loaded: u32,
    /// Under way: at which stage, and since when.
    pub stage: Option<(Stage, SystemTime)>,
    /// Why the last attempt did not stand.
    pub failure: Option<Failure>,
    /// What the stages of the last attempt took.
    pub timings: Timings,
}

/// What was found in a build.
pub(crate) type Symbols = BTreeMap<String, Symbol>;

/// The module and all that is known of it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub module: Arc<HotModule>,
    pub status: Status,
    /// The number of the newest generation.
    numbered: u32,
    /// Good generations behind the running one, the newest last.
    former: Vec<Arc<Generation>>,
    /// Complete, and not published yet; with the instant that it was ready.
    ready: Option<(Generation, Instant)>,
    /// Every build that is mapped, by the hash of its file.
    mapped: BTreeMap<String, Symbols>,
}

impl Slot {
    pub fn new(module: HotModule) -> Self {
        Self {
            module: Arc::new(module),
            status: Status::default(),
            numbered: 0,
            former: Vec::new(),
            ready: None,
            mapped: BTreeMap::new(),
        }
    }

    /// A build that is mapped already, so that the same file is not mapped twice.
    pub fn mapped(&self, sha256: &str) -> Option<Symbols> {
        self.mapped.get(sha256).cloned()
    }

    /// Whether this very build runs, and nothing else is to take its place.
    pub fn runs(&self, sha256: &str) -> bool {
        self.ready.is_none()
            && self
                .status
                .running
                .as_ref()
                .is_some_and(|running| running.sha256 == sha256)
    }

    /// A complete generation waits for the host to take it; its number is returned.
    pub fn ready(&mut self, sha256: String, symbols: Symbols, timings: Timings) -> u32 {
        let since = SystemTime::now();
        self.mapped.insert(sha256.clone(), symbols.clone());
        self.numbered += 1;
        let number = self.numbered;
        let generation = Generation {
            number,
            sha256,
            since,
            timings,
            symbols,
        };
        self.status.loaded = u32::try_from(self.mapped.len()).unwrap_or(u32::MAX);
        self.status.timings = timings;
        self.status.stage = Some((Stage::Swap, since));
        self.ready = Some((generation, Instant::now()));
        number
    }

    /// The last attempt came to nothing new, and what runs is what was asked for.
    pub fn unchanged(&mut self, timings: Timings) {
        self.status.timings = timings;
        self.status.stage = None;
        self.status.failure = None;
    }

    pub fn failed(&mut self, fault: Fault, timings: Timings) -> Failure {
        let failure = fault.of(&self.module.name);
        self.status.timings = timings;
        self.status.stage = None;
        self.status.failure = Some(failure.clone());
        failure
    }

    /// Takes what is ready into use.
    pub fn swap(&mut self) -> Option<Arc<Generation>> {
        let (mut generation, since) = self.ready.take()?;
        let started = Instant::now();
        if let Some(running) = self.status.running.take() {
            self.former.push(running);
            let over = self.former.len().saturating_sub(FORMER_MAX);
            self.former.drain(..over);
        }
        generation.timings.frame_wait = started - since;
        generation.timings.swap = started.elapsed();
        self.status.timings = generation.timings;
        self.status.stage = None;
        self.status.failure = None;
        let generation = Arc::new(generation);
        self.status.running = Some(Arc::clone(&generation));
        Some(generation)
    }

    /// What ran has panicked: the last good generation runs on, or none.
    pub fn panicked(&mut self, caught: &Caught) -> Option<Arc<Generation>> {
        let bad = self.status.running.take();
        self.status.running = self.former.pop();
        let title = match &bad {
            Some(bad) => format!("generation {} panicked: {}", bad.number, caught.message),
            None => format!("panicked: {}", caught.message),
        };
        let fault = Fault::new(Stage::Trusted, title);
        let message = match &caught.place {
            Some(place) => format!("{}\n  at {place}", caught.message),
            None => caught.message.clone(),
        };
        let timings = self.status.timings;
        self.failed(fault.with(message, caught.place.clone()), timings);
        self.status.running.clone()
    }
}
