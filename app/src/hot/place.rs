//! Where hot libraries lie, and how they are built.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};

use warden_reload::BuildCommand;

use super::table::Entry;

/// Where the hot libraries come from.
#[derive(Clone, Debug)]
pub struct Place {
    /// The directory that they lie in: a build's, or that of an installed program.
    pub artifacts: PathBuf,
    /// Where their source is, if it is here.
    pub checkout: Option<PathBuf>,
    /// Where copies of them are loaded from.
    pub staging: PathBuf,
    /// The program that rehearses new code in a process of its own first: this one, where the
    /// operator asked for that.
    pub rehearser: Option<PathBuf>,
}

impl Place {
    /// Beside the running program; built in the checkout that this program was built from, if that
    /// is still there and this is the program that its build left.
    #[must_use]
    pub fn find(program: &Path, data_dir: &Path) -> Self {
        let beside = program.parent().unwrap_or(Path::new("."));
        let built = beside.join("deps").is_dir();
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let checkout = checkout.filter(|root| built && root.join("Cargo.lock").is_file());
        Self {
            artifacts: beside.to_owned(),
            checkout: checkout.map(Path::to_owned),
            // Where a build writes its programs, programs can be run from.
            staging: if built {
                beside.join("hot")
            } else {
                data_dir.join("hot")
            },
            rehearser: None,
        }
    }

    /// The library of a module, as its build leaves it.
    #[must_use]
    pub fn artifact(&self, module: &str) -> PathBuf {
        self.artifacts
            .join(format!("{DLL_PREFIX}{module}{DLL_SUFFIX}"))
    }

    /// The build of the whole workspace, narrowed to the module's package: the toolkit asks for
    /// every feature that the others ask for, so both resolve to the same libraries.
    ///
    /// The crate is an rlib for its tests and for programs that link it in. To be loaded it is built
    /// as a cdylib, which exports the delegation targets and the manifest alone: as a dylib it would
    /// carry what other crates could inline, and every reload would wait a third longer for that.
    #[must_use]
    pub fn build(&self, module: &str) -> Option<BuildCommand> {
        let checkout = self.checkout.as_ref()?;
        // By convention a module's folder has its package's name.
        if !checkout.join(module).join("Cargo.toml").is_file() {
            return None;
        }
        let mut arguments: Vec<String> = [
            "rustc",
            "--frozen",
            "--package",
            module,
            "--lib",
            "--crate-type=cdylib",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.extend(self.profile());
        Some(self.cargo(checkout, arguments, module))
    }

    /// The builds of these modules and then of the window's program, in the same directory and with
    /// the same flags; none where the source is not here.
    #[must_use]
    pub fn build_all<'a>(
        &self,
        modules: impl Iterator<Item = &'a Entry>,
    ) -> Option<Vec<BuildCommand>> {
        let checkout = self.checkout.as_ref()?;
        let modules = modules.map(|entry| self.build(entry.name));
        let mut commands: Vec<BuildCommand> = modules.collect::<Option<_>>()?;
        let mut arguments: Vec<String> = ["build", "--frozen", "--package", "warden-app", "--bins"]
            .map(str::to_owned)
            .to_vec();
        arguments.extend(self.profile());
        commands.push(self.cargo(checkout, arguments, "warden-dashboard"));
        Some(commands)
    }

    /// Cargo's words for the profile and the directory that this program was built with.
    fn profile(&self) -> Vec<String> {
        let mut words = Vec::new();
        let profile = self
            .artifacts
            .file_name()
            .map(|name| name.to_string_lossy());
        match profile.as_deref() {
            None | Some("debug") => {}
            Some(profile) => words.extend(["--profile".to_owned(), profile.to_owned()]),
        }
        if let Some(target_dir) = self.artifacts.parent() {
            words.extend(["--target-dir".to_owned(), target_dir.display().to_string()]);
        }
        words
    }

    fn cargo(&self, checkout: &Path, arguments: Vec<String>, target: &str) -> BuildCommand {
        BuildCommand {
            program: std::env::var_os("CARGO")
                .unwrap_or_else(|| "cargo".into())
                .into(),
            arguments,
            directory: checkout.to_owned(),
            target: target.to_owned(),
        }
    }
}
