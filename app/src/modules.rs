//! What can be reloaded, in the words of the picture.

use std::collections::BTreeMap;
use std::sync::Arc;

use warden_reload as reload;
use warden_view::{
    Change, Diagnostic, Difference, Failure, Fate, GenerationRow, GenerationState, Level,
    Migration, Mismatch, Module, ModuleKind, ModuleState, Probation, Progress, Stage, Text, Timing,
    Watch,
};

use crate::clock::unix_ms;
use crate::config::Config;
use crate::hot::{Entry, Hot, Remedy};

/// Puts how everything stands into the picture's words, and keeps what takes longest to say.
#[derive(Debug, Default)]
pub struct Modules {
    said: BTreeMap<&'static str, Said>,
}

/// The long lists of one module, and what they were made from.
#[derive(Debug)]
struct Said {
    history: Arc<[reload::HistoryRow]>,
    rows: Arc<[GenerationRow]>,
    messages: Arc<[reload::Diagnostic]>,
    diagnostics: Arc<[Diagnostic]>,
    moved: Option<Arc<reload::Moved>>,
    migration: Option<Migration>,
}

impl Modules {
    /// The hot modules first, in the order in which they draw, then the broker's program and the
    /// files.
    pub fn all(&mut self, hot: &Hot, program: Option<&Module>, config: &Config) -> Arc<[Module]> {
        let code = hot.entries().enumerate().map(|(at, entry)| {
            let Some(status) = hot.status(entry.name) else {
                let state = match hot.functions(at) {
                    Some(_) => ModuleState::Fixed,
                    None => ModuleState::Down,
                };
                return Module {
                    name: entry.name.into(),
                    state,
                    ..Module::default()
                };
            };
            let remedy = match &status.failure {
                Some(failure) => hot.remedy(&status, failure),
                None => Remedy::Reload,
            };
            self.code(entry, &status, remedy, &hot.artifact(entry.name))
        });
        let code: Vec<Module> = code.collect();
        let code = code.into_iter().chain(program.cloned());
        code.chain(config.modules()).collect()
    }

    fn code(
        &mut self,
        entry: &Entry,
        status: &reload::Status,
        remedy: Remedy,
        artifact: &str,
    ) -> Module {
        let state = match (&status.stage, &status.running, &status.failure) {
            (Some(_), ..) => ModuleState::Busy,
            (None, None, _) => ModuleState::Down,
            (None, Some(_), Some(_)) => ModuleState::Failed,
            (None, Some(_), None) => ModuleState::Live,
        };
        let running = status.running.as_ref();
        let said = self.said(entry.name, status);
        Module {
            name: entry.name.into(),
            kind: ModuleKind::Code,
            state,
            generation: running.map_or(0, |running| running.number()),
            loaded: status.loaded,
            since_ms: running.map_or(0, |running| unix_ms(running.since())),
            artifact: artifact.into(),
            sha256: running.map_or_else(Default::default, |running| running.sha256().into()),
            stage: status.stage.map(|(at, since)| (stage(at), unix_ms(since))),
            progress: status.progress.as_ref().map(progress),
            noticed: Text::default(),
            newer: status.newer,
            watch: Some(match status.watch {
                reload::Watch::Off => Watch::Off,
                reload::Watch::Light => Watch::Light,
                reload::Watch::Reload => Watch::Reload,
            }),
            allowed: None,
            failure: status.failure.as_ref().map(|said| advised(said, remedy)),
            diagnostics: Arc::clone(&said.diagnostics),
            timings: timings(status.timings),
            migration: said.migration.clone(),
            probation: status.probation.map(probation),
            restart_offered: match remedy {
                Remedy::Restart => status.failure.as_ref().map(mismatch),
                Remedy::Reload | Remedy::Rebuild | Remedy::Reinstall => None,
            },
            history: Arc::clone(&said.rows),
        }
    }

    fn said(&mut self, name: &'static str, status: &reload::Status) -> &Said {
        let known = self.said.get(name).is_some_and(|said| {
            let same_move = match (&said.moved, &status.migration) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                (None, None) => true,
                _ => false,
            };
            same_move
                && Arc::ptr_eq(&said.history, &status.history)
                && Arc::ptr_eq(&said.messages, &status.diagnostics)
        });
        if !known {
            let said = Said {
                history: Arc::clone(&status.history),
                rows: history(status),
                messages: Arc::clone(&status.diagnostics),
                diagnostics: diagnostics(&status.diagnostics),
                moved: status.migration.clone(),
                migration: migration(status),
            };
            self.said.insert(name, said);
        }
        &self.said[name]
    }
}

/// Why something was refused or taken back.
pub fn failure(failure: &reload::Failure) -> Failure {
    Failure {
        stage: stage(failure.stage),
        at_ms: unix_ms(failure.at),
        title: failure.title.as_str().into(),
        message: failure.message.as_str().into(),
        place: failure.place.as_ref().map(place),
    }
}

/// The same, with what to do about it.
fn advised(said: &reload::Failure, remedy: Remedy) -> Failure {
    let failure = failure(said);
    match remedy.advice() {
        None => failure,
        Some(advice) => Failure {
            title: format!("{}; {advice}", failure.title).into(),
            ..failure
        },
    }
}

