//! Hot reload of code. Serves any program: knows nothing of GPUs, of egui, or of what it reloads.
//!
//! A hot module is a dynamic library. A new build of it, a *generation*, goes through the stages of
//! [`Stage`], all but the swap on a thread of its own; a failure at any of them leaves the running
//! generation in place and says what happened. Invariants:
//!
//! - Nothing of a file is executed before [`manifest`] has compared what it was built with against
//!   what the host was built with, byte for byte out of the file.
//! - A library that was once mapped is never unmapped: values of the host's may point into it.
//! - Pointers are published after every symbol was found, so rolling back is taking the former
//!   pointers again.
//!
//! - What changes which generation runs happens on the host's thread, between two frames.
//!
//! Deliberately absent: reloading by itself, unless somebody asks for [`Watch::Reload`].

mod building;
mod check;
mod child;
mod compile;
mod definition;
mod diagnostic;
mod elf;
mod failure;
pub mod files;
mod generation;
mod guard;
pub mod keys;
mod live;
mod loader;
pub mod manifest;
mod module;
mod orders;
mod pipeline;
mod process;
mod progress;
pub mod promotion;
mod rebuild;
mod record;
mod rehearse;
mod reloader;
mod revision;
pub mod save;
mod schema;
mod slot;
mod staging;
mod state;
mod status;
mod tokens;
mod trial;
mod understudy;
mod watch;

pub use building::{BuildEnd, Building};
pub use child::Child;
pub use compile::BuildCommand;
pub use diagnostic::{Diagnostic, Level};
pub use failure::{Failure, Place, Stage};
pub use generation::{Generation, HistoryRow, Provenance, Rehearsed, Standing, Timings};
pub use guard::{Caught, call, catch};
pub use live::Called;
pub use module::{HotModule, Probation, RegisterError};
pub use orders::{Outcome, Pending, UnknownModule};
pub use rehearse::{Candidate, Rehearse};
pub use reloader::{HotReloader, Start, StartError};
pub use state::{CapturedState, MemoryCell, Snapshot, StateError};
pub use status::{Moved, OnProbation, Progress, Status, Watch};
pub use trial::{RollBackError, RolledBack};
pub use understudy::{RehearseError, rehearse_child};
pub use warden_hot::{Change, Memory, MemoryError, MemoryTable, Migration, Panicked};
pub use watch::WatchError;
