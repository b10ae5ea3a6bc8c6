//! The rehearse stage: new code runs once where nobody sees it.

use std::fmt;
use std::sync::Arc;

use warden_hot::Memory;

use crate::failure::{Fault, Stage};
use crate::generation::Generation;
use crate::guard::catch;

/// How a module is rehearsed. The same function serves on the reload thread and in the child of
/// [`crate::Child`]; it must touch nothing that the host shows.
#[derive(Clone)]
pub struct Rehearse {
    run: Run,
    state: Option<State>,
}

type Run = Arc<dyn Fn(Candidate<'_>) -> Result<(), String> + Send + Sync>;
type State = Arc<dyn Fn() -> String + Send + Sync>;

/// What is rehearsed.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// Its symbols.
    pub generation: &'a Generation,
    /// Its memory, carried over from the one that runs: a copy, thrown away afterwards.
    pub memory: Option<&'a mut Memory>,
    /// The host's state, from [`Rehearse::with_state`].
    pub state: Option<&'a str>,
}

impl Rehearse {
    /// `run` calls the candidate's symbols as the host would. It says what went wrong; a panic is
    /// caught, and is a failure too.
    pub fn new(run: impl Fn(Candidate<'_>) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self {
            run: Arc::new(run),
            state: None,
        }
    }

    /// What of the host's state the candidate is to see, as text, so that it can go to a child. Asked
    /// on the reload thread, once a rehearsal.
    #[must_use]
    pub fn with_state(mut self, state: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.state = Some(Arc::new(state));
        self
    }

    pub(crate) fn state(&self) -> Option<String> {
        // A panic there was told; what is rehearsed then goes without.
        self.state.as_ref().and_then(|state| catch(|| state()).ok())
    }

    pub(crate) fn run(&self, candidate: Candidate<'_>) -> Result<(), Fault> {
        match catch(|| (self.run)(candidate)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(said)) => {
                let title = said.lines().next().unwrap_or("it said no more").to_owned();
                let fault = Fault::new(Stage::Rehearse, title);
                Err(fault.with(said, None))
            }
            Err(caught) => {
                let title = format!("the new code panicked: {}", caught.message);
                Err(Fault::new(Stage::Rehearse, title).with(caught.to_string(), caught.place))
            }
        }
    }
}

impl fmt::Debug for Rehearse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rehearse").finish_non_exhaustive()
    }
}
