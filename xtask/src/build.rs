//! How everything is built: one package selection, one set of flags, one environment.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use warden_tests::process::checkout;

/// The packages that run, test and reload agree on. xtask itself is left out: it is running.
const SELECTION: [&str; 3] = ["--workspace", "--exclude", "xtask"];

/// What the window loads and does not link: plain library packages, built as cdylibs.
const HOT_MODULES: [&str; 2] = ["ui_hot", "palette"];

/// Where benchmarks are built: for release, with no flags at all.
const BENCH_TARGET: &str = "target-bench";

/// Flags from outside would build another toolkit than the one that a running window has mapped.
const FOREIGN_FLAGS: [&str; 3] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
];

/// A cargo command on the whole product, in the checkout.
///
/// # Errors
/// When flags are inherited from the environment.
pub fn cargo(subcommand: &str) -> Result<Command> {
    refuse_foreign_flags()?;
    let mut command = plain(subcommand);
    command.args(SELECTION).arg("--locked");
    Ok(command)
}

/// The cargo that started xtask, in the checkout, on nothing in particular.
pub fn plain(subcommand: &str) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.arg(subcommand).current_dir(checkout());
    command
}

/// Runs a benchmark of one package, built for release with no flags at all in a folder of its own,
/// and reads what it prints: one JSON object a line.
///
/// # Errors
/// When it cannot be built or run, or prints nothing.
pub fn bench(package: &str, name: &str, feature: &str) -> Result<Vec<Value>> {
    refuse_foreign_flags()?;
    let mut command = plain("bench");
    command
        .args([
            "--locked",
            "--package",
            package,
            "--bench",
            name,
            "--features",
            feature,
        ])
        .args(["--target-dir", BENCH_TARGET])
        .env("RUSTFLAGS", "")
        .stderr(Stdio::inherit());
    let line = shown(&command);
    let output = command
        .output()
        .with_context(|| format!("starting `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed: {}", output.status);
    }
    let text = String::from_utf8(output.stdout)?;
    let results: Vec<_> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    if results.is_empty() {
        bail!("`{line}` printed no result:\n{text}");
    }
    Ok(results)
}

/// Builds one program of a package as a benchmark of it is built, and says where it is.
///
/// # Errors
/// When the build fails.
pub fn release(package: &str, selection: &[&str], program: &str) -> Result<PathBuf> {
    refuse_foreign_flags()?;
    let mut command = plain("build");
    command
        .args(["--locked", "--quiet", "--release", "--package", package])
        .args(selection)
        .args(["--target-dir", BENCH_TARGET])
        .env("RUSTFLAGS", "");
    expect_success(&mut command)?;
    Ok(checkout().join(BENCH_TARGET).join("release").join(program))
}

/// Builds a program of `xtask/peers`, optimised, with dependencies of its own, and says where it is.
///
/// # Errors
/// When the build fails.
pub fn peer(name: &str) -> Result<PathBuf> {
    let target = checkout().join(BENCH_TARGET).join(name);
    let mut command = plain("build");
    command
        .args(["--locked", "--quiet", "--release", "--manifest-path"])
        .arg(checkout().join("xtask/peers").join(name).join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", "");
    expect_success(&mut command)?;
    Ok(target.join("release").join(name))
}

/// Builds every program and the hot libraries.
///
/// # Errors
/// When the build fails.
pub fn programs() -> Result<()> {
    expect_success(&mut cargo("build")?)?;
    HOT_MODULES.into_iter().try_for_each(hot_library)
}

/// Builds a hot library as a window does that reloads it.
fn hot_library(module: &str) -> Result<()> {
    let mut command = plain("rustc");
    command.args(["--locked", "--package", module, "--lib"]);
    expect_success(command.arg("--crate-type=cdylib"))
}

/// Runs a command whose output is the person's to read.
///
/// # Errors
/// When it cannot be started or ends with anything but 0.
pub fn expect_success(command: &mut Command) -> Result<()> {
    let line = shown(command);
    let status = command
        .status()
        .with_context(|| format!("starting `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(())
}

/// A command as a person would type it.
fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

fn refuse_foreign_flags() -> Result<()> {
    for name in FOREIGN_FLAGS {
        if std::env::var_os(name).is_some_and(|flags| !flags.is_empty()) {
            bail!(
                "{name} is set. The window and its hot code must be built with the same flags, \
                 those of .cargo/config.toml: unset it and try again"
            );
        }
    }
    Ok(())
}
