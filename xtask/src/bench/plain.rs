//! The same edit in a plain `#[hot_module]` program, as hot-lib-reloader's documentation has it: what
//! a reload costs without a toolkit library, without checks, and without a window.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use warden_tests::process::{Process, checkout, output};

use super::table::{Figure, amount, median};

const EDITS: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(60);
const FILES: [&str; 5] = [
    "Cargo.lock",
    "Cargo.toml",
    "src/main.rs",
    "ui/Cargo.toml",
    "ui/src/lib.rs",
];

pub fn measure() -> Result<Vec<Figure>> {
    let directory = checkout().join("target-bench/hot_module");
    copy(
        &checkout().join("xtask/peers/hot_module"),
        &directory,
        &FILES,
    )?;
    build(&directory, &["--workspace"])?;
    build(&directory, &["--package", "ui"])?;
    let mut program = Process::start(
        Command::new(directory.join("target/debug/plain"))
            .current_dir(&directory)
            .stdout(Stdio::piped()),
    )?;
    let stdout = program.child().stdout.take().context("it was piped")?;
    let drawn = lines(stdout);
    next(&drawn)?;
    let source = directory.join("ui/src/lib.rs");
    let text = fs::read_to_string(&source)?;
    let mut wholes = Vec::new();
    for edit in 1..=EDITS {
        let edited = text.replace("let edit = 0;", &format!("let edit = {edit};"));
        fs::write(&source, edited)?;
        let saved = Instant::now();
        build(&directory, &["--package", "ui"])?;
        while next(&drawn)? != edit.to_string() {}
        wholes.push(saved.elapsed().as_secs_f64());
    }
    let label = "  a plain #[hot_module] program, one label, no window: edit → drawn, median";
    Ok(vec![Figure::plain(label, amount(median(&wholes), "s"))])
}

/// A copy is built: what is measured is edited.
pub fn copy(from: &Path, to: &Path, files: &[&str]) -> Result<()> {
    for file in files {
        let copy = to.join(file);
        if let Some(directory) = copy.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::copy(from.join(file), &copy).with_context(|| format!("copying {file}"))?;
    }
    Ok(())
}

fn build(directory: &Path, packages: &[&str]) -> Result<()> {
    let mut command = crate::build::plain("build");
    command
        .args(["--locked", "--quiet"])
        .args(packages)
        .current_dir(directory)
        .env("CARGO_TARGET_DIR", "target")
        .env("RUSTFLAGS", "");
    output(&mut command).map(drop)
}

/// The lines of a pipe, as they come.
pub fn lines(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The next of them.
pub fn next(drawn: &Receiver<String>) -> Result<String> {
    drawn
        .recv_timeout(PATIENCE)
        .context("the program drew nothing")
}
