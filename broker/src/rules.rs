//! `policy.ron`, live: what the operator saves becomes the arbiter's rules, through the journal as
//! everything else does. A broken one changes nothing, and says why.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use warden::wire::reload::{RefusedFile, ReloadKind, ReloadModule, ReloadOutcome, ReloadResult};
use warden::{Command, Policy};
use warden_reload::files::{FileState, Invalid};
use warden_reload::files::{Files, Format as _, HotFile, Reloaded, Ron, Subscription};

use crate::engine::Desk;
use crate::engine::inbox::{Inbox, Input};
use crate::http::answer::Failure;
use crate::module::{self, Watch, follow};

/// The file in the configuration directory.
const FILE: &str = "policy.ron";
/// What a reload calls it.
pub(crate) const MODULE: &str = "policy";

/// The rules, and the file that they come from.
#[derive(Debug)]
pub(crate) struct Rules {
    file: HotFile<Policy>,
    inbox: Arc<Inbox>,
    /// Held from looking at the live policy to putting it into the inbox, so that an older one never
    /// comes after a newer one.
    handing: Mutex<()>,
    watch: Watch,
    followed: OnceLock<[Subscription; 2]>,
}

impl Rules {
    /// Reads the file, and again whenever it is saved. Without a file, at the start or since it was
    /// deleted, the defaults hold; while it is broken, the last good one.
    pub(crate) fn open(
        files: &Files,
        config_dir: &Path,
        last_good: &Policy,
        inbox: Arc<Inbox>,
    ) -> Arc<Self> {
        let path = config_dir.join(FILE);
        let format = Ron::new().keyed().validated(check).trusted();
        let file = files.open_or(path, Policy::default(), last_good.clone(), format);
        let rules = Arc::new(Self {
            watch: Watch::new(MODULE, "the defaults hold", &file.state()),
            file,
            inbox,
            handing: Mutex::default(),
            followed: OnceLock::new(),
        });
        let on_change = follow(&rules, |rules, _| rules.hand_over());
        let on_state = follow(&rules, |rules, state: &FileState| rules.watch.note(state));
        let followed = [
            rules.file.on_change(move |change| on_change(change)),
            rules.file.on_state(move |state| on_state(state)),
        ];
        // This is the only place that sets it.
        let _ = rules.followed.set(followed);
        rules
    }

    /// What the file says now, or said last while it was good.
    pub(crate) fn policy(&self) -> Policy {
        (*self.file.get()).clone()
    }

    /// How it stands.
    pub(crate) fn module(&self) -> ReloadModule {
        let state = self.file.state();
        ReloadModule {
            generation: state.generation,
            sha256: state.sha256.clone(),
            ..module::of_file(MODULE, ReloadKind::Policy, &state)
        }
    }

    /// Why what the file holds is not what holds, where that is so.
    pub(crate) fn refused(&self) -> Option<RefusedFile> {
        let state = self.file.state();
        let fault = state.fault.as_ref()?;
        Some(module::refused_file(fault, "the last good rules hold"))
    }

    /// Reads the file now, and returns once what it says holds.
    ///
    /// # Errors
    /// `reload_refused`; what held before holds on.
    pub(crate) async fn reload(self: &Arc<Self>, desk: &Desk) -> Result<ReloadResult, Failure> {
        let rules = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || rules.file.force_reload()).await;
        let reloaded = read
            .map_err(|_| Failure::shutting_down())?
            .map_err(|fault| module::refused(&fault))?;
        let answer = {
            let _order = self.handing.lock().unwrap_or_else(PoisonError::into_inner);
            desk.post(self.command())?
        };
        answer.await.map_err(|_| Failure::shutting_down())??;
        Ok(ReloadResult {
            name: MODULE.to_owned(),
            outcome: match reloaded {
                Reloaded::Changed(_) => ReloadOutcome::Reloaded,
                Reloaded::Unchanged(_) | Reloaded::Absent => ReloadOutcome::Unchanged,
            },
            generation: self.file.state().generation,
        })
    }

    fn hand_over(&self) {
        let _order = self.handing.lock().unwrap_or_else(PoisonError::into_inner);
        self.inbox.tell(Input::Tell(self.command()));
    }

    fn command(&self) -> Command {
        Command::ChangePolicy {
            policy: Box::new(self.policy()),
        }
    }
}

fn check(policy: &Policy) -> Result<(), Vec<Invalid>> {
    policy.validate().map_err(|errors| {
        let errors = errors.into_iter();
        errors
            .map(|error| (error.key, error.problem).into())
            .collect()
    })
}
