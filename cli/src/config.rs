//! `warden config`: the configuration that programs share, its promotions, and the way back.
//!
//! Values are shown by `get` and `watch`, and of those only what the schema shares; everything else
//! shows keys alone, unless `--show` asks for more.

mod args;
mod live;
mod show;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use warden::wire::reload::RefusedFile;
use warden_client::blocking::Client;
use warden_client::default_config_dir;
use warden_reload::files::{Env, Format as _, load};
use warden_reload::promotion::{Ack, Outcome, Place, PromotionError, Promotions, history};

pub use args::ConfigArgs;
use args::{ConfigCommand, DiffArgs, GetArgs, KeyValue, SetArgs};
use live::Served;

use crate::args::BrokerArgs;
use crate::exit::Exit;
use crate::status::print;

/// How long another promotion is waited for: a check may take its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs one of its commands.
pub fn config(broker: &BrokerArgs, args: ConfigArgs) -> anyhow::Result<Exit> {
    let config_dir = match args.config_dir {
        Some(dir) => dir,
        None => default_config_dir().context("there is no home directory; name --config-dir")?,
    };
    let config = Config {
        broker: broker.clone(),
        place: Place::new(config_dir, args.env),
        json: args.json,
        show: args.show,
    };
    match args.command {
        ConfigCommand::Get(get) => config.get(&get),
        ConfigCommand::Set(set) => config.set(set),
        ConfigCommand::Promote { winner } => {
            config.promotion(|promotions, live| promotions.promote(&winner, live))
        }
        ConfigCommand::Rollback { number } => config.promotion(|promotions, live| {
            promotions.recover(live)?;
            let edited = promotions.edited_since(number)?;
            if !edited.is_empty() {
                let keys = edited.join(", ");
                eprintln!(
                    "warden: {keys}: edited by hand since the last promotion; that is undone too"
                );
            }
            promotions.rollback(number, live)
        }),
        ConfigCommand::History => config.history(),
        ConfigCommand::Diff(diff) => config.diff(&diff),
        ConfigCommand::Watch { keys } => {
            crate::block_on(watch::watch(crate::client(broker)?, keys, args.json))
        }
    }
}

/// What all commands go by.
struct Config {
    broker: BrokerArgs,
    place: Place,
    json: bool,
    show: bool,
}

/// Values, and where they are from.
struct Values {
    /// `broker`, or `file` where none answers.
    source: &'static str,
    generation: Option<u64>,
    at: Option<String>,
    values: BTreeMap<String, String>,
    /// Files whose newest content is not live, as the broker says.
    refused: Vec<RefusedFile>,
}

impl Config {
    fn get(&self, args: &GetArgs) -> anyhow::Result<Exit> {
        let mut found = self.values()?;
        let missing: Vec<&String> = args
            .keys
            .iter()
            .filter(|key| !found.values.contains_key(*key))
            .collect();
        let exit = match missing.is_empty() {
            true => Exit::Success,
            false => {
                for key in missing {
                    eprintln!("warden: {key} is not set, or not shared (--show reads the file)");
                }
                Exit::Failure
            }
        };
        if !args.keys.is_empty() {
            found.values.retain(|key, _| args.keys.contains(key));
        }
        print(&match self.json {
            true => show::values_json(&found)?,
            false => show::values(&found.values),
        })?;
        for file in &found.refused {
            eprintln!("warden: {file}");
        }
        Ok(exit)
    }

    /// As the broker has them live; where none answers, or more is to be shown than leaves it, as
    /// the file has them.
    fn values(&self) -> anyhow::Result<Values> {
        if !self.show
            && let Some(client) = self.client()?
        {
            match client.config() {
                Ok(live) => {
                    return Ok(Values {
                        source: "broker",
                        generation: Some(live.generation),
                        at: Some(live.at),
                        values: live.values,
                        refused: client.status()?.refused_files,
                    });
                }
                Err(error) if error.is_away() => {
                    eprintln!("warden: {error}; this is what the file says");
                }
                Err(error) => return Err(error.into()),
            }
        }
        let values = match self.show {
            true => load(self.place.env(), &Env.trusted())?
                .map(|loaded| BTreeMap::clone(&loaded.value))
                .unwrap_or_default(),
            false => live::shared(&self.place).map_err(anyhow::Error::msg)?,
        };
        Ok(Values {
            source: "file",
            generation: None,
            at: None,
            values,
            refused: Vec::new(),
        })
    }

    fn set(&self, args: SetArgs) -> anyhow::Result<Exit> {
        let mut values = BTreeMap::new();
        for KeyValue { key, value } in args.values {
            if values.insert(key.clone(), value).is_some() {
                eprintln!("warden: {key} is given twice; which one is meant?");
                return Ok(Exit::Usage);
            }
        }
        self.promotion(|promotions, live| promotions.set(values, args.check, live))
    }

    /// Runs a promotion, and prints what came of it.
    fn promotion(
        &self,
        promote: impl FnOnce(&mut Promotions, &Served) -> Result<Ack, PromotionError>,
    ) -> anyhow::Result<Exit> {
        let mut promotions = Promotions::open(self.place.clone(), PATIENCE)?;
        let live = Served::new(self.client()?, &self.place);
        let ack = promote(&mut promotions, &live)?;
        let place = show::place_in(&history(&self.place)?, self.place.env(), &ack);
        print(&match self.json {
            true => show::ack_json(&ack, place)?,
            false => show::ack(&ack, place),
        })?;
        Ok(match ack.outcome {
            Outcome::Live => Exit::Success,
            Outcome::Refused | Outcome::PutBack => Exit::Failure,
        })
    }

    fn history(&self) -> anyhow::Result<Exit> {
        let entries = history(&self.place)?;
        print(&match self.json {
            true => show::history_json(&entries, self.show)?,
            false => show::history(&entries, self.show),
        })?;
        Ok(Exit::Success)
    }

    fn diff(&self, args: &DiffArgs) -> anyhow::Result<Exit> {
        let entries = history(&self.place)?;
        let first = entries.first().map_or(0, |entry| entry.number);
        let last = entries.last().map_or(0, |entry| entry.number);
        let to = args.to.unwrap_or(args.number);
        let from = match args.to {
            // What this one changed.
            None => args.number.saturating_sub(1),
            Some(_) => args.number,
        };
        for number in [args.number, to] {
            let is_start = number == 0 && args.to.is_some();
            if !is_start && !entries.iter().any(|entry| entry.number == number) {
                let unknown = PromotionError::Unknown {
                    number,
                    first,
                    last,
                };
                return Err(unknown.into());
            }
        }
        let changes = show::changes_between(&entries, from, to);
        print(&match self.json {
            true => show::changes_json(&changes, self.show)?,
            false => show::changes(&changes, self.show),
        })?;
        Ok(Exit::Success)
    }

    /// The broker, where one can be sought at all.
    fn client(&self) -> anyhow::Result<Option<Client>> {
        match crate::endpoint(&self.broker) {
            Ok(endpoint) => Ok(Some(Client::new(endpoint)?)),
            Err(error) if error.is_away() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
