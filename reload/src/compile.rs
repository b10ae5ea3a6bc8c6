//! The build stage: runs cargo, and keeps what the compiler says.

use std::env::consts::DLL_SUFFIX;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::SystemTime;

use serde::Deserialize;

use crate::diagnostic::{Diagnostic, Level, Message};
use crate::failure::{Fault, Stage};
use crate::process::{MESSAGE_MAX, Running, tail};
use crate::progress::Meter;
use crate::rebuild::{Calls, Rebuild, Told};
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
/// said is returned beside the rest, errors first. `known` is what was learned from the last build of the same command.
pub(crate) fn build(
    command: &BuildCommand,
    known: &mut Option<Rebuild>,
    running: &Running,
    unwanted: impl Fn() -> bool,
    heard: impl FnMut(Progress) + Send,
) -> (Result<Built, Fault>, Vec<Diagnostic>) {
    if let Some(rebuild) = known.take_if(|rebuild| rebuild.stands())
        && let Some(ended) = again(rebuild, known, running, &unwanted)
    {
        return ended;
    }
    *known = None;
    let began = SystemTime::now();
    let mut report = Report::default();
    let ended = by_cargo(command, &mut report, running, unwanted, heard);
    if let (Ok(Built::Artifact { .. }), Some(artifact)) = (&ended, &report.artifact) {
        *known = Rebuild::learn(&report.told, &command.directory, artifact, began);
    }
    let said = report.diagnostics();
    if let Some(known) = known {
        known.said.clone_from(&said);
    }
    (ended, said)
}

/// Has the compiler called as cargo did it last; nothing where it takes cargo after all.
fn again(
    mut rebuild: Rebuild,
    known: &mut Option<Rebuild>,
    running: &Running,
    unwanted: impl Fn() -> bool,
) -> Option<(Result<Built, Fault>, Vec<Diagnostic>)> {
    if rebuild.is_fresh() {
        let built = Built::Artifact {
            path: Some(rebuild.artifact().to_owned()),
            fresh: true,
            revision: Revision::default(),
        };
        let said = rebuild.said.clone();
        *known = Some(rebuild);
        return Some((Ok(built), said));
    }
    let began = SystemTime::now();
    let (mut compiler, _lock) = rebuild.command()?;
    let mut child = spawn(&mut compiler).ok()?;
    running.started(&child, unwanted);
    let mut report = Report::default();
    let stderr = child.stderr.take();
    let revision = thread::scope(|scope| {
        let revision = scope.spawn(|| revision::of(rebuild.directory()));
        let lines = stderr.map(|pipe| BufReader::new(pipe).lines());
        for line in lines.into_iter().flatten().map_while(Result::ok) {
            report.read_compiler(&line);
        }
        revision.join().unwrap_or_default()
    });
    let cancelled = running.ended();
    let status = child.wait();
    let diagnostics = report.diagnostics();
    let built = if cancelled {
        Ok(Built::Cancelled)
    } else if status.is_ok_and(|status| status.success()) {
        Ok(Built::Artifact {
            path: Some(rebuild.done(began).ok()?),
            fresh: false,
            revision,
        })
    } else if diagnostics.iter().any(|said| said.level == Level::Error) {
        Err(fault(&diagnostics, ""))
    } else {
        return None;
    };
    rebuild.said.clone_from(&diagnostics);
    *known = Some(rebuild);
    Some((built, diagnostics))
}

fn by_cargo(
    command: &BuildCommand,
    report: &mut Report,
    running: &Running,
    unwanted: impl FnOnce() -> bool,
    heard: impl FnMut(Progress) + Send,
) -> Result<Built, Fault> {
    let mut cargo = Command::new(&command.program);
    cargo
        .args(&command.arguments)
        // Its calls of the compiler are told in full only so.
        .args(["--message-format=json", "-vv"])
        // Cargo shows how far it is on a terminal only, unless it is told to.
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "120")
        .current_dir(&command.directory);
    let mut child = match spawn(&mut cargo) {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound && command.directory.is_dir() => {
            return Ok(Built::NoToolchain);
        }
        Err(error) => {
            let program = command.program.display();
            let title = format!("{program} cannot be run: {error}");
            return Err(Fault::new(Stage::Build, title));
        }
    };
    running.started(&child, unwanted);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (said, revision) = thread::scope(|scope| {
        let mut meter = Meter::new(heard);
        let mut calls = Calls::of(&command.target);
        let listener = scope.spawn(move || {
            let said = stderr.map(|pipe| {
                tail(pipe, |bytes| {
                    meter.read(bytes);
                    calls.read(bytes);
                })
            });
            (said.unwrap_or_default(), calls.last())
        });
        let revision = scope.spawn(|| revision::of(&command.directory));
        let lines = stdout.map(|stdout| BufReader::new(stdout).lines());
        for line in lines.into_iter().flatten().map_while(Result::ok) {
            report.read(&line, &command.target);
        }
        let (said, call) = listener.join().unwrap_or_default();
        report.told.call = call;
        (said, revision.join().unwrap_or_default())
    });
    let cancelled = running.ended();
    match child.wait() {
        _ if cancelled => Ok(Built::Cancelled),
        Ok(status) if status.success() => Ok(Built::Artifact {
            path: report.artifact.clone(),
            fresh: report.fresh,
            revision,
        }),
        Ok(_) => Err(fault(&report.diagnostics, &said)),
        Err(error) => Err(Fault::new(Stage::Build, format!("cargo was lost: {error}"))),
    }
}

