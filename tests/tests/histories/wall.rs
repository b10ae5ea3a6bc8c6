//! A wall clock that can be set for one program alone: a library that is preloaded into it answers
//! for the system's, and adds what a file says. The system's own is the machine's, not ours to set.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use warden_tests::process::output;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/histories/preload.rs");

#[derive(Debug)]
pub struct WallClock {
    library: PathBuf,
    path: PathBuf,
    file: File,
    by_ms: i64,
}

impl WallClock {
    /// One that is right. What it needs is put into `folder`.
    pub fn new(folder: &Path) -> Result<Self> {
        let path = folder.join("wall-clock");
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).open(&path)?;
        let clock = Self {
            library: build(folder).context("building what is preloaded")?,
            path,
            file,
            by_ms: 0,
        };
        clock.write()?;
        Ok(clock)
    }

    /// What the program goes by it with.
    pub fn environment(&self) -> Vec<(String, OsString)> {
        vec![
            ("LD_PRELOAD".to_owned(), self.library.clone().into()),
            (
                "WARDEN_TEST_WALL_CLOCK".to_owned(),
                self.path.clone().into(),
            ),
        ]
    }

    /// Sets it, from one instant to the next.
    pub fn set(&mut self, by_ms: i64) -> Result<()> {
        self.by_ms += by_ms;
        Ok(self.write()?)
    }

    fn write(&self) -> io::Result<()> {
        self.file.write_all_at(&self.by_ms.to_ne_bytes(), 0)
    }
}

/// Builds the library with the compiler that built this.
fn build(folder: &Path) -> Result<PathBuf> {
    let library = folder.join("wall-clock.so");
    let beside_cargo =
        std::env::var_os("CARGO").map(|cargo| Path::new(&cargo).with_file_name("rustc"));
    let compiler = beside_cargo.filter(|path| path.exists());
    let mut rustc = Command::new(compiler.unwrap_or_else(|| "rustc".into()));
    rustc
        .args([
            "--edition=2024",
            "--crate-type=cdylib",
            "-Cpanic=abort",
            "-o",
        ])
        .args([library.as_os_str(), SOURCE.as_ref()]);
    output(&mut rustc)?;
    Ok(library)
}
