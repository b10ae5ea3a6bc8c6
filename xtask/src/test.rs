//! `cargo xtask test`: everything that CI runs.

use std::process::Command;

use anyhow::Result;
use warden_tests::process::checkout;

use crate::{build, system};

/// What only benchmarks ask for. It takes no dependency along, and what is only checked is built
/// beside what runs: so no feature of a shared library changes.
const BENCH_FEATURES: &str = "--features=warden/workload,warden-broker/bench";

/// Without it, a test that needs a name space fails where it cannot have one.
const WITHOUT_NAMESPACES: &str = "WARDEN_TEST_WITHOUT_NAMESPACES";

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
    tests.args(&options.arguments);
    let left_out = without_namespaces();
    if left_out.is_some() {
        tests.env(WITHOUT_NAMESPACES, "1");
    }
    build::expect_success(&mut tests)?;
    if let Some(why) = left_out {
        println!(
            "LEFT OUT, since this machine allows no name spaces to this user: full disks, and \
                  numbers of processes that come again ({why})"
        );
    }
    Ok(())
}

/// Why this machine has no name spaces for a test, where it has none: a container or a distribution
/// may keep them from its users.
fn without_namespaces() -> Option<String> {
    let args = ["-r", "-m", "-p", "-f", "--mount-proc", "true"];
    match Command::new("unshare").args(args).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("there is no unshare: {error}")),
    }
}

/// Whether everything compiles, the benchmarks included; and what only some toolchains carry, where
/// it is there.
fn style() -> Result<()> {
    if has_component("fmt") {
        build::expect_success(build::plain("fmt").args(["--all", "--check"]))?;
    }
    if has_component("deny") {
        build::expect_success(build::plain("deny").arg("check"))?;
    }
    let has_clippy = has_component("clippy");
    let mut check = build::cargo(if has_clippy { "clippy" } else { "check" })?;
    check.args(["--all-targets", "--quiet", BENCH_FEATURES]);
    if has_clippy {
        check.args(["--", "-Dwarnings"]);
    }
    build::expect_success(&mut check)
}

fn has_component(name: &str) -> bool {
    Command::new("cargo")
        .args([name, "--version"])
        .current_dir(checkout())
        .output()
        .is_ok_and(|answer| answer.status.success())
}
