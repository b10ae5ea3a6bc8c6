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
//! Deliberately absent: watching. A reload happens when somebody asks for it.

mod compile;
mod elf;
mod failure;
mod generation;
mod guard;
mod loader;
pub mod manifest;
mod module;
mod pipeline;
mod reloader;
mod slot;
mod staging;

pub use compile::BuildCommand;
pub use failure::{Failure, Place, Stage};
pub use generation::{Generation, Timings};
pub use guard::{Caught, catch};
pub use module::{HotModule, RegisterError};
pub use reloader::{HotReloader, Outcome, Pending, Start, StartError, UnknownModule};
pub use slot::Status;
