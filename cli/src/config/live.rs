//! Makes a promotion live: by the broker, where one serves the file; else whoever reads it next has
//! it.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use warden::Code;
use warden::wire::reload::{ReloadKind, ReloadModule};
use warden_client::Error;
use warden_client::blocking::Client;
use warden_reload::files::{Env, Format as _, load};
use warden_reload::promotion::{FromFile, Live};

/// A broker that watches the file has it within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// It has no event that tells which content is live.
const RETRY: Duration = Duration::from_millis(10);

/// The broker, if there is one, and whether the file is what it serves.
pub(super) struct Served {
    broker: Option<Broker>,
    file: FromFile,
}

struct Broker {
    client: Client,
    module: String,
    /// It has the very content that the file has. Where neither has any, it may be another's.
    is_ours: bool,
    env: PathBuf,
}

/// What the broker says of the file.
enum Said {
    HasIt(u64),
    Refused(String),
    /// It is gone, or too old to know of such files.
    Nothing,
}

impl Served {
    /// Asks the broker what it serves, before anything is changed.
    pub fn new(client: Option<Client>, env: &Path) -> Self {
        Self {
            broker: client.and_then(|client| Broker::of(client, env)),
            file: FromFile::new(env),
        }
    }
}

impl Live for Served {
    fn make_live(&self, sha256: &str) -> Result<Option<u64>, String> {
        let Some(broker) = &self.broker else {
            return self.file.make_live(sha256);
        };
        match broker.take(sha256) {
            Said::HasIt(generation) => Ok(Some(generation)),
            Said::Refused(problem) => Err(problem),
            Said::Nothing => self.file.make_live(sha256),
        }
    }
}

impl Broker {
    /// Nothing where this broker does not answer, or serves another file.
    fn of(client: Client, env: &Path) -> Option<Self> {
        let module = config_module(&client)?;
        let file = load(env, &Env.trusted()).ok().flatten();
        let sha256 = file.map(|file| file.sha256);
        (module.sha256 == sha256).then(|| Self {
            client,
            module: module.name,
            is_ours: sha256.is_some(),
            env: env.to_owned(),
        })
    }

    /// Has it read the file now, and waits until it has this content.
    fn take(&self, sha256: &str) -> Said {
        match self.client.reload(Some(&self.module)) {
            Err(Error::Problem(refusal)) if refusal.problem.code == Code::ReloadRefused => {
                return Said::Refused(refusal.problem.detail.to_string());
            }
            // One who may not ask for it can still wait for it.
            _ => {}
        }
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            let Some(module) = config_module(&self.client) else {
                return Said::Nothing;
            };
            if module.sha256.as_deref() == Some(sha256) {
                let config = self.client.config();
                return config.map_or(Said::Nothing, |config| Said::HasIt(config.generation));
            }
            if let Some(error) = module.last_error {
                return Said::Refused(error.message);
            }
            thread::sleep(RETRY);
        }
        match self.is_ours {
            true => Said::Refused(format!(
                "the broker has not taken {} within {} s; its log says why",
                super::name(&self.env).display(),
                PATIENCE.as_secs()
            )),
            false => Said::Nothing,
        }
    }
}

fn config_module(client: &Client) -> Option<ReloadModule> {
    let modules = client.hot_reload().ok()?.modules.into_iter();
    modules
        .into_iter()
        .find(|module| module.kind == ReloadKind::Config)
}
