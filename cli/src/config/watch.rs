//! `warden config watch`: the broker's changes, as they go live.

use jiff::Zoned;
use warden::wire::config::{ConfigChange, LiveConfig};
use warden_client::{Client, ConfigItem};
use warden_reload::files::quoted;

use crate::exit::Exit;
use crate::status::print;

/// Prints until it is interrupted. A broker that was never there is an error; one that goes away is
/// waited for.
pub(super) async fn watch(client: Client, keys: Vec<String>, json: bool) -> anyhow::Result<Exit> {
    let mut events = client.config_events();
    let mut was_there = false;
    let is_meant = |key: &String| keys.is_empty() || keys.contains(key);
    loop {
        let text = match events.next().await {
            ConfigItem::Connected { address } => {
                was_there = true;
                note(json, &format!("connected to {address}"))
            }
            ConfigItem::Config(mut config) => {
                config.values.retain(|key, _| is_meant(key));
                match json {
                    true => serde_json::to_string(&config)? + "\n",
                    false => all(&config),
                }
            }
            ConfigItem::Changed(mut change) => {
                change.changed.retain(|key, _| is_meant(key));
                match (change.changed.is_empty(), json) {
                    (true, _) => String::new(),
                    (false, true) => serde_json::to_string(&change)? + "\n",
                    (false, false) => changed(&change),
                }
            }
            ConfigItem::Disconnected { error } if was_there => note(json, &error.to_string()),
            ConfigItem::Disconnected { error } => return Err(error.into()),
        };
        print(&text)?;
    }
}

/// What is no value: a line for people; for programs nothing.
fn note(json: bool, text: &str) -> String {
    match json {
        true => String::new(),
        false => format!("{}  {text}\n", clock()),
    }
}

fn all(config: &LiveConfig) -> String {
    let generation = config.generation;
    let mut text = format!("{}  {generation} live since {}\n", clock(), config.at);
    for (key, value) in &config.values {
        text.push_str(&format!(
            "{}  {generation} {key}={}\n",
            clock(),
            quoted(value)
        ));
    }
    text
}

fn changed(change: &ConfigChange) -> String {
    let written = |value: &Option<String>| match value {
        Some(value) => quoted(value),
        None => "nothing".to_owned(),
    };
    let generation = change.generation;
    let mut text = String::new();
    for (key, values) in &change.changed {
        let was = written(&values.old);
        let now = match (&values.old, &values.new) {
            (_, Some(value)) => format!("{key}={} (was {was})", quoted(value)),
            (Some(_), None) => format!("{key} is gone (was {was})"),
            // Its last value is not told any more either.
            (None, None) => format!("{key} is shared no more"),
        };
        text.push_str(&format!("{}  {generation} {now}\n", clock()));
    }
    text
}

fn clock() -> impl std::fmt::Display {
    Zoned::now().strftime("%H:%M:%S%.3f")
}
