//! How a file stands.

use std::time::SystemTime;

use super::fault::Fault;

/// How a file stands, at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileState {
    /// Orders every change of every file of one [`Files`](super::Files); 0 while the live value is
    /// one that [`open`](super::Files::open) or [`open_or`](super::Files::open_or) was given.
    pub generation: u64,
    /// When the live value went live.
    pub at: SystemTime,
    /// Of the bytes of the live value, in hexadecimal; none while it is not from the file.
    pub sha256: Option<String>,
    /// Whether there is a file. One that was deleted leaves its last value live, or what
    /// [`open_or`](super::Files::open_or) was given for none.
    pub present: bool,
    /// Why the live value is not what the file holds now.
    pub fault: Option<Fault>,
    /// How changes are noticed.
    pub watching: Watching,
}

/// How changes of a file are noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watching {
    /// The system tells.
    Native,
    /// It is looked at four times a second.
    Polling {
        /// Why the system does not tell.
        why: String,
    },
    /// They are not: nothing but a forced reload takes them in.
    Off {
        /// What the program could not get from the system.
        why: String,
    },
}

/// What [`HotFile::force_reload`](super::HotFile::force_reload) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// What the file holds is live now, as this generation.
    Changed(u64),
    /// What the file holds was live already.
    Unchanged(u64),
    /// There is no file, which changes nothing: the live value stays.
    Absent,
}
