//! `cargo xtask torture`: the long forms of the tests, which CI has no time for.

mod window;

use anyhow::Result;

use crate::{build, system};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// How many times the engine reloads a library, one in ten poisoned.
    #[arg(long, default_value_t = 5_000)]
    reloads: u32,
    /// How many times the real window is given edited source, one edit in ten poisoned.
    #[arg(long, default_value_t = 200)]
    edits: u32,
    /// How long the model checker may look at each of its large scenes, in seconds.
    #[arg(long, default_value_t = 120)]
    model: u32,
    /// How many times the broker is killed while clients contend, stop, die and hang up.
    #[arg(long, default_value_t = 1_000)]
    crashes: u32,
    /// How many simulated histories the judge of those must find nothing in.
    #[arg(long, default_value_t = 1_000)]
    histories: u32,
}

pub fn run(options: &Options) -> Result<()> {
    system::ready_for_stand()?;
    build::programs()?;
    if options.edits > 0 {
        window::torture(options.edits)?;
    }
    if options.reloads > 0 {
        let mut engine = build::cargo("test")?;
        engine
            .args(["--test", "torture", "--", "--reloads"])
            .arg(options.reloads.to_string());
        build::expect_success(&mut engine)?;
    }
    if options.model > 0 {
        let mut model = build::cargo("test")?;
        model
            .args(["--test", "model", "--", "--long", "--seconds"])
            .arg(options.model.to_string());
        build::expect_success(&mut model)?;
    }
    if options.crashes > 0 {
        let mut histories = build::cargo("test")?;
        histories
            .args(["--test", "histories", "--", "--crashes"])
            .arg(options.crashes.to_string())
            .arg("--simulated")
            .arg(options.histories.to_string());
        build::expect_success(&mut histories)?;
    }
    Ok(())
}