/// Starts a build, which must not inherit what the host's own build left in the environment.
fn spawn(command: &mut Command) -> io::Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let given: Vec<_> = command
        .get_envs()
        .map(|(name, _)| name.to_owned())
        .collect();
    for (name, _) in std::env::vars_os() {
        let own = name.to_str().is_some_and(|name| {
            OWN.contains(&name) || OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        });
        if own && !given.contains(&name) {
            command.env_remove(name);
        }
    }
    command.spawn()
}

/// What is kept of cargo's messages.
#[derive(Debug, Default)]
struct Report {
    artifact: Option<PathBuf>,
    fresh: bool,
    diagnostics: Vec<Diagnostic>,
    /// Bytes of what is kept.
    len: usize,
    told: Told,
}

#[derive(Deserialize)]
#[serde(tag = "reason")]
enum Line {
    #[serde(rename = "compiler-message")]
    Diagnosed { message: Message },
    #[serde(rename = "compiler-artifact")]
    Built {
        package_id: String,
        manifest_path: PathBuf,
        target: Target,
        filenames: Vec<PathBuf>,
        fresh: bool,
    },
    #[serde(rename = "build-script-executed")]
    Scripted {
        package_id: String,
        out_dir: PathBuf,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// How ids of packages begin whose source lies on this machine, and may be edited.
const LOCAL: &str = "path+";

impl Report {
    fn read(&mut self, line: &str, target: &str) {
        match serde_json::from_str(line) {
            Ok(Line::Diagnosed { message }) => self.add(message.into()),
            Ok(Line::Built {
                package_id,
                manifest_path,
                target: built,
                filenames,
                fresh,
            }) => {
                if package_id.starts_with(LOCAL) {
                    self.told.manifests.insert(package_id, manifest_path);
                    let is_script = built.kind.iter().any(|kind| kind == "custom-build");
                    if built.name != target && !is_script {
                        self.told.libraries.push(filenames.clone());
                    }
                }
                if built.name == target {
                    self.fresh = fresh;
                    self.artifact = filenames
                        .into_iter()
                        .find(|path| path.to_string_lossy().ends_with(DLL_SUFFIX));
                }
            }
            Ok(Line::Scripted {
                package_id,
                out_dir,
            }) => {
                if package_id.starts_with(LOCAL) {
                    self.told.scripts.push((package_id, out_dir));
                }
            }
            // A line that is no message comes from a build script.
            Ok(Line::Other) | Err(_) => {}
        }
    }

    /// A line of the compiler's own, as cargo would have put it into its message.
    fn read_compiler(&mut self, line: &str) {
        if let Ok(message) = serde_json::from_str::<Message>(line) {
            self.add(message.into());
        }
    }

    /// What was said, errors first.
    fn diagnostics(mut self) -> Vec<Diagnostic> {
        self.diagnostics
            .sort_by_key(|message| std::cmp::Reverse(message.level));
        self.diagnostics
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
        let said = said.rsplit('\r').next().unwrap_or(said);
        let said: Vec<&str> = said.lines().filter(|line| !is_status(line)).collect();
        let said = said.join("\n").trim().to_owned();
        let title = said.lines().find_map(|line| line.strip_prefix("error: "));
        let title = title.unwrap_or("cargo failed without an error message");
        return Fault::new(Stage::Build, title).with(said.clone(), None);
    };
    let rendered: String = errors.map(|error| error.rendered.as_str()).collect();
    Fault::new(Stage::Build, &first.title).with(rendered.trim_end().to_owned(), first.place.clone())
}

/// What cargo does, said to a terminal: a word that ends in the twelfth column, then about what.
fn is_status(line: &str) -> bool {
    let word = line.trim_start().split(' ').next().unwrap_or_default();
    let padding = line.len() - line.trim_start().len();
    padding > 2 && padding + word.len() == 12
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
