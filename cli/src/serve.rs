//! `warden serve`: the command line as the broker's configuration.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use warden_broker::Config;
use warden_client::{default_config_dir, default_data_dir};

use crate::args::{BrokerArgs, ServeArgs};
use crate::exit::Exit;

/// Runs a broker until it is told to end.
pub fn serve(broker: BrokerArgs, args: ServeArgs) -> anyhow::Result<Exit> {
    let no_home = "there is no home directory; name --data-dir and --config-dir";
    let data_dir = match broker.data_dir.filter(|dir| !dir.as_os_str().is_empty()) {
        Some(dir) => dir,
        None => default_data_dir().context(no_home)?,
    };
    let config_dir = match args.config_dir {
        Some(dir) => dir,
        None => default_config_dir().context(no_home)?,
    };
    let mut config = Config::new(data_dir, config_dir);
    if let Some(addr) = broker.addr.filter(|addr| !addr.is_empty()) {
        config.addr = addr;
    }
    if let Some(socket) = args.socket {
        config.socket = (socket != Path::new("none")).then_some(socket);
    }
    config.env = args.env;
    config.simulate_gpus = args.simulate_gpus;
    config.until_idle = args.until_idle;
    config.dev = args.dev;
    config.started_by = args.started_by;
    match warden_broker::serve(config) {
        Ok(_) => Ok(Exit::Success),
        Err(error) => {
            // Nothing is left to tell of it where standard error is gone too.
            let _ = writeln!(std::io::stderr(), "warden: {error}");
            Ok(Exit::Of(error.exit_code()))
        }
    }
}
