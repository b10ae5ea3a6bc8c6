//! The command line of `warden config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `warden config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Where shared.env, schema.ron, checks.ron, winners/ and history/ are [default: this user's
    /// configuration directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
    /// The file of values [default: shared.env in the configuration directory]
    #[arg(long, global = true, value_name = "FILE")]
    pub env: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Show values too, of keys that are not shared as well
    #[arg(long, global = true)]
    pub show: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What `warden config` can do.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show what is live: of the keys that the schema shares, those named, or all
    Get(GetArgs),
    /// Promote values: checked against schema.ron, written at once, acknowledged, kept in the history
    Set(SetArgs),
    /// Promote what a winner's file holds
    Promote {
        /// A JSON file: {"id": …, "values": {KEY: value}, "check"?: NAME}
        #[arg(value_name = "WINNER.json")]
        winner: PathBuf,
    },
    /// List the promotions
    History,
    /// Show which keys a promotion changed, or which have changed between two
    Diff(DiffArgs),
    /// Make every key that was promoted since what it was after this promotion; 0 for before all
    Rollback {
        /// As the history numbers it
        #[arg(value_name = "N")]
        number: u64,
    },
    /// Follow the broker's changes, a line each
    Watch {
        /// Only these keys
        #[arg(value_name = "KEY")]
        keys: Vec<String>,
    },
}

/// `warden config get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Only these
    #[arg(value_name = "KEY")]
    pub keys: Vec<String>,
}

/// `warden config set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// What is to be what
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = key_value)]
    pub values: Vec<KeyValue>,
    /// A command of checks.ron; where it fails, all is put back
    #[arg(long, value_name = "NAME")]
    pub check: Option<String>,
}

/// `warden config diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A promotion, as the history numbers it
    #[arg(value_name = "N")]
    pub number: u64,
    /// A later one: show what has changed from N to M
    #[arg(value_name = "M")]
    pub to: Option<u64>,
}

/// One key and its new value.
#[derive(Clone, Debug)]
pub struct KeyValue {
    pub key: String,
    pub value: String,
}

fn key_value(text: &str) -> Result<KeyValue, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(KeyValue {
            key: key.to_owned(),
            value: value.to_owned(),
        }),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}
