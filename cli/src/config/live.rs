//! Makes a promotion live: by the broker, where one serves the file; else whoever reads it next has
//! it.
//!
//! A broker does not tell which file it serves. It is taken to serve this one where it has the same
//! content, or complains about this very file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use warden::Code;
use warden::wire::reload::{ReloadBody, ReloadKind, ReloadModule};
use warden_client::Error;
use warden_client::blocking::Client;
use warden_reload::files::{Env, Format as _, load};
use warden_reload::promotion::{FromFile, Live, Place, Schema};

/// A broker that watches the file has it within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often one that could not be told to read the file is asked whether it has.
const RETRY: Duration = Duration::from_millis(10);

/// The broker, if one serves the file.
pub(super) struct Served {
    broker: Option<Broker>,
    file: FromFile,
}

struct Broker {
    client: Client,
    module: String,
    place: Place,
    /// It has the content that the file has, or complains about it. Where neither has any, it may
    /// serve another file that is not there.
    is_ours: bool,
}

/// What the broker says of the file.
enum Said {
    /// It is live, as this generation.
    HasIt(u64),
    /// It is not, and why.
    Refused(String),
    /// It is gone, or serves another file.
    Nothing,
}

impl Served {
    /// Asks the broker what it serves, before anything is changed.
    pub fn new(client: Option<Client>, place: &Place) -> Self {
        Self {
            broker: client.and_then(|client| Broker::of(client, place)),
            file: FromFile::new(place.env()),
        }
    }
}

impl Live for Served {
    fn make_live(&self, sha256: &str) -> Result<Option<u64>, String> {
        self.file.make_live(sha256)?;
        let Some(broker) = &self.broker else {
            return Ok(None);
        };
        match broker.take(sha256) {
            Said::HasIt(generation) => Ok(Some(generation)),
            Said::Refused(problem) => Err(problem),
            Said::Nothing => Ok(None),
        }
    }
}

impl Broker {
    /// Nothing where this broker does not answer, or serves another file.
    fn of(client: Client, place: &Place) -> Option<Self> {
        let module = config_module(&client)?;
        let complains = module.last_error.as_ref().is_some_and(|error| {
            is_same(&error.path, place.env()) || is_same(&error.path, &place.schema())
        });
        let file = load(place.env(), &Env.trusted()).ok().flatten();
        let agrees = module.sha256 == file.map(|file| file.sha256);
        (complains || agrees).then(|| Self {
            client,
            is_ours: complains || module.sha256.is_some(),
            module: module.name,
            place: place.clone(),
        })
    }

    /// Has it read the file now, and waits until it has this content.
    fn take(&self, sha256: &str) -> Said {
        let body = ReloadBody {
            module: Some(self.module.clone()),
            ..ReloadBody::default()
        };
        match self.client.reload(&body) {
            Err(Error::Problem(refusal)) if refusal.problem.code == Code::ReloadRefused => {
                return Said::Refused(refusal.problem.detail.to_string());
            }
            // It watches the file, too.
            _ => {}
        }
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            let Some(module) = config_module(&self.client) else {
                return Said::Nothing;
            };
            if module.sha256.as_deref() == Some(sha256) {
                return Said::HasIt(module.generation);
            }
            if let Some(error) = module.last_error {
                return Said::Refused(error.to_string());
            }
            // How its files stand comes without events, and is asked for within a deadline.
            thread::sleep(RETRY);
        }
        match self.is_ours {
            true => Said::Refused(format!(
                "the broker has not taken {} within {} s; its log says why",
                self.place.env().display(),
                PATIENCE.as_secs()
            )),
            false => Said::Nothing,
        }
    }
}

/// What a broker over this file shares.
pub(super) fn shared(place: &Place) -> Result<BTreeMap<String, String>, String> {
    let values = load(place.env(), &Env.trusted()).map_err(|fault| fault.to_string())?;
    let schema = load(&place.schema(), &Schema::format()).map_err(|fault| fault.to_string())?;
    let (Some(values), Some(schema)) = (values, schema) else {
        return Ok(BTreeMap::new());
    };
    let mut values = BTreeMap::clone(&values.value);
    values.retain(|key, _| schema.value.is_shared(key));
    Ok(values)
}

fn config_module(client: &Client) -> Option<ReloadModule> {
    let modules = client.hot_reload().ok()?.modules;
    modules
        .into_iter()
        .find(|module| module.kind == ReloadKind::Config)
}

fn is_same(path: &str, other: &Path) -> bool {
    let whole = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    whole(Path::new(path)) == whole(other)
}
