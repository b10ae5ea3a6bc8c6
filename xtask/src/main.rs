//! Run, test, measure and picture Warden: `cargo xtask run | test | bench | torture | docs | shots`.
//!
//! Every command does its own set-up. All of them build the same packages with the same flags, so
//! that none of them makes a running window's libraries stale.

mod bench;
mod build;
mod demo;
mod docs;
mod interrupt;
mod run;
mod shots;
mod system;
mod test;
mod torture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Run, test, measure and picture Warden")]
struct Xtask {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build and open the window.
    Run(run::Options),
    /// Run everything that CI runs.
    Test(test::Options),
    /// Measure, and print each figure beside its budget.
    Bench(bench::Options),
    /// Run the long tests: thousands of reloads, one in ten poisoned; large worlds; a thousand
    /// crashes of the broker.
    Torture(torture::Options),
    /// Write the pages that are made of types.
    Docs,
    /// Write the pictures of the README.
    Shots,
}

fn main() -> ExitCode {
    let done = match Xtask::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Torture(options) => torture::run(&options),
        Command::Docs => docs::run(),
        Command::Shots => shots::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            match error.downcast_ref::<system::Missing>() {
                Some(_) => ExitCode::from(system::EX_UNAVAILABLE),
                None => ExitCode::FAILURE,
            }
        }
    }
}
