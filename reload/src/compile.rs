//! The build stage: runs cargo, and keeps what the compiler says.

use std::env::consts::DLL_SUFFIX;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use serde::Deserialize;

use crate::diagnostic::{Diagnostic, Level, Message};
use crate::failure::{Fault, Stage};
use crate::process::{MESSAGE_MAX, Running, tail};
use crate::progress::Meter;
use crate::revision::{self, Revision};
use crate::status::Progress;

/// The most messages of one build that are kept.
const DIAGNOSTICS_MAX: usize = 200;

/// What the host's own build left in the environment and a build must not inherit: another value of
/// any of these, and cargo would build another library than the one that the host is linked with.
const OWN: [&str; 6] = [
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_CRATE_NAME",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_PRIMARY_PACKAGE",
    "OUT_DIR",
    "RUSTFLAGS",
];
const OWN_PREFIXES: [&str; 3] = ["CARGO_BIN_", "CARGO_MANIFEST_", "CARGO_PKG_"];

/// How a module is built. The host says, since package selection, flags and environment must be
/// those of its own build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildCommand {
    /// Cargo.
    pub program: PathBuf,
    /// Its arguments; `--message-format=json` is added.
    pub arguments: Vec<String>,
    /// The workspace.
    pub directory: PathBuf,
    /// The library's target, whose file is the artifact.
    pub target: String,
}

impl BuildCommand {
    /// The library of a package in a workspace, as a cdylib; by the cargo that runs this program, or
    /// the one in PATH.
    #[must_use]
    pub fn cdylib(workspace: impl Into<PathBuf>, package: &str) -> Self {
        let arguments = [
            "rustc",
            "--package",
            package,
            "--lib",
            "--crate-type=cdylib",
        ];
        Self {
            program: std::env::var_os("CARGO")
                .unwrap_or_else(|| "cargo".into())
                .into(),
            arguments: arguments.map(str::to_owned).to_vec(),
            directory: workspace.into(),
            target: package.replace('-', "_"),
        }
    }
}

/// What came of a build.
#[derive(Debug)]
pub(crate) enum Built {
    /// Done.
    Artifact {
        /// Where cargo named the file.
        path: Option<PathBuf>,
        /// It was there already, and cargo had nothing to do.
        fresh: bool,
        /// What it was built from.
        revision: Revision,
    },
    /// There is no cargo here: what lies on the disk is all there is.
    NoToolchain,
    /// Somebody asked for another one meanwhile, or for none.
    Cancelled,
}

/// Builds, and blocks until that has ended, unless it turns out to be `unwanted`. `heard` is told how far it has come; what the compiler
/// said is returned beside the rest, errors first.
pub(crate) fn build(
    command: &BuildCommand,
    running: &Running,
    unwanted: impl FnOnce() -> bool,
    heard: impl FnMut(Progress) + Send,
) -> (Result<Built, Fault>, Vec<Diagnostic>) {
    let mut child = match spawn(command) {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound && command.directory.is_dir() => {
            return (Ok(Built::NoToolchain), Vec::new());
        }
        Err(error) => {
            let program = command.program.display();
            let title = format!("{program} cannot be run: {error}");
            return (Err(Fault::new(Stage::Build, title)), Vec::new());
        }
    };
    running.started(&child, unwanted);
    let mut report = Report::default();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (said, revision) = thread::scope(|scope| {
        let mut meter = Meter::new(heard);
        let listener =
            scope.spawn(move || stderr.map(|pipe| tail(pipe, |bytes| meter.read(bytes))));
        let revision = scope.spawn(|| revision::of(&command.directory));
        let lines = stdout.map(|stdout| BufReader::new(stdout).lines());
        for line in lines.into_iter().flatten().map_while(Result::ok) {
            report.read(&line, &command.target);
        }
        (
            listener.join().ok().flatten().unwrap_or_default(),
            revision.join().unwrap_or_default(),
        )
    });
    let cancelled = running.ended();
    let status = child.wait();
    report
        .diagnostics
        .sort_by_key(|message| std::cmp::Reverse(message.level));
    let built = match status {
        _ if cancelled => Ok(Built::Cancelled),
        Ok(status) if status.success() => Ok(Built::Artifact {
            path: report.artifact,
            fresh: report.fresh,
            revision,
        }),
        Ok(_) => Err(fault(&report.diagnostics, &said)),
        Err(error) => Err(Fault::new(Stage::Build, format!("cargo was lost: {error}"))),
    };
    (built, report.diagnostics)
}

