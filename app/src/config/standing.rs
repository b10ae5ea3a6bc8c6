//! How a file stands, in the words of the picture.

use std::path::Path;

use warden_reload::files::{Fault, FileState, Watching};
use warden_view::{Failure, Module, ModuleKind, ModuleState, Stage, Text};

use crate::clock::unix_ms;

/// A file as something that can be reloaded.
pub fn module(name: &str, kind: ModuleKind, path: &Path, state: &FileState) -> Module {
    let generation = u32::try_from(state.generation).unwrap_or(u32::MAX);
    Module {
        name: name.into(),
        kind,
        state: match state.fault {
            Some(_) => ModuleState::Failed,
            None => ModuleState::Live,
        },
        generation,
        loaded: generation,
        since_ms: match state.generation {
            0 => 0,
            _ => unix_ms(state.at),
        },
        artifact: path.display().to_string().into(),
        sha256: state.sha256.as_deref().unwrap_or_default().into(),
        failure: state.fault.as_ref().map(failure),
        noticed: noticed(state).into(),
        ..Module::default()
    }
}

/// What is unusual about how it stands.
pub fn noticed(state: &FileState) -> String {
    let mut said = Vec::new();
    match (state.present, &state.sha256) {
        (true, _) => {}
        (false, None) => {
            said.push("There is no such file: the defaults hold.".to_owned());
        }
        (false, Some(_)) => said.push("Its file is gone: what it said last holds on.".to_owned()),
    }
    if let Watching::Polling { why } = &state.watching {
        said.push(format!("It is looked at now and then: {why}."));
    }
    said.join(" ")
}

fn failure(fault: &Fault) -> Failure {
    Failure {
        stage: Stage::Build,
        at_ms: 0,
        title: fault.message.as_str().into(),
        message: fault.to_string().into(),
        place: place(fault),
    }
}

/// Where in the file; its first line where the whole of it is meant.
fn place(fault: &Fault) -> Option<(Text, u32, u32)> {
    let line = fault.line?;
    let file = fault.path.display().to_string();
    Some((file.into(), line, fault.column.unwrap_or(1)))
}
