//! The daemon as a library.
//!
//! A request comes in on a connection (`http`), passes the doors, is parsed, and goes to the
//! inbox of the `engine`, which owns the arbiter and is worked by one thread at a time. There it is
//! decided, journalled (`disk`) and applied; then the `stream` is told, and the connection gets its
//! answer. Beside that, `owners` watches the processes that leases live with, and `gpus` finds what
//! there is to hand out; `rules` follows `policy.ron`, `sharing`
//! the configuration that programs share, and `winners` promotes what is put before it. `begin` and `broker` put it together.

mod app;
mod begin;
mod broker;
mod clock;
mod config;
mod disk;
mod endpoint;
mod engine;
mod error;
mod gpus;
mod http;
mod module;
#[cfg(feature = "bench")]
pub mod noop;
mod owners;
mod process;
mod readiness;
mod ring;
mod rules;
mod sharing;
mod stream;
mod winners;

pub use broker::{Broker, serve};
pub use config::{Config, DEFAULT_ADDR};
pub use endpoint::Endpoint;
pub use error::ServeError;

/// The version that the broker says it has.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why a broker ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// TERM or INT.
    Signal,
    /// Nobody used it for as long as [`Config::until_idle`].
    Idle,
    /// Its owner in this process stopped it.
    Stopped,
}
