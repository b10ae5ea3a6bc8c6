//! The daemon as a library.

mod config;
mod endpoint;
mod error;

pub use config::{Config, DEFAULT_ADDR};
pub use endpoint::Endpoint;
pub use error::ServeError;

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

/// Runs a broker until TERM, INT or idleness: blocks the calling thread, on runtime threads of its
/// own. Prints one line of JSON on standard output when it is ready, the same as `endpoint` holds.
///
/// # Errors
/// [`ServeError`], with the exit code that it maps to.
pub fn serve(config: Config) -> Result<Outcome, ServeError> {
    let addr = config.listen_addr()?;
    Err(ServeError::CannotListen {
        address: addr.to_string(),
        source: std::io::ErrorKind::Unsupported.into(),
    })
}
