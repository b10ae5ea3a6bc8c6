//! `cargo xtask bench`: what was measured, beside the budgets of the design.

use anyhow::Result;

#[derive(Debug, clap::Args)]
pub struct Options {}

pub fn run(_options: &Options) -> Result<()> {
    Ok(())
}