/// What the compiler said.
pub fn diagnostics(said: &[reload::Diagnostic]) -> Arc<[Diagnostic]> {
    let diagnostic = |said: &reload::Diagnostic| Diagnostic {
        level: match said.level {
            reload::Level::Error => Level::Error,
            reload::Level::Warning => Level::Warning,
            reload::Level::Note => Level::Note,
        },
        title: said.title.as_str().into(),
        code: said.code.as_deref().unwrap_or_default().into(),
        place: said.place.as_ref().map(place),
        rendered: said.rendered.as_str().into(),
    };
    said.iter().map(diagnostic).collect()
}

/// What the engine calls it.
pub fn watch(mode: Watch) -> reload::Watch {
    match mode {
        Watch::Off => reload::Watch::Off,
        Watch::Light => reload::Watch::Light,
        Watch::Reload => reload::Watch::Reload,
    }
}

/// How far a build is.
pub fn progress(progress: &reload::Progress) -> Progress {
    Progress {
        done: progress.done,
        total: progress.total,
        current: progress.current.as_str().into(),
    }
}

fn place(place: &reload::Place) -> (Text, u32, u32) {
    (place.file.as_str().into(), place.line, place.column)
}

/// The newest first.
fn history(status: &reload::Status) -> Arc<[GenerationRow]> {
    let row = |row: &reload::HistoryRow| {
        let state = match row.standing {
            reload::Standing::Running => GenerationState::Running,
            reload::Standing::Former => GenerationState::Former,
            reload::Standing::RolledBack => GenerationState::RolledBack,
            reload::Standing::Quarantined => GenerationState::Quarantined,
            reload::Standing::Refused => GenerationState::Refused,
        };
        let from = &row.provenance;
        GenerationRow {
            attempt: row.attempt,
            number: row.number.unwrap_or(0),
            label: from.label.as_str().into(),
            revision: from.revision.as_deref().unwrap_or_default().into(),
            sha256: row.sha256.as_str().into(),
            at_ms: unix_ms(row.at),
            built_ms: from.built_at.map(unix_ms),
            state,
            can_return: row.can_return(),
            failure: row.failure.as_ref().map(failure),
            diagnostics: diagnostics(&from.messages),
            rehearsed: match from.rehearsed {
                reload::Rehearsed::No => "",
                reload::Rehearsed::Here => "in this process",
                reload::Rehearsed::Child => "in a process of its own, then in this one",
            }
            .into(),
            recorded: from.recorded,
            mapped_bytes: row.mapped_bytes,
        }
    };
    status.history.iter().map(row).rev().collect()
}

fn migration(status: &reload::Status) -> Option<Migration> {
    let reload::Moved {
        from,
        to,
        migration: moved,
    } = &**status.migration.as_ref()?;
    let changed = [
        (Fate::Migrated, &moved.migrated),
        (Fate::Defaulted, &moved.defaulted),
        (Fate::Dropped, &moved.dropped),
    ];
    let change = |fate: Fate, change: &reload::Change| Change {
        fate,
        key: change.key.as_str().into(),
        old: change.old.as_deref().unwrap_or_default().into(),
        new: change.new.as_deref().unwrap_or_default().into(),
        why: change.why.as_deref().unwrap_or_default().into(),
    };
    let changes = changed
        .into_iter()
        .flat_map(|(fate, changes)| changes.iter().map(move |one| change(fate, one)));
    Some(Migration {
        from: from.unwrap_or(0),
        to: *to,
        kept: moved.kept.iter().map(|key| key.as_str().into()).collect(),
        changes: changes.collect(),
    })
}

fn probation(left: reload::OnProbation) -> Probation {
    Probation {
        frames: left.frames,
        of_frames: left.frames.saturating_add(left.frames_left),
        ends_ms: unix_ms(left.until),
        slow: left.slow,
    }
}

/// What of the host's differs, where a warm restart helps.
fn mismatch(failure: &reload::Failure) -> Mismatch {
    let difference = |other: &reload::manifest::Difference| Difference {
        of: other.of.as_str().into(),
        field: other.member.as_str().into(),
        running: other.host.as_str().into(),
        offered: other.library.as_str().into(),
    };
    Mismatch {
        title: failure.title.as_str().into(),
        differences: failure.differences.iter().map(difference).collect(),
    }
}

fn timings(timings: reload::Timings) -> Arc<[Timing]> {
    let took = [
        (Stage::Build, timings.build),
        (Stage::Check, timings.check),
        (Stage::Wait, timings.watch_wait),
        (Stage::Load, timings.load),
        (Stage::Migrate, timings.migrate),
        (Stage::Rehearse, timings.rehearse + timings.rehearse_child),
        (Stage::Swap, timings.swap),
    ];
    took.into_iter()
        .filter(|(_, took)| !took.is_zero())
        .map(|(stage, took)| Timing {
            stage,
            ms: took.as_secs_f32() * 1e3,
        })
        .collect()
}

fn stage(stage: reload::Stage) -> Stage {
    match stage {
        reload::Stage::Build => Stage::Build,
        reload::Stage::Load => Stage::Load,
        reload::Stage::Check => Stage::Check,
        reload::Stage::Migrate => Stage::Migrate,
        reload::Stage::Rehearse => Stage::Rehearse,
        reload::Stage::Swap => Stage::Swap,
        reload::Stage::Probation => Stage::Probation,
        reload::Stage::Trusted => Stage::Run,
    }
}
