//! `cargo xtask torture`: the long forms of the tests, which CI has no time for.

use anyhow::Result;

use crate::build;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// How many times hot code is reloaded, one in ten poisoned.
    #[arg(long, default_value_t = 5_000)]
    reloads: u32,
}

pub fn run(options: &Options) -> Result<()> {
    let mut torture = build::cargo("test")?;
    torture
        .args(["--test", "torture", "--", "--reloads"])
        .arg(options.reloads.to_string());
    build::expect_success(&mut torture)
}
