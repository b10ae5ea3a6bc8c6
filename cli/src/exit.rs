//! How `warden` ends: the codes of `sysexits.h` where one fits, and a shell's where a command ran.

use std::process::ExitCode;

use warden::Code;
use warden_client::Error;

/// Why the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All well.
    Success,
    /// What was asked was refused, or a check failed.
    Failure,
    /// The command line makes no sense.
    Usage,
    /// No broker answers.
    NoBroker,
    /// An address or a directory is taken, or a program cannot be started.
    CannotCreate,
    /// A directory or a journal cannot be used.
    InputOutput,
    /// The command never ran: it got no lease.
    NeverRan,
    /// The lease was taken away under the command.
    LeaseLost,
    /// Not allowed.
    NoPermission,
    /// The command is no program.
    NotExecutable,
    /// There is no such command.
    NotFound,
    /// This signal ended it.
    Signal(u8),
    /// The command's own code, or one that the broker's library chose.
    Of(u8),
}

impl Exit {
    /// As a shell sees it.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 64,
            Self::NoBroker => 69,
            Self::CannotCreate => 73,
            Self::InputOutput => 74,
            Self::NeverRan => 75,
            Self::LeaseLost => 76,
            Self::NoPermission => 77,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Signal(number) => 128_u8.saturating_add(number),
            Self::Of(code) => code,
        }
    }

    /// For a call of the API that failed.
    pub fn of_error(error: &Error) -> Self {
        match error {
            Error::Unreachable { .. } | Error::Stranger { .. } | Error::Protocol { .. } => {
                Self::NoBroker
            }
            Error::Token { .. } => Self::NoPermission,
            Error::BadAddress { .. } => Self::Usage,
            Error::Problem(refusal) => Self::of_code(refusal.problem.code),
        }
    }

    fn of_code(code: Code) -> Self {
        match code {
            Code::NoToken
            | Code::BadToken
            | Code::BadHost
            | Code::BadOrigin
            | Code::NotAllowed
            | Code::ReloadDisabled => Self::NoPermission,
            Code::InvalidRequest => Self::Usage,
            Code::NotReady | Code::ShuttingDown | Code::JournalUnwritable => Self::NoBroker,
            _ => Self::Failure,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
