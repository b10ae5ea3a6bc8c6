//! `--on-yield`: what is done when somebody more urgent asks for the GPU.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal};
use warden::Owner;

use crate::run::mark;

/// Signals by which a command may be told, by their names.
const SIGNALS: [(&str, Signal); 10] = [
    ("TERM", Signal::TERM),
    ("INT", Signal::INT),
    ("HUP", Signal::HUP),
    ("QUIT", Signal::QUIT),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("WINCH", Signal::WINCH),
    ("ALRM", Signal::ALARM),
    ("URG", Signal::URG),
    ("CONT", Signal::CONT),
];
/// Names of signals that make no command give way: a mistake where a command is expected.
const OTHERS: [&str; 22] = [
    "KILL", "STOP", "TSTP", "TTIN", "TTOU", "ABRT", "IOT", "BUS", "FPE", "ILL", "SEGV", "SYS",
    "TRAP", "PIPE", "CHLD", "IO", "POLL", "PROF", "VTALRM", "XCPU", "XFSZ", "PWR",
];

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnYield {
    /// The command gets this signal.
    Signal(&'static str, Signal),
    /// A shell runs this.
    Command(String),
}

impl OnYield {
    /// Reads the option: the name of a signal, in any case and with or without `SIG`, or a command.
    ///
    /// # Errors
    /// What looks like a signal and is none, a single word that is no program either, and a path
    /// where there is none that can be run: else it
    /// would show only when the holder is asked.
    pub fn parse(text: &str) -> Result<Self, String> {
        let upper = text.trim().to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((name, signal)) = SIGNALS.iter().find(|(known, _)| *known == name) {
            return Ok(Self::Signal(name, *signal));
        }
        let known = || SIGNALS.map(|(name, _)| name).join(", ");
        if upper.is_empty() {
            return Err(format!("must be a command, or one of {}", known()));
        }
        let is_number = upper.bytes().all(|byte| byte.is_ascii_digit());
        let is_word = upper.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let why = match name {
            "KILL" => {
                "KILL leaves the command no time to save anything; TERM asks it to end".into()
            }
            "STOP" => "a command that is stopped keeps the GPU; TERM asks it to end".into(),
            _ if is_number => format!("signals are given by name; one of {}", known()),
            _ if OTHERS.contains(&name) || name != upper && is_word => {
                format!("no signal to be sent here; one of {}", known())
            }
            _ if is_bare(text.trim()) && !is_in_path(text.trim()) => format!(
                "neither a program in PATH nor a signal; signals are {}",
                known()
            ),
            _ => match first_path(text).filter(|path| !is_program(Path::new(path))) {
                Some(path) => format!("there is no program {path} that can be run"),
                None => return Ok(Self::Command(text.to_owned())),
            },
        };
        Err(match is_bare(text.trim()) && is_in_path(text.trim()) {
            true => format!("{why} (a program of this name is given with its path)"),
            false => why,
        })
    }
}

/// Whether a shell would look for this in `PATH`, and do nothing else with it.
fn is_bare(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
}

/// The program that a shell would run first, where it is written as a path and nothing else.
fn first_path(text: &str) -> Option<&str> {
    let first = text.split_whitespace().next()?;
    let is_plain = first.split('/').all(is_bare);
    (first.contains('/') && is_plain).then_some(first)
}

fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| is_program(&dir.join(program)))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

impl fmt::Display for OnYield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(name, _) => write!(f, "sending {name} to the command"),
            Self::Command(command) => write!(f, "running {command:?}"),
        }
    }
}

/// Has a shell run a command beside the one under the lease, with our mark too. What it prints goes
/// to standard error: standard output is the other's.
pub fn run(command: &str, environment: &[(&'static str, String)], own: Owner) -> io::Result<Pid> {
    let stdout = io::stderr().as_fd().try_clone_to_owned()?;
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    mark::put_on(&mut shell, own);
    let child = shell
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(stdout)
        .spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signals_name_is_a_signal_and_all_else_a_command() {
        for text in ["USR1", "usr1", "SIGUSR1", "sigusr1", " Usr1 "] {
            let signal = OnYield::Signal("USR1", Signal::USR1);
            assert_eq!(OnYield::parse(text), Ok(signal), "{text:?}");
        }
        for text in [
            "true",
            "term all",
            "USR3; true",
            "/bin/sh",
            "/bin/sh -c true",
            "cd /tmp; ./stop",
            "X=1 ./stop",
            "9 lives",
        ] {
            let command = OnYield::Command(text.to_owned());
            assert_eq!(OnYield::parse(text), Ok(command), "{text:?}");
        }
        for text in [
            "",
            "  ",
            "SIGUSR3",
            "SIGSTOP",
            "SIG",
            "sigusr9",
            "USR3",
            "no-such-program",
            "./no-such-program",
            "./no-such-program now",
            "/bin",
        ] {
            assert!(OnYield::parse(text).is_err(), "{text:?}");
        }
        for (text, why) in [
            ("STOP", "keeps the GPU"),
            ("stop", "keeps the GPU"),
            ("sigkill", "no time to save"),
            ("9", "by name"),
            ("segv", "no signal to be sent here"),
        ] {
            let refused = OnYield::parse(text).unwrap_err();
            assert!(refused.contains(why), "{text:?}: {refused}");
        }
    }
}
