//! The broker's own program, as the reload panel shows it. The broker is asked for it when it
//! answers, when the operator comes back to the window, and when an order of theirs has ended.

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use warden::wire::reload::{HotReload, ReloadKind, ReloadModule, ReloadState};
use warden_client::Client;
use warden_view::{
    Failure, GenerationRow, GenerationState, Module, ModuleKind, ModuleState, Picture, Stage,
};

use crate::clock::rfc3339_ms;
use crate::feed::Wake;

/// What the panel and the palette call it.
pub const NAME: &str = "broker";
/// What the broker calls it.
pub const OF_BROKER: &str = "program";

/// So much of a hash tells two programs apart for people.
const SHORT: usize = 12;

/// What is known of it.
#[derive(Debug)]
pub struct Program {
    module: Option<Module>,
    /// The broker that was asked last, by its start.
    of: Option<i64>,
    answers: mpsc::UnboundedReceiver<Option<Module>>,
    answer: mpsc::UnboundedSender<Option<Module>>,
}

impl Default for Program {
    fn default() -> Self {
        let (answer, answers) = mpsc::unbounded_channel();
        Self {
            module: None,
            of: None,
            answers,
            answer,
        }
    }
}

impl Program {
    /// As it stands; nothing where no broker answers, or one that knows nothing of it.
    #[must_use]
    pub fn module(&self) -> Option<&Module> {
        self.module.as_ref()
    }

    /// Takes in what was answered, and asks where there is reason to: `again` is one.
    pub fn update(
        &mut self,
        (client, runtime): (&Client, &Handle),
        picture: &Picture,
        (live, again): (bool, bool),
        wake: &Wake,
    ) {
        while let Ok(module) = self.answers.try_recv() {
            self.module = module;
        }
        let of = picture.broker.started_ms.filter(|_| live);
        let another = std::mem::replace(&mut self.of, of) != of;
        if of.is_none() {
            self.module = None;
        } else if another || again {
            let (client, answer, wake) = (client.clone(), self.answer.clone(), wake.clone());
            runtime.spawn(async move {
                let said = client.hot_reload().await;
                let said = said.inspect_err(|error| tracing::debug!(%error, "nothing to reload"));
                // Nobody listens any more when the window has closed.
                let _ = answer.send(said.ok().and_then(|said| of_program(&said)));
                wake.call();
            });
        }
    }
}

fn of_program(said: &HotReload) -> Option<Module> {
    let mut modules = said.modules.iter();
    let program = modules.find(|module| module.kind == ReloadKind::Program)?;
    let files = program.program.as_deref();
    Some(Module {
        name: NAME.into(),
        kind: ModuleKind::Broker,
        state: match program.state {
            ReloadState::Refused => ModuleState::Failed,
            ReloadState::Live | ReloadState::Disabled => ModuleState::Live,
        },
        generation: number(program),
        since_ms: rfc3339_ms(&program.since).unwrap_or_default(),
        artifact: files.map_or_else(Default::default, |files| files.path.as_str().into()),
        sha256: program.sha256.as_deref().unwrap_or_default().into(),
        newer: files.is_some_and(|files| files.newer_sha256.is_some()),
        allowed: Some(said.enabled),
        failure: failure(program),
        history: rows(program).into(),
        ..Module::default()
    })
}

fn number(program: &ReloadModule) -> u32 {
    u32::try_from(program.generation).unwrap_or(u32::MAX)
}

fn failure(program: &ReloadModule) -> Option<Failure> {
    let error = program.last_error.as_ref()?;
    Some(Failure {
        stage: match error.stage.as_str() {
            "start" => Stage::Run,
            "unreadable" | "missing" | "copy" => Stage::Load,
            _ => Stage::Check,
        },
        at_ms: rfc3339_ms(&program.since).unwrap_or_default(),
        title: format!("{} cannot take the broker's place", error.path).into(),
        message: error.message.as_str().into(),
        place: None,
    })
}

/// What runs, and what could be returned to.
fn rows(program: &ReloadModule) -> Vec<GenerationRow> {
    let Some(files) = program.program.as_deref() else {
        return Vec::new();
    };
    let row = |back: u32, version: &str, sha256: &str| GenerationRow {
        attempt: back,
        number: number(program).saturating_sub(back),
        label: version.into(),
        revision: sha256.chars().take(SHORT).collect::<String>().into(),
        state: match back {
            0 => GenerationState::Running,
            _ => GenerationState::Former,
        },
        can_return: back > 0,
        ..GenerationRow::default()
    };
    let runs = program.sha256.as_deref().unwrap_or_default();
    let before = files.before.as_ref();
    [row(0, &files.version, runs)]
        .into_iter()
        .chain(before.map(|before| row(1, &before.version, &before.sha256)))
        .collect()
}
