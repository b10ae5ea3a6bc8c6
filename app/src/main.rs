//! The program `warden-dashboard`.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;
use warden_app::Options;
use warden_toolkit as _;

/// A command line that makes no sense.
const USAGE: u8 = 64;
/// No window, no broker's place, no runtime.
const UNAVAILABLE: u8 = 69;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            // Where this cannot be printed there is nobody to read it.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,warden_app=info,warden_reload=info"));
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal() && !no_color)
        .with_writer(std::io::stderr)
        .init();
    if let Some(file) = &options.rehearse {
        return match warden_app::rehearse(file) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        };
    }
    match warden_app::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("warden-dashboard: {error:#}");
            ExitCode::from(UNAVAILABLE)
        }
    }
}
