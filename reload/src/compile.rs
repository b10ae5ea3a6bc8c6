//! The build stage: runs cargo, and keeps what the compiler says.

use std::env::consts::DLL_SUFFIX;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde::Deserialize;

use crate::failure::{Fault, Place, Stage};

/// The most that is kept of what the compiler says, in bytes.
const MESSAGE_MAX: usize = 64 * 1024;

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
#[derive(Clone, Debug)]
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

/// What came of a build.
#[derive(Debug)]
pub(crate) enum Built {
    /// Done, and cargo named the file.
    Artifact(Option<PathBuf>),
    /// There is no cargo here: what lies on the disk is all there is.
    NoToolchain,
    /// Somebody asked for another one meanwhile.
    Cancelled,
}

/// The build that runs, if one does, so that another thread can end it.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Leads a process group of its own; not reaped while it stands here.
    group: Option<i32>,
    cancelled: bool,
}

impl Running {
    /// Ends the build that runs. Without one, does nothing.
    pub fn cancel(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = state.group {
            state.cancelled = true;
            // SAFETY: `kill` takes two numbers. The group's leader is not reaped before it is
            // taken out of `state`, so the number cannot stand for another process by now.
            unsafe { libc::kill(-group, libc::SIGTERM) };
        }
    }

    fn started(&self, child: &Child) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State {
            group: i32::try_from(child.id()).ok(),
            cancelled: false,
        };
    }

    /// Whether it was cancelled.
    fn ended(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.group = None;
        state.cancelled
    }
}

/// Builds, and blocks until that has ended.
pub(crate) fn build(command: &BuildCommand, running: &Running) -> Result<Built, Fault> {
    let mut child = match spawn(command) {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound && command.directory.is_dir() => {
            return Ok(Built::NoToolchain);
        }
        Err(error) => {
            let program = command.program.display();
            return Err(Fault::new(
                Stage::Build,
                format!("{program} cannot be run: {error}"),
            ));
        }
    };
    running.started(&child);
    let stderr = child
        .stderr
        .take()
        .map(|pipe| thread::spawn(move || tail(pipe)));
    let mut report = Report::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            report.read(&line, &command.target);
        }
    }
    let cancelled = running.ended();
    let status = child.wait();
    let said = stderr
        .and_then(|thread| thread.join().ok())
        .unwrap_or_default();
    match status {
        _ if cancelled => Ok(Built::Cancelled),
        Ok(status) if status.success() => Ok(Built::Artifact(report.artifact)),
        Ok(_) => Err(report.fault(said)),
        Err(error) => Err(Fault::new(Stage::Build, format!("cargo was lost: {error}"))),
    }
}

fn spawn(command: &BuildCommand) -> io::Result<Child> {
    let mut cargo = Command::new(&command.program);
    cargo
        .args(&command.arguments)
        .arg("--message-format=json")
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

/// The last [`MESSAGE_MAX`] bytes that come out of a pipe.
fn tail(mut pipe: impl Read) -> String {
    let (mut kept, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(len @ 1..) = pipe.read(&mut chunk) {
        kept.extend_from_slice(&chunk[..len]);
        kept.drain(..kept.len().saturating_sub(MESSAGE_MAX));
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// What is kept of cargo's messages.
#[derive(Debug, Default)]
struct Report {
    artifact: Option<PathBuf>,
    /// Every error, as the compiler lays it out.
    rendered: String,
    /// The first error.
    title: Option<String>,
    place: Option<Place>,
}

#[derive(Deserialize)]
#[serde(tag = "reason")]
enum Message {
    #[serde(rename = "compiler-message")]
    Diagnosed { message: Diagnostic },
    #[serde(rename = "compiler-artifact")]
    Built {
        target: Target,
        filenames: Vec<PathBuf>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Diagnostic {
    message: String,
    level: String,
    rendered: Option<String>,
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    line_start: u32,
    column_start: u32,
    is_primary: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

impl Report {
    fn read(&mut self, line: &str, target: &str) {
        match serde_json::from_str(line) {
            Ok(Message::Diagnosed { message }) if message.level.starts_with("error") => {
                self.error(message);
            }
            Ok(Message::Built {
                target: built,
                filenames,
            }) if built.name == target => {
                self.artifact = filenames
                    .into_iter()
                    .find(|path| path.to_string_lossy().ends_with(DLL_SUFFIX));
            }
            // Warnings are for the terminal; a line that is no message comes from a build script.
            _ => {}
        }
    }

    fn error(&mut self, error: Diagnostic) {
        let rendered = error.rendered.unwrap_or_else(|| error.message.clone());
        if self.rendered.len() + rendered.len() <= MESSAGE_MAX {
            self.rendered.push_str(&rendered);
        }
        if self.title.is_none() {
            self.title = Some(error.message);
            self.place = error
                .spans
                .into_iter()
                .find(|span| span.is_primary)
                .map(|span| Place {
                    file: span.file_name,
                    line: span.line_start,
                    column: span.column_start,
                });
        }
    }

    fn fault(self, said: String) -> Fault {
        let Some(title) = self.title else {
            // Cargo itself gave up: a manifest that cannot be read, a lock file out of date.
            let title = said
                .lines()
                .find_map(|line| line.strip_prefix("error: "))
                .unwrap_or("cargo failed without an error message");
            return Fault::new(Stage::Build, title).with(said.trim().to_owned(), None);
        };
        Fault::new(Stage::Build, title).with(self.rendered.trim_end().to_owned(), self.place)
    }
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
        let fault = report.fault(String::new());
        assert_eq!(fault.title, "no such name");
        assert_eq!(fault.message, "error: no such name\nerror: aborting");
        assert_eq!(fault.place.unwrap().to_string(), "b.rs:3:4");
    }

    #[test]
    fn where_cargo_itself_gives_up_its_own_words_are_told() {
        let fault = Report::default().fault("note\nerror: no such package\n".to_owned());
        assert_eq!(fault.title, "no such package");
        assert_eq!(fault.message, "note\nerror: no such package");
    }
}
