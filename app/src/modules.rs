//! What can be reloaded, in the words of the picture.

use std::sync::Arc;

use warden_reload as reload;
use warden_view::{Failure, Module, ModuleKind, ModuleState, Stage, Timing};

use crate::clock::unix_ms;
use crate::hot::{Hot, MODULE};
use crate::themes::Themes;

/// The render code first, then the operator's themes.
pub fn all(hot: &Hot, themes: &Themes) -> Arc<[Module]> {
    let code = match hot.status() {
        Some(status) => code(&status, &hot.artifact()),
        None => Module {
            name: MODULE.into(),
            state: if hot.functions().is_some() {
                ModuleState::Fixed
            } else {
                ModuleState::Down
            },
            ..Module::default()
        },
    };
    std::iter::once(code).chain(themes.modules()).collect()
}

fn code(status: &reload::Status, artifact: &str) -> Module {
    let state = match (&status.stage, &status.running, &status.failure) {
        (Some(_), ..) => ModuleState::Busy,
        (None, None, _) => ModuleState::Down,
        (None, Some(_), Some(_)) => ModuleState::Failed,
        (None, Some(_), None) => ModuleState::Live,
    };
    let running = status.running.as_ref();
    Module {
        name: MODULE.into(),
        kind: ModuleKind::Code,
        state,
        generation: running.map_or(0, |running| running.number()),
        loaded: status.loaded,
        since_ms: running.map_or(0, |running| unix_ms(running.since())),
        artifact: artifact.into(),
        sha256: running.map_or_else(Default::default, |running| running.sha256().into()),
        stage: status.stage.map(|(at, since)| (stage(at), unix_ms(since))),
        newer: false,
        failure: status.failure.as_ref().map(failure),
        timings: timings(status.timings),
        ..Module::default()
    }
}

fn failure(failure: &reload::Failure) -> Failure {
    Failure {
        stage: stage(failure.stage),
        at_ms: unix_ms(failure.at),
        title: failure.title.as_str().into(),
        message: failure.message.as_str().into(),
        place: failure
            .place
            .as_ref()
            .map(|place| (place.file.as_str().into(), place.line, place.column)),
    }
}

/// The watcher's wait is part of loading, for who looks on.
fn timings(timings: reload::Timings) -> Arc<[Timing]> {
    let took = [
        (Stage::Build, timings.build),
        (Stage::Check, timings.check),
        (Stage::Load, timings.load + timings.watch_wait),
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
