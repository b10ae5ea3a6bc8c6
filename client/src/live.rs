//! The configuration that programs share, as the broker has it live: all of it, then every change.

use std::sync::Arc;
use std::time::Duration;

use warden::wire::config::{ConfigChange, ConfigEvent, LiveConfig};

use crate::connect::Transport;
use crate::endpoint::Address;
use crate::error::Error;
use crate::follow::{Follower, Item};
use crate::sse::RawEvent;

/// What a follower of the configuration is told, in order.
#[derive(Clone, Debug)]
pub enum ConfigItem {
    /// A broker answered. Either everything follows or, on a resume, the changes since the last one
    /// that was seen: what was folded until now stands.
    Connected {
        /// Where it answered.
        address: Address,
    },
    /// Everything: whatever was folded before is void.
    Config(LiveConfig),
    /// What went live together, one generation after the item before it.
    Changed(ConfigChange),
    /// The broker is gone, or cannot be reached or understood. Said again only when the reason is
    /// another one; what was live stays so, and the stream goes on trying.
    Disconnected {
        /// Why.
        error: Error,
    },
}

/// The live configuration and its changes, for ever: [`ConfigEvents::next`] never ends.
#[derive(Debug)]
pub struct ConfigEvents(Follower<ConfigItem>);

impl ConfigEvents {
    pub(crate) fn new(transport: Arc<Transport>) -> Self {
        Self(Follower::new(transport))
    }

    /// The next item. May be dropped and called again without losing any.
    pub async fn next(&mut self) -> ConfigItem {
        self.0.next().await
    }
}

impl Item for ConfigItem {
    const PATH: &'static str = "/v1/config/events";

    fn connected(address: Address, _: Duration) -> Self {
        Self::Connected { address }
    }

    fn disconnected(error: Error) -> Self {
        Self::Disconnected { error }
    }

    fn read(raw: &RawEvent, last: Option<u64>) -> Result<(u64, Self), String> {
        let name = &raw.name;
        let id: u64 = raw
            .id
            .parse()
            .map_err(|_| format!("the id of a {name} event is no generation: {:?}", raw.id))?;
        let mut json = serde_json::Deserializer::from_slice(&raw.data);
        let event = ConfigEvent::parse(name, &mut json)
            .map_err(|source| format!("event {id} ({name}) cannot be read: {source}"))?
            .ok_or_else(|| format!("event {id} is of a kind not known here: {name}"))?;
        if event.generation() != id {
            let generation = event.generation();
            return Err(format!("event {id} ({name}) is of generation {generation}"));
        }
        match event {
            ConfigEvent::Config(config) => Ok((id, Self::Config(config))),
            ConfigEvent::Changed(_) if last.and_then(|last| last.checked_add(1)) != Some(id) => {
                Err(format!("event {id} does not follow {last:?}"))
            }
            ConfigEvent::Changed(change) => Ok((id, Self::Changed(change))),
        }
    }
}
