//! The functions that the host delegates to, whichever generation they are of.

use std::ffi::c_void;
use std::mem::transmute;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;

use warden_reload::{
    BuildCommand, Caught, Generation, HotModule, HotReloader, Outcome, Pending, Stage, Start,
    StartError, Status,
};
use warden_toolkit::egui;
use warden_view::{Action, Picture, Theme, UiMemory};

/// The hot library's name.
pub const MODULE: &str = "ui_hot";

/// Draws everything below the banner.
pub type Draw = fn(&mut egui::Ui, &Picture, &Theme, &mut UiMemory, &mut Vec<Action>);
/// Puts fonts and egui's own style in place; called before a frame, whenever the theme or the
/// generation is another.
pub type Style = fn(&egui::Context, &Theme);

/// Pointers into one generation. They stay good for ever, since nothing is ever unmapped.
#[derive(Clone, Copy)]
pub struct Functions {
    /// See [`Draw`].
    pub draw: Draw,
    /// See [`Style`].
    pub style: Style,
}

impl std::fmt::Debug for Functions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Functions").finish_non_exhaustive()
    }
}

impl Functions {
    /// Takes them out of a generation that passed every check.
    fn of(generation: &Generation) -> Option<Self> {
        let draw = generation.symbol("ui_hot_draw")?;
        let style = generation.symbol("ui_hot_style")?;
        // SAFETY: the manifest was compared before the library was mapped: same compiler, same
        // toolkit, same source of every type in these signatures; and `ui_hot` declares its
        // exports with the very signatures of the aliases above.
        Some(unsafe {
            Self {
                draw: transmute::<NonNull<c_void>, Draw>(draw),
                style: transmute::<NonNull<c_void>, Style>(style),
            }
        })
    }
}

/// What draws, and how it is replaced.
#[derive(Debug)]
pub struct Hot {
    functions: Option<Functions>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// Linked in: there is nothing to reload.
    Fixed,
    Reloaded {
        reloader: HotReloader,
        pending: Vec<Pending>,
    },
}

impl Hot {
    /// What is linked in.
    #[must_use]
    pub fn fixed(functions: Option<Functions>) -> Self {
        Self {
            functions,
            source: Source::Fixed,
        }
    }

    /// Loads the library of `place` and stands ready to replace it. `wake` is called, from another
    /// thread, whenever [`Self::swap`] or [`Self::status`] have something new.
    ///
    /// # Errors
    /// When no code can be loaded at all.
    pub fn start(
        place: &Place,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let reloader = HotReloader::start(Start {
            staging: place.staging.clone(),
            stamp: warden_manifest::stamp!(shares: warden_toolkit),
            wake: Box::new(wake),
        })?;
        let registered = reloader.register(HotModule {
            name: MODULE.to_owned(),
            artifact: place.artifact.clone(),
            build: place.build.clone(),
            schema: warden_view::SCHEMA,
            state_keys: vec!["ui memory".to_owned(), "egui memory".to_owned()],
            delegation_targets: vec!["ui_hot_draw".to_owned(), "ui_hot_style".to_owned()],
            after: Vec::new(),
        });
        debug_assert!(registered.is_ok(), "the first module of a new registry");
        // A build takes seconds where there is none yet; what lies there was built with this host.
        let first = if place.artifact.exists() || place.build.is_none() {
            reloader.load(MODULE)
        } else {
            reloader.reload(MODULE)
        };
        Ok(Self {
            functions: None,
            source: Source::Reloaded {
                reloader,
                pending: first.into_iter().collect(),
            },
        })
    }

    /// Waits for the first generation, so that the first frame shows it. To be called before the
    /// first frame; a build is not waited for.
    pub fn settle(&mut self) {
        let Source::Reloaded { pending, reloader } = &mut self.source else {
            return;
        };
        let stage = reloader.status(MODULE).and_then(|status| status.stage);
        if stage.is_none_or(|(stage, _)| stage != Stage::Build) {
            for outcome in pending.drain(..).map(Pending::wait) {
                tracing::info!(?outcome, "the first generation");
            }
        }
    }

    /// What came of the attempts that have ended since this was asked last.
    pub fn outcomes(&mut self) -> Vec<Outcome> {
        let Source::Reloaded { pending, .. } = &mut self.source else {
            return Vec::new();
        };
        let mut outcomes = Vec::new();
        pending.retain(|attempt| match attempt.outcome() {
            Some(outcome) => {
                outcomes.push(outcome);
                false
            }
            None => true,
        });
        outcomes
    }

