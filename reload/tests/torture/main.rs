//! Reloads many times, one in ten with something wrong, and checks every promise of the engine.
//!
//! ```text
//! cargo test -p warden-reload --test torture -- --reloads 5000 --seed 1
//! ```
//!
//! Every library is rehearsed in a child process first. One library is compiled; what a generation
//! does is then written into its file, so that thousands of different ones cost no compiler. The
//! build is this program too, copying such a file. One line of JSON at the end; the exit code is 1
//! when a promise was broken, which the line names.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what breaks here is the test"
)]

#[path = "../workshop/mod.rs"]
mod workshop;

mod poison;
mod run;
mod tally;

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use warden_reload::rehearse_child;
use workshop::{STAMP, chameleons};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        // `--message-format=json` follows.
        ["--copy", from, to, ..] => match fs::copy(from, to) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => complain(&format!("error: {from}: {error}")),
        },
        ["--rehearse", file] => {
            let modules = [chameleons::module("tiny", Path::new(""))];
            match rehearse_child(&modules, STAMP, Path::new(file)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => complain(&error.to_string()),
            }
        }
        _ => torture(&words),
    }
}

fn torture(words: &[&str]) -> ExitCode {
    let value = |name: &str| {
        let pair = words.windows(2).find(|pair| pair[0] == name);
        pair.map(|pair| pair[1].parse::<u64>().expect("a number"))
    };
    let reloads = value("--reloads").unwrap_or(300);
    let tally = run::Run::new(value("--seed").unwrap_or(1)).all(reloads);
    println!("{}", tally.json(reloads));
    ExitCode::from(u8::from(tally.is_broken()))
}

fn complain(words: &str) -> ExitCode {
    eprintln!("{words}");
    ExitCode::FAILURE
}
