//! A build of something else than a hot module: of the host itself, before it starts anew.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::compile::{self, Built};
use crate::failure::{Fault, Stage};
use crate::process::Running;
use crate::{BuildCommand, Diagnostic, Failure, Progress};

/// Commands that are carried out one after another on a thread of their own.
#[derive(Debug)]
pub struct Building {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    running: Running,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cancelled: bool,
    progress: Option<Progress>,
    ended: Option<BuildEnd>,
}

/// How all of it ended.
#[derive(Clone, Debug)]
pub enum BuildEnd {
    /// Everything is built.
    Done,
    /// Somebody wanted it ended.
    Cancelled,
    /// One of them failed; those after it were not tried. With what the compiler said, errors first.
    Failed(Failure, Arc<[Diagnostic]>),
}

impl Building {
    /// Starts. `name` is whose build a failure is told to be; `wake` is called, from another thread,
    /// when there is something to see.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn start(
        name: &str,
        commands: Vec<BuildCommand>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let (name, theirs) = (name.to_owned(), Arc::clone(&shared));
        thread::Builder::new()
            .name("build".to_owned())
            .spawn(move || {
                let ended = theirs.run(&name, &commands, &wake);
                theirs.lock().ended = Some(ended);
                wake();
            })?;
        Ok(Self { shared })
    }

    /// How far the command that runs has come, once it has said so.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        self.shared.lock().progress.clone()
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn ended(&self) -> Option<BuildEnd> {
        self.shared.lock().ended.clone()
    }

    /// Ends it.
    pub fn cancel(&self) {
        self.shared.lock().cancelled = true;
        self.shared.running.cancel();
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, name: &str, commands: &[BuildCommand], wake: &(impl Fn() + Sync)) -> BuildEnd {
        for command in commands {
            if self.lock().cancelled {
                return BuildEnd::Cancelled;
            }
            let cancelled = || self.lock().cancelled;
            let (built, said) =
                compile::build(command, &mut None, &self.running, cancelled, |progress| {
                    self.lock().progress = Some(progress);
                    wake();
                });
            let fault = match built {
                Ok(Built::Artifact { .. }) => continue,
                Ok(Built::Cancelled) => return BuildEnd::Cancelled,
                Ok(Built::NoToolchain) => Fault::new(
                    Stage::Build,
                    format!("{} is not installed here", command.program.display()),
                ),
                Err(fault) => fault,
            };
            return BuildEnd::Failed(fault.of(name), said.into());
        }
        BuildEnd::Done
    }
}
