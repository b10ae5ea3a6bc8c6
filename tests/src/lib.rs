//! The stand for tests, pictures and benchmarks of the built programs: everything here drives
//! Warden from outside, as a person or another program would.
//!
//! Whatever a value here starts it ends when dropped, by process id.

pub mod broker;
pub mod display;
pub mod edit;
pub mod picture;
pub mod process;
pub mod window;

pub use broker::{Broker, Setting};
pub use display::Display;
pub use edit::Edit;
pub use picture::Picture;
pub use process::{Process, program};
pub use window::Window;