    /// The pointers to call.
    #[must_use]
    pub fn functions(&self) -> Option<Functions> {
        self.functions
    }

    /// Takes a generation that is ready into use; true when there was one.
    pub fn swap(&mut self) -> Option<Arc<Generation>> {
        let Source::Reloaded { reloader, .. } = &self.source else {
            return None;
        };
        let generation = reloader.swap(MODULE)?;
        self.functions = Functions::of(&generation);
        Some(generation)
    }

    /// The last call panicked: go back to the last good generation, if there is one.
    pub fn panicked(&mut self, caught: &Caught) {
        self.functions = match &self.source {
            Source::Fixed => None,
            Source::Reloaded { reloader, .. } => reloader
                .panicked(MODULE, caught)
                .and_then(|generation| Functions::of(&generation)),
        };
    }

    /// Builds and loads anew. Does nothing where the code is linked in.
    pub fn reload(&mut self) {
        if let Source::Reloaded { reloader, pending } = &mut self.source {
            let attempts = reloader.reload_all().into_iter();
            pending.extend(attempts.map(|(_, attempt)| attempt));
        }
    }

    /// How the module stands; none where the code is linked in.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        match &self.source {
            Source::Fixed => None,
            Source::Reloaded { reloader, .. } => reloader.status(MODULE),
        }
    }

    /// The library's file; empty where the code is linked in.
    #[must_use]
    pub fn artifact(&self) -> String {
        match &self.source {
            Source::Fixed => String::new(),
            Source::Reloaded { reloader, .. } => {
                let modules = reloader.modules();
                modules
                    .first()
                    .map(|module| module.artifact.display().to_string())
                    .unwrap_or_default()
            }
        }
    }

    /// Blocks until the attempt that is asked for here has come to something; for tests.
    #[must_use]
    pub fn reload_and_wait(&self) -> Option<Outcome> {
        match &self.source {
            Source::Fixed => None,
            Source::Reloaded { reloader, .. } => reloader.reload(MODULE).ok().map(Pending::wait),
        }
    }
}

/// Where the hot library comes from.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its file.
    pub artifact: PathBuf,
    /// How to build it, where its source is here.
    pub build: Option<BuildCommand>,
    /// Where copies of it are loaded from.
    pub staging: PathBuf,
}

impl Place {
    /// Beside the running program; built in the checkout that this program was built from, if that
    /// is still there and this is the program that its build left.
    #[must_use]
    pub fn find(program: &Path, data_dir: &Path) -> Self {
        let beside = program.parent().unwrap_or(Path::new("."));
        let name = format!(
            "{}{MODULE}{}",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_SUFFIX
        );
        let built = beside.join("deps").is_dir();
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let checkout =
            checkout.filter(|root| built && root.join(MODULE).join("Cargo.toml").is_file());
        Self {
            artifact: beside.join(name),
            build: checkout.map(|checkout| build_command(checkout, beside)),
            // Where a build writes its programs, programs can be run from.
            staging: if built {
                beside.join("hot")
            } else {
                data_dir.join("hot")
            },
        }
    }
}

/// The build of the whole workspace, narrowed to the one package: the toolkit asks for every feature
/// that the others ask for, so both resolve to the same libraries.
///
/// The crate is an rlib for its tests and for programs that link it in. To be loaded it is built as a
/// cdylib, which exports the delegation targets and the manifest alone: as a dylib it would carry
/// what other crates could inline, and every reload would wait a third longer for that.
fn build_command(checkout: &Path, profile_dir: &Path) -> BuildCommand {
    let mut arguments: Vec<String> = [
        "rustc",
        "--frozen",
        "--package",
        MODULE,
        "--lib",
        "--crate-type=cdylib",
    ]
    .map(str::to_owned)
    .to_vec();
    let profile = profile_dir
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    match profile.as_deref() {
        None | Some("debug") => {}
        Some(profile) => arguments.extend(["--profile".to_owned(), profile.to_owned()]),
    }
    if let Some(target_dir) = profile_dir.parent() {
        arguments.extend(["--target-dir".to_owned(), target_dir.display().to_string()]);
    }
    BuildCommand {
        program: std::env::var_os("CARGO")
            .unwrap_or_else(|| "cargo".into())
            .into(),
        arguments,
        directory: checkout.to_owned(),
        target: MODULE.to_owned(),
    }
}
