//! `cargo xtask test`: everything that CI runs.

use std::process::Command;

use anyhow::Result;
use warden_tests::process::checkout;

use crate::{build, system};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// What `cargo test` is given besides: names of tests, or `-- --nocapture`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub fn run(options: &Options) -> Result<()> {
    system::ready_for_stand()?;
    if options.arguments.is_empty() {
        style()?;
    }
    // The end-to-end tests drive the programs, which are no dependency of theirs.
    build::programs()?;
    let mut tests = build::cargo("test")?;
    // Windows and brokers under test have two cores between them.
    tests.args(&options.arguments);
    build::expect_success(&mut tests)
}

/// What only some toolchains carry is checked where it is there.
fn style() -> Result<()> {
    if has_component("fmt") {
        build::expect_success(build::plain("fmt").args(["--all", "--check"]))?;
    }
    if has_component("deny") {
        build::expect_success(build::plain("deny").arg("check"))?;
    }
    if has_component("clippy") {
        let mut clippy = build::cargo("clippy")?;
        clippy.args(["--all-targets", "--quiet", "--", "-Dwarnings"]);
        build::expect_success(&mut clippy)?;
    }
    Ok(())
}

fn has_component(name: &str) -> bool {
    Command::new("cargo")
        .args([name, "--version"])
        .current_dir(checkout())
        .output()
        .is_ok_and(|answer| answer.status.success())
}
