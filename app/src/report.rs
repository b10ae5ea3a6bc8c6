//! What `--report` says on standard output, for tests and measurements: one JSON object a line.
//!
//! A frame counts as shown when the next one begins, since by then it was handed to the display; so
//! whoever has something to say about a frame has it followed by another.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::time::Duration;

use serde_json::{Value, json};
use warden_reload::{Failure, Generation};
use warden_view::{Module, Text};

use crate::options::Report;

/// Says things, or not.
#[derive(Debug)]
pub struct Reporter {
    level: Option<Report>,
    /// About the frame that is being made.
    pending: Vec<Value>,
    live: bool,
    shown: Option<u64>,
    failure: Option<Failure>,
    /// Modules whose file is another than what runs.
    newer: BTreeSet<String>,
    /// Generation and fault of each file.
    files: BTreeMap<String, (u32, Option<Text>)>,
}

impl Reporter {
    /// None: says nothing.
    #[must_use]
    pub fn new(level: Option<Report>) -> Self {
        Self {
            level,
            pending: Vec::new(),
            live: false,
            shown: None,
            failure: None,
            newer: BTreeSet::new(),
            files: BTreeMap::new(),
        }
    }

    /// Whether every frame is told of.
    #[must_use]
    pub fn tells_frames(&self) -> bool {
        self.level == Some(Report::Frames)
    }

    /// The frame that is being made shows this revision, from a broker that answers.
    pub fn frame_shows(&mut self, revision: u64) {
        if self.level.is_none() {
            return;
        }
        if !self.live {
            self.live = true;
            self.pending
                .push(json!({ "event": "live", "revision": revision }));
        }
        if self.shown != Some(revision) {
            self.shown = Some(revision);
            self.pending
                .push(json!({ "event": "shown", "revision": revision }));
        }
    }

    /// The frame that is being made shows no broker that answers.
    pub fn frame_shows_link(&mut self, state: &str) {
        if self.level.is_some() && self.live {
            self.live = false;
            self.shown = None;
            self.pending
                .push(json!({ "event": "link", "state": state }));
        }
    }

    /// The frame that is being made is the first of this generation.
    pub fn generation(&mut self, module: &str, generation: &Generation) {
        let timings = generation.timings();
        self.tell_with_frame(json!({
            "event": "generation",
            "module": module,
            "n": generation.number(),
            "sha256": generation.sha256(),
            "timings": {
                "build_ms": ms(timings.build),
                "check_ms": ms(timings.check),
                "load_ms": ms(timings.load),
                "watch_wait_ms": ms(timings.watch_wait),
                "migrate_ms": ms(timings.migrate),
                "rehearse_ms": ms(timings.rehearse),
                "rehearse_child_ms": ms(timings.rehearse_child),
                "frame_wait_ms": ms(timings.frame_wait),
                "swap_ms": ms(timings.swap),
            },
        }));
    }

    /// How the module's last attempt ended; told once, with the frame that shows it.
    pub fn failure(&mut self, failure: Option<&Failure>) {
        if self.failure.as_ref() == failure {
            return;
        }
        self.failure = failure.cloned();
        if let Some(failure) = failure {
            self.tell_with_frame(json!({
                "event": "reload_failed",
                "module": failure.module,
                "stage": failure.stage.to_string(),
                "title": failure.title,
                "message": failure.message,
                "place": failure.place.as_ref().map(ToString::to_string),
            }));
        }
    }

    /// The running generation has proved itself.
    pub fn trusted(&mut self, module: Option<&str>) {
        self.tell_with_frame(json!({ "event": "trusted", "module": module }));
    }

    /// A generation was taken back, by the engine or by the operator.
    pub fn rolled_back(&mut self, module: &str, from: Option<u32>, to: Option<u32>, why: &str) {
        self.tell_with_frame(json!({
            "event": "rolled_back",
            "module": module,
            "from": from,
            "to": to,
            "why": why,
        }));
    }

    /// The program is about to be executed anew.
    pub fn restarts(&self) {
        if self.level.is_some() {
            self.say(&json!({ "event": "restarts" }));
        }
    }

    /// An attempt came to nothing new.
    pub fn unchanged(&mut self, module: &str) {
        self.tell_with_frame(json!({ "event": "unchanged", "module": module }));
    }

    /// An attempt was given up, and nothing came of it.
    pub fn cancelled(&mut self, module: &str) {
        self.tell_with_frame(json!({ "event": "cancelled", "module": module }));
    }

    /// Whether the module's file is another than what runs, as the frame that is being made shows
    /// it; told when that changes.
    pub fn newer(&mut self, module: &str, newer: bool) {
        let changed = match newer {
            true => self.newer.insert(module.to_owned()),
            false => self.newer.remove(module),
        };
        if changed {
            self.tell_with_frame(json!({ "event": "newer", "module": module, "newer": newer }));
        }
    }

    /// How a file stands, as the frame that is being made shows it; told when that changes.
    pub fn file(&mut self, module: &Module) {
        if self.level.is_none() || !module.kind.is_file() {
            return;
        }
        let failure = module.failure.as_ref();
        let said = failure.map(|failure| failure.message.clone());
        let stands = (module.generation, said);
        if self.files.get(&*module.name) == Some(&stands) {
            return;
        }
        self.tell_with_frame(json!({
            "event": "file",
            "module": &*module.name,
            "generation": module.generation,
            "fault": stands.1.as_deref(),
        }));
        self.files.insert(module.name.to_string(), stands);
    }

    /// What the frame that is being made cost.
    pub fn frame(&mut self, number: u64, cost: Duration, undo: Duration) {
        if self.tells_frames() {
            self.say(&json!({
                "event": "frame",
                "n": number,
                "cpu_us": micros(cost),
                "undo_copy_us": micros(undo),
            }));
        }
    }

    /// Something about the frame that is being made.
    pub fn tell_with_frame(&mut self, report: Value) {
        if self.level.is_some() {
            self.pending.push(report);
        }
    }

    /// Whether another frame is needed, at which this one will count as shown.
    #[must_use]
    pub fn wants_frame(&self) -> bool {
        !self.pending.is_empty()
    }

    /// A frame begins, so the one before it was shown.
    pub fn frame_begins(&mut self) {
        for report in std::mem::take(&mut self.pending) {
            self.say(&report);
        }
    }

    fn say(&self, report: &Value) {
        let mut out = io::stdout().lock();
        // Nobody may be listening any more; the window goes on.
        let _ = writeln!(out, "{report}").and_then(|()| out.flush());
    }
}

fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn micros(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e7).round() / 1e1
}
