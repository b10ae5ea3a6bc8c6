//! Makes libraries as a build would leave them.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod chameleons;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use warden_reload::{BuildCommand, HotModule, HotReloader, Outcome, Start};

/// What these tests' host was built with.
pub const STAMP: &str = warden_manifest::stamp!();
/// A schema of one type.
pub const SCHEMA: &str = "pub struct Row {\n    pub place: u64,\n}\n";

/// One reloader with one module, `tiny`.
pub struct Workshop {
    pub reloader: HotReloader,
    pub artifact: PathBuf,
    pub directory: TempDir,
}

/// What a library is made from.
pub struct Source<'a> {
    /// The stamp in it; none for a library that is no module.
    pub manifest: Option<&'a str>,
    pub schema: &'a str,
    /// The exported function's name.
    pub symbol: &'a str,
    /// What it does: an expression of type `u32`, or items and one.
    pub body: &'a str,
}

impl Source<'_> {
    /// A good one.
    pub fn answering(number: u32) -> Source<'static> {
        let bodies = ["0", "1", "2", "3", "4", "5", "6"];
        Source {
            manifest: Some(STAMP),
            schema: SCHEMA,
            symbol: "tiny_answer",
            body: bodies[number as usize],
        }
    }

    /// Its text.
    pub fn text(&self) -> String {
        let (symbol, body) = (self.symbol, self.body);
        let mut text = format!("#[unsafe(no_mangle)] pub fn {symbol}() -> u32 {{ {body} }}\n");
        let statics = self.manifest.map(|stamp| {
            [
                ("tiny_manifest", format!("{stamp}module tiny\n")),
                ("tiny_schema", self.schema.to_owned()),
            ]
        });
        for (name, content) in statics.into_iter().flatten() {
            let len = content.len();
            text.push_str(&format!(
                "#[unsafe(no_mangle)] #[allow(non_upper_case_globals)] pub static {name}: [u8; {len}] = *b{content:?};\n"
            ));
        }
        text
    }
}

impl Workshop {
    /// Without a build command: files are taken as they lie there.
    pub fn new() -> Self {
        Self::with(|_| None)
    }

    /// With a build command.
    pub fn with(build: impl FnOnce(&Path) -> Option<BuildCommand>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let staging = directory.path().join("staging");
        let start = Start {
            staging,
            stamp: STAMP,
            wake: Box::new(|| {}),
        };
        let reloader = HotReloader::start(start).unwrap();
        let artifact = directory.path().join("libtiny.so");
        let module = HotModule {
            name: "tiny".to_owned(),
            artifact: artifact.clone(),
            build: build(directory.path()),
            schema: SCHEMA,
            delegation_targets: vec!["tiny_answer".to_owned()],
            ..HotModule::default()
        };
        reloader.register(module).unwrap();
        Self {
            reloader,
            artifact,
            directory,
        }
    }

    /// Loads what lies there.
    pub fn load(&self) -> Outcome {
        self.reloader.load("tiny").unwrap().wait()
    }

    /// Writes the artifact.
    pub fn write(&self, bytes: &[u8]) {
        fs::write(&self.artifact, bytes).unwrap();
    }

    /// Compiles the artifact.
    pub fn compile(&self, source: &Source<'_>) {
        let file = self.directory.path().join("tiny.rs");
        fs::write(&file, source.text()).unwrap();
        rustc("tiny", &file, &self.artifact, &[]);
    }

    /// How many copies lie in staging beside the watched file.
    pub fn staged_copies(&self) -> usize {
        staged_copies(&self.directory.path().join("staging"))
    }
}

/// How many libraries lie below a staging directory, but for the watched files.
pub fn staged_copies(staging: &Path) -> usize {
    let mut copies = 0;
    let mut open = vec![staging.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else {
                copies += usize::from(name.ends_with(".so") && name.contains('-'));
            }
        }
    }
    copies
}

/// Compiles a library as cargo would.
pub fn rustc(name: &str, source: &Path, artifact: &Path, more: &[&str]) {
    let rustc = Path::new(env!("CARGO")).with_file_name("rustc");
    let output = Command::new(rustc)
        .args(["--crate-name", name, "--edition", "2024"])
        .args([
            "--crate-type",
            "cdylib",
            "-Cprefer-dynamic",
            "-Cstrip=symbols",
        ])
        .args(more)
        .arg("-o")
        .args([artifact, source])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
