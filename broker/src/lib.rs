//! The daemon as a library.
//!
//! A request comes in on a connection (`http`), passes the doors, is parsed, and goes to the
//! inbox of the `engine`, which owns the arbiter and is worked by one thread at a time. There it is
//! decided, journalled (`disk`) and applied; then the `stream` is told, and the connection gets its
//! answer. Beside that, `owners` watches the processes that leases live with and sees to
//! what they leave, by the `tree` of all processes, and `gpus` finds what
//! there is to hand out; `rules` follows `policy.ron`, `sharing`
//! the configuration that programs share, and `winners` promotes what is put before it. `program` is
//! the broker's own code, and how it becomes another's. `begin`, `broker` and `serve` put it together.

mod app;
mod begin;
mod broker;
mod clock;
mod config;
mod disk;
mod endpoint;
mod engine;
mod error;
mod files;
mod gpus;
mod http;
mod life;
mod module;
#[cfg(feature = "bench")]
pub mod noop;
mod notices;
mod owners;
mod process;
mod program;
mod readiness;
mod reloads;
mod ring;
mod rules;
mod serve;
mod sharing;
mod stream;
mod sum;
mod taken;
pub mod tree;
mod winners;

pub use broker::Broker;
pub use config::{Config, DEFAULT_ADDR};
pub use endpoint::Endpoint;
pub use error::ServeError;
pub use serve::{on_trial, serve};

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
