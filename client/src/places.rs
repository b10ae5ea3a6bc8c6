//! Where Warden keeps what it keeps, where nobody says otherwise.

use std::path::PathBuf;

use etcetera::{AppStrategy, AppStrategyArgs, HomeDirError, choose_app_strategy};

/// The address that a broker listens on, where none is given.
pub const DEFAULT_ADDR: &str = "127.0.0.1:8080";

/// The broker's data directory: the platform's place for state, else for data, of one user.
///
/// # Errors
/// Where the user has no home directory.
pub fn default_data_dir() -> Result<PathBuf, HomeDirError> {
    let places = places()?;
    Ok(places.state_dir().unwrap_or_else(|| places.data_dir()))
}

/// The configuration of window, broker and program: the platform's place for it.
///
/// # Errors
/// Where the user has no home directory.
pub fn default_config_dir() -> Result<PathBuf, HomeDirError> {
    Ok(places()?.config_dir())
}

fn places() -> Result<impl AppStrategy, HomeDirError> {
    choose_app_strategy(AppStrategyArgs {
        top_level_domain: "dev".to_owned(),
        author: "Warden".to_owned(),
        app_name: "warden".to_owned(),
    })
}