fn spawn(command: &BuildCommand) -> io::Result<Child> {
    let mut cargo = Command::new(&command.program);
    cargo
        .args(&command.arguments)
        .arg("--message-format=json")
        // Cargo shows how far it is on a terminal only, unless it is told to.
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "120")
        .current_dir(&command.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    for (name, _) in std::env::vars_os() {
        let own = name.to_str().is_some_and(|name| {
            OWN.contains(&name) || OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        });
        if own {
            cargo.env_remove(name);
        }
    }
    cargo.spawn()
}

/// What is kept of cargo's messages.
#[derive(Debug, Default)]
struct Report {
    artifact: Option<PathBuf>,
    fresh: bool,
    diagnostics: Vec<Diagnostic>,
    /// Bytes of what is kept.
    len: usize,
}

#[derive(Deserialize)]
#[serde(tag = "reason")]
enum Line {
    #[serde(rename = "compiler-message")]
    Diagnosed { message: Message },
    #[serde(rename = "compiler-artifact")]
    Built {
        target: Target,
        filenames: Vec<PathBuf>,
        fresh: bool,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

impl Report {
    fn read(&mut self, line: &str, target: &str) {
        match serde_json::from_str(line) {
            Ok(Line::Diagnosed { message }) => self.add(message.into()),
            Ok(Line::Built {
                target: built,
                filenames,
                fresh,
            }) if built.name == target => {
                self.fresh = fresh;
                self.artifact = filenames
                    .into_iter()
                    .find(|path| path.to_string_lossy().ends_with(DLL_SUFFIX));
            }
            // A line that is no message comes from a build script.
            _ => {}
        }
    }

    fn add(&mut self, message: Diagnostic) {
        self.len += message.rendered.len();
        if self.len <= MESSAGE_MAX && self.diagnostics.len() < DIAGNOSTICS_MAX {
            self.diagnostics.push(message);
        }
    }
}

fn fault(diagnostics: &[Diagnostic], said: &str) -> Fault {
    let errors = diagnostics
        .iter()
        .filter(|message| message.level == Level::Error);
    let Some(first) = errors.clone().next() else {
        // Cargo itself gave up: a manifest that cannot be read, a lock file out of date.
        let said = said.rsplit('\r').next().unwrap_or(said).trim();
        let title = said.lines().find_map(|line| line.strip_prefix("error: "));
        let title = title.unwrap_or("cargo failed without an error message");
        return Fault::new(Stage::Build, title).with(said.to_owned(), None);
    };
    let rendered: String = errors.map(|error| error.rendered.as_str()).collect();
    Fault::new(Stage::Build, &first.title).with(rendered.trim_end().to_owned(), first.place.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_gives_the_title_and_the_place() {
        let mut report = Report::default();
        for line in [
            "no message at all",
            r#"{"reason":"compiler-message","message":{"message":"unused","level":"warning","rendered":"warning: unused\n","spans":[]}}"#,
            r#"{"reason":"compiler-message","message":{"message":"no such name","level":"error","rendered":"error: no such name\n","spans":[{"file_name":"a.rs","line_start":1,"column_start":2,"is_primary":false},{"file_name":"b.rs","line_start":3,"column_start":4,"is_primary":true}]}}"#,
            r#"{"reason":"compiler-message","message":{"message":"aborting","level":"error","rendered":"error: aborting\n","spans":[]}}"#,
            r#"{"reason":"build-finished","success":false}"#,
        ] {
            report.read(line, "tiny");
        }
        let fault = fault(&report.diagnostics, "");
        assert_eq!(fault.title, "no such name");
        assert_eq!(fault.message, "error: no such name\nerror: aborting");
        assert_eq!(fault.place.unwrap().to_string(), "b.rs:3:4");
        assert_eq!(report.diagnostics[0].level, Level::Warning);
    }

    #[test]
    fn where_cargo_itself_gives_up_its_own_words_are_told() {
        let fault = fault(&[], "note\nerror: no such package\n");
        assert_eq!(fault.title, "no such package");
        assert_eq!(fault.message, "note\nerror: no such package");
    }
}
