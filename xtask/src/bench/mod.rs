//! `cargo xtask bench`: what was measured, beside the budgets of the design.
//!
//! Machines are noisy: figures are medians or percentiles of many, and where a budget is a ratio,
//! both sides were measured in turns in the same run.

mod arbiter;
mod files;
mod frame;
mod http;
mod idle;
mod peers;
mod plain;
mod reload;
mod replay;
mod subsecond;
mod table;
mod theme;
mod trace;

use anyhow::Result;
use clap::ValueEnum;

use self::table::Figure;
use crate::{build, system};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// What to measure; everything where nothing is named.
    #[arg(value_enum)]
    what: Vec<What>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Decide and apply, at 1,000 to 100,000 waiters.
    Arbiter,
    /// Lock and unlock over loopback, beside a route that does nothing.
    Http,
    /// How soon a killed broker is back.
    Replay,
    /// A frame at 10,000 waiters, and what the delegation costs.
    Frame,
    /// From an edit of a render function to its first frame.
    Reload,
    /// From a save to a live value, beside what others offer.
    Files,
    /// What the window costs while nothing happens.
    Idle,
    /// A day of the seeds' programs under their old rules and under ours, in virtual time.
    Trace,
    /// Locks beside those of etcd, Redis, PostgreSQL and the kernel.
    Peers,
}

pub fn run(options: &Options) -> Result<()> {
    let what = match options.what.as_slice() {
        [] => What::value_variants(),
        named => named,
    };
    if what
        .iter()
        .any(|what| matches!(what, What::Reload | What::Idle | What::Frame | What::Files))
    {
        system::ready_for_stand()?;
    }
    if what.contains(&What::Peers) {
        system::ready_for_peers()?;
    }
    if what.contains(&What::Reload) || what.contains(&What::Files) {
        build::programs()?;
    }
    let mut figures: Vec<Figure> = Vec::new();
    for what in what {
        figures.extend(match what {
            What::Arbiter => arbiter::measure()?,
            What::Http => http::measure()?,
            What::Replay => replay::measure()?,
            What::Frame => frame::measure()?,
            What::Reload => [reload::measure()?, plain::measure()?, subsecond::measure()?].concat(),
            What::Files => [files::measure()?, theme::measure()?].concat(),
            What::Idle => idle::measure()?,
            What::Trace => trace::measure()?,
            What::Peers => peers::measure()?,
        });
    }
    table::print(&figures);
    Ok(())
}
