//! The command line, parsed and in range from here on.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};
use warden::wire::PriorityName;
use warden::{GpuId, LeaseId, RequestId};

use crate::config::ConfigArgs;
use crate::quantity;
use crate::run::OnYield;

/// Hands out the GPUs of this machine in a fair, prioritised queue.
#[derive(Debug, Parser)]
#[command(
    name = "warden",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    /// Which broker is meant.
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which broker is meant; the same for every command.
#[derive(Clone, Debug, Args)]
pub struct BrokerArgs {
    /// Where the broker listens: HOST:PORT, http://HOST:PORT or unix:PATH [default: what the data
    /// directory's broker published; for serve 127.0.0.1:8080]
    #[arg(long, global = true, env = "WARDEN_ADDR", value_name = "ADDRESS")]
    pub addr: Option<String>,
    /// The broker's data directory [default: this user's]
    #[arg(long, global = true, env = "WARDEN_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// What `warden` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the broker
    Serve(ServeArgs),
    /// Show GPUs, holders and the queue
    Status(StatusArgs),
    /// Follow what happens, a line an event
    Monitor(MonitorArgs),
    /// Wait for a GPU, then run a command on it
    #[command(
        after_help = "The GPU is kept until the command and everything that it has started, \
        in the background too, is over. Exits with the command's own code, or 76 where the GPU was \
        taken away."
    )]
    Run(RunArgs),
    /// End a request: a waiter leaves the queue, a lease is given back
    Cancel(CancelArgs),
    /// End leases that are stale (owner gone, undelivered, expired); healthy ones stay
    Reset,
    /// End a lease, or all, whoever holds them
    ForceRelease(ForceReleaseArgs),
    /// Exercise a live broker as a client would, and leave nothing behind
    Check,
    /// Show and promote the configuration that programs share
    Config(ConfigArgs),
    /// Have the broker take its policy, its configuration and its own program anew
    HotReload(HotReloadArgs),
    /// Open the window
    Dashboard(DashboardArgs),
}

/// `warden serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The Unix socket, or "none" [default: warden.sock in the data directory]
    #[arg(long, value_name = "PATH|none")]
    pub socket: Option<PathBuf>,
    /// Where policy.ron, schema.ron and the like are [default: this user's configuration directory]
    #[arg(long, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
    /// The values that programs share [default: shared.env in the configuration directory]
    #[arg(long, value_name = "FILE")]
    pub env: Option<PathBuf>,
    /// Offer N simulated GPUs in place of the real ones
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub simulate_gpus: Option<u32>,
    /// End after so long without a client, waiter or lease
    #[arg(long, value_name = "DURATION", value_parser = quantity::period)]
    pub until_idle: Option<Duration>,
    /// Development mode: let new code in unless an operator decided otherwise, and become each new
    /// build of this program as it appears; loopback only
    #[arg(long)]
    pub dev: bool,
    /// Who starts this broker, in words, for those who ask
    #[arg(long, value_name = "WHO")]
    pub started_by: Option<String>,
}

/// `warden status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print the broker's answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// `warden monitor`.
#[derive(Debug, Args)]
pub struct MonitorArgs {
    /// Print the status every S seconds in place of the events
    #[arg(long, value_name = "S", value_parser = quantity::interval)]
    pub interval: Option<Duration>,
}

/// `warden run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// mic, console, default, dreamer or 0..255; smaller is more urgent
    #[arg(long, value_parser = quantity::priority)]
    pub priority: Option<PriorityName>,
    /// inference, model_load, or a name from the policy
    #[arg(long)]
    pub operation: Option<String>,
    /// How many GPUs, all at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub gpus: Option<u64>,
    /// Which GPU, by its id as in the status; may be given more than once
    #[arg(long, value_name = "ID", value_delimiter = ',', action = ArgAction::Append)]
    pub gpu_ids: Vec<GpuId>,
    /// So much memory on each GPU, shared with others [default: the whole GPU, alone]
    #[arg(long, value_name = "8GiB", value_parser = quantity::memory_mib)]
    pub vram: Option<u64>,
    /// How long to wait in the queue [default: by operation]
    #[arg(long, value_name = "120s", value_parser = quantity::duration)]
    pub timeout: Option<Duration>,
    /// How long the lease outlives this program's silence
    #[arg(long, value_name = "60s", value_parser = quantity::period)]
    pub ttl: Option<Duration>,
    /// The name that others see [default: the command's]
    #[arg(long)]
    pub name: Option<String>,
    /// When somebody more urgent asks for the GPU: a signal for the command (USR1, TERM, …), or a
    /// command that a shell runs beside it, with WARDEN_LEASE in its environment
    #[arg(long, value_name = "SIGNAL|COMMAND", value_parser = OnYield::parse)]
    pub on_yield: Option<OnYield>,
    /// Where there is no broker, run without a lease
    #[arg(long)]
    pub fallback: bool,
    /// An id of your own for this request: it keeps its place while the broker or the connection is
    /// gone, and ends with this process. One run at a time has it
    #[arg(long, value_name = "ID")]
    pub request_id: Option<RequestId>,
    /// What to run
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `warden cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The request's id, as the status shows it
    pub request: RequestId,
}

/// `warden force-release`.
#[derive(Debug, Args)]
pub struct ForceReleaseArgs {
    /// The lease's id, as the status shows it
    #[arg(conflicts_with = "all")]
    pub lease: Option<LeaseId>,
    /// Every lease
    #[arg(long)]
    pub all: bool,
    /// Refuse the waiters too
    #[arg(long, requires = "all", conflicts_with = "lease")]
    pub clear_queue: bool,
}

/// `warden hot-reload`.
#[derive(Debug, Args)]
pub struct HotReloadArgs {
    /// Only this one: program, policy or config [default: all that may be reloaded]
    #[arg(long, value_name = "NAME")]
    pub module: Option<String>,
    /// Return to the program that ran before
    #[arg(long)]
    pub back: bool,
    /// Take a program after which there is no way back, since the one that runs could not read its
    /// journal
    #[arg(long)]
    pub one_way: bool,
    /// Let new program code in from here on
    #[arg(long, group = "other", conflicts_with_all = ["module", "back", "one_way"])]
    pub enable: bool,
    /// Let no new program code in from here on
    #[arg(long, group = "other", conflicts_with_all = ["module", "back", "one_way"])]
    pub disable: bool,
    /// Reload nothing: show what there is, and how it stands
    #[arg(long, group = "other", conflicts_with_all = ["module", "back", "one_way"])]
    pub list: bool,
    /// Print the broker's answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// `warden dashboard`.
#[derive(Debug, Args)]
pub struct DashboardArgs {
    /// Options of the window, which `warden dashboard -- --help` lists
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    pub rest: Vec<OsString>,
}
