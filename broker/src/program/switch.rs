//! Whether new program code may be taken: an operator's decision, which stays until the next one, or
//! else off unless the broker runs in development mode and only this host reaches it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use warden::wire::reload::EnabledBody;

use crate::config::Config;
use crate::disk::ballast;
use crate::disk::directory::replace;

/// The file in the data directory with what an operator decided.
const FILE: &str = "hot-reload";

/// The switch of one broker.
#[derive(Debug)]
pub(crate) struct Switch {
    data_dir: PathBuf,
    unless_decided: bool,
    decided: Mutex<Option<bool>>,
}

impl Switch {
    /// As it was left. What cannot be read counts as off.
    pub(crate) fn open(config: &Config, data_dir: &Path) -> Self {
        let decided = match fs::read(data_dir.join(FILE)) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(EnabledBody { enabled }) => Some(enabled),
                Err(error) => {
                    tracing::warn!(
                        %error,
                        path = %data_dir.join(FILE).display(),
                        "whether new code may be taken makes no sense there: it may not; say so anew \
                         with `warden hot-reload --enable` or `--disable`, or remove the file"
                    );
                    Some(false)
                }
            },
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::error!(%error, "whether new code may be taken cannot be read: it may not");
                Some(false)
            }
        };
        let is_local = config
            .listen_addr()
            .is_ok_and(|addr| addr.ip().is_loopback());
        Self {
            data_dir: data_dir.to_owned(),
            unless_decided: config.dev && is_local,
            decided: Mutex::new(decided),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        let decided = *self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        decided.unwrap_or(self.unless_decided)
    }

    /// Decides. That it is on holds once it is on disk; that it is off holds at once, and also where
    /// it cannot be written: until the next start then.
    pub(crate) fn set(&self, enabled: bool) -> io::Result<()> {
        let mut decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        if !enabled {
            *decided = Some(false);
        }
        let text = serde_json::to_vec(&EnabledBody { enabled })?;
        let written = match enabled {
            true => replace(&self.data_dir, FILE, &text),
            false => ballast::replace(&self.data_dir, FILE, &text),
        };
        if let (Err(error), false) = (&written, enabled) {
            tracing::error!(
                %error,
                "an operator switched new code off, which holds; but that cannot be written, and the \
                 next start will not know of it"
            );
        }
        written?;
        *decided = Some(enabled);
        tracing::info!(enabled, "an operator decided whether new code may be taken");
        Ok(())
    }
}
