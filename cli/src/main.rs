//! The program `warden`: the broker, the commands that talk to it, and `warden run`.

mod args;
mod check;
mod config;
mod dashboard;
mod exit;
mod monitor;
mod orders;
mod quantity;
mod reload;
mod run;
mod serve;
mod status;
mod table;
mod words;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use clap::error::ErrorKind;
use tracing_subscriber::EnvFilter;
use warden_client::{Client, Endpoint, Find};

use crate::args::{BrokerArgs, Cli, Command};
use crate::exit::Exit;

fn main() -> ExitCode {
    warden_broker::on_trial();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error).into(),
    };
    log_to_stderr(&cli.command);
    let exit = run(cli).unwrap_or_else(|error| {
        if is_broken_pipe(&error) {
            // Who read our output has seen enough.
            return Exit::Success;
        }
        let known = error.downcast_ref::<warden_client::Error>();
        let told = known.map_or_else(|| format!("{error:#}"), words::explained);
        // Nothing is left to tell of it where standard error is gone too.
        let _ = writeln!(io::stderr(), "warden: {told}");
        known.map_or(Exit::Failure, Exit::of_error)
    });
    exit.into()
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    let broker = cli.broker;
    match cli.command {
        Command::Serve(args) => serve::serve(broker, args),
        Command::Dashboard(args) => dashboard::open(&broker, &args),
        Command::Run(args) => run::run(&broker, args),
        Command::Check => check::check(&broker),
        Command::Config(args) => config::config(&broker, args),
        Command::Status(args) => block_on(status::status(client(&broker)?, args)),
        Command::Monitor(args) => block_on(monitor::monitor(client(&broker)?, args)),
        Command::Cancel(args) => block_on(orders::cancel(client(&broker)?, args)),
        Command::HotReload(args) => block_on(reload::hot_reload(client(&broker)?, args)),
        Command::Reset => block_on(orders::reset(client(&broker)?)),
        Command::ForceRelease(args) => block_on(orders::force_release(client(&broker)?, args)),
    }
}

/// The broker that the command line means.
fn client(broker: &BrokerArgs) -> Result<Client, warden_client::Error> {
    Ok(Client::new(endpoint(broker)?))
}

/// Where that is.
fn endpoint(broker: &BrokerArgs) -> Result<Endpoint, warden_client::Error> {
    let find = Find {
        addr: broker.addr.clone().filter(|addr| !addr.is_empty()),
        data_dir: broker
            .data_dir
            .clone()
            .filter(|dir| !dir.as_os_str().is_empty()),
        ..Find::from_env()
    };
    find.endpoint()
}

/// Runs a command on this very thread, which is as long-lived as the process.
fn block_on(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(command)
}

/// Prints what clap has to say; help is a success, and its usage errors are 64 here, not 2.
fn explain(error: &clap::Error) -> Exit {
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Success,
        _ => Exit::Usage,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The broker tells what it does; the other commands only what went wrong. `WARDEN_LOG` has the
/// last word.
fn log_to_stderr(command: &Command) {
    let default = match command {
        Command::Serve(_) => "info",
        _ => "error",
    };
    let filter = EnvFilter::try_from_env("WARDEN_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal() && !no_color)
        .with_writer(io::stderr)
        .init();
}
