//! What a broker can take anew while it runs, `/v1/hot-reload`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The answer of `GET /v1/hot-reload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotReload {
    /// Whether program code may be reloaded. Files of rules go live either way.
    pub enabled: bool,
    /// Everything that can be reloaded.
    pub modules: Vec<ReloadModule>,
}

/// One thing that can be reloaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadModule {
    /// Its name, as a reload asks for it.
    pub name: String,
    /// What it is.
    pub kind: ReloadKind,
    /// How it stands.
    pub state: ReloadState,
    /// The number of what is live: grows with each that goes live while this broker runs.
    pub generation: u64,
    /// Of the file that is live; nothing where there is none, and the defaults hold.
    pub sha256: Option<String>,
    /// Since when it is live, RFC 3339.
    pub since: String,
    /// Why the file as it lies there now is not live.
    pub last_error: Option<ReloadError>,
    /// What is known of the broker's own code beside that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Box<ProgramFiles>>,
}

/// The broker's own code: what runs, and what could.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramFiles {
    /// The version of what runs.
    pub version: String,
    /// Where a reload takes the program from.
    pub path: String,
    /// Of what lies there, where it is not what runs.
    pub newer_sha256: Option<String>,
    /// What `back` would return to.
    pub before: Option<ProgramBefore>,
}

/// The program that ran before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramBefore {
    /// Of its file.
    pub sha256: String,
    /// As it calls itself.
    pub version: String,
}

/// What a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadKind {
    /// The broker's own code.
    Program,
    /// The rules.
    Policy,
    /// Values that programs share.
    Config,
    /// Pages and what is on them.
    Assets,
}

/// How a module stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadState {
    /// What lies there is live.
    Live,
    /// What lies there was refused; the last good one is live.
    Refused,
    /// It is not reloaded.
    Disabled,
}

/// Why a file was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadError {
    /// What sort of fault, by a stable name: `syntax`, `invalid`, `untrusted`, …; of a program
    /// `unreadable`, `untrusted`, `missing`, `copy`, `check`, `one_way` or `start`.
    pub stage: String,
    /// Which file.
    pub path: String,
    /// From 1, where there is a line to name.
    pub line: Option<u32>,
    /// From 1, in characters.
    pub column: Option<u32>,
    /// What is wrong, and what to do about it.
    pub message: String,
}

/// `PATH:LINE:COLUMN: message`, as editors and terminals make a link of it.
impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path)?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
            if let Some(column) = self.column {
                write!(f, "{column}:")?;
            }
        }
        write!(f, " {}", self.message)
    }
}

/// A file of configuration whose newest content is not live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedFile {
    /// What is wrong, and where.
    #[serde(flatten)]
    pub error: ReloadError,
    /// What holds until it is mended, in words.
    pub holds: String,
}

impl fmt::Display for RefusedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.error, self.holds)
    }
}

/// The body of `POST /v1/hot-reload`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReloadBody {
    /// Which one. Default all that may be reloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Of the program: return to the one before, rather than take what lies on disk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub back: bool,
    /// Of the program: take it though the running one could not read the journal that it writes, so
    /// that there is no way back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_way: bool,
}

/// The body of `PUT /v1/hot-reload/enabled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnabledBody {
    /// Whether program code may be reloaded.
    pub enabled: bool,
}

/// The answer of `POST /v1/hot-reload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// One for each that was asked for.
    pub results: Vec<ReloadResult>,
}

/// What a reload came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadResult {
    /// Which module.
    pub name: String,
    /// Whether it is another one now.
    pub outcome: ReloadOutcome,
    /// What is live.
    pub generation: u64,
}

/// Whether a reload changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadOutcome {
    /// Another one is live.
    Reloaded,
    /// It is what was live before.
    Unchanged,
}
