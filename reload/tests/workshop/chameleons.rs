//! One reloader with one module that does what is written in its file.

use std::fs;
use std::mem::transmute;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use warden_reload::{
    Called, Candidate, Child, Generation, HotModule, HotReloader, Memory, Outcome, Panicked,
    Probation, Rehearse, Start,
};

use super::{SCHEMA, STAMP, rustc};

/// Draws a frame.
pub type Draw = fn(&mut Memory) -> Result<u32, Panicked>;

/// The library's file, compiled once a process, whose memory is of its first or its second shape.
pub fn library(second: bool) -> &'static [u8] {
    static FIRST: OnceLock<Vec<u8>> = OnceLock::new();
    static SECOND: OnceLock<Vec<u8>> = OnceLock::new();
    let cell = if second { &SECOND } else { &FIRST };
    cell.get_or_init(|| compile("tiny", if second { &["--cfg", "second"] } else { &[] }))
}

/// Compiles the chameleon under another name.
pub fn compile(name: &str, more: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source.rs");
    let text = include_str!("chameleon.rs").replace("tiny", name);
    fs::write(&source, text).unwrap();
    let artifact = directory.path().join("library.so");
    let deps = std::env::current_exe().unwrap();
    let deps = deps.parent().unwrap();
    let hot = newest(deps, "libwarden_hot-");
    let external = format!("warden_hot={}", hot.display());
    let search = format!("dependency={}", deps.display());
    let mut arguments = vec!["--extern", &external, "-L", &search];
    arguments.extend(more);
    rustc(name, &source, &artifact, &arguments);
    fs::read(artifact).unwrap()
}

/// What cargo built last under that name.
fn newest(deps: &Path, prefix: &str) -> PathBuf {
    let entries = fs::read_dir(deps).unwrap().map(Result::unwrap);
    let built = entries.filter(|entry| {
        let name = entry.file_name().into_string().unwrap_or_default();
        name.starts_with(prefix) && name.ends_with(".rlib")
    });
    let newest = built.max_by_key(|entry| entry.metadata().and_then(|m| m.modified()).ok());
    newest.unwrap().path()
}

/// A copy of a library that does `mode` at `frame`; 0 is a rehearsal. No two with another `serial`
/// are the same.
pub fn told(library: &[u8], mode: &str, frame: u32, serial: u32) -> Vec<u8> {
    let words = format!("CHAMELEON:{mode} {frame} #{serial}");
    patched(
        library,
        b"CHAMELEON:good 0 ",
        64,
        format!("{words:64}").as_bytes(),
    )
}

/// Replaces `len` bytes wherever `found` begins.
pub fn patched(library: &[u8], found: &[u8], len: usize, by: &[u8]) -> Vec<u8> {
    assert_eq!(by.len(), len);
    let mut bytes = library.to_vec();
    let places: Vec<usize> = (0..bytes.len() - len)
        .filter(|at| bytes[*at..].starts_with(found))
        .collect();
    assert!(!places.is_empty(), "{}", String::from_utf8_lossy(found));
    for at in places {
        bytes[at..at + len].copy_from_slice(by);
    }
    bytes
}

/// A host.
pub struct Stage {
    pub reloader: HotReloader,
    pub artifact: PathBuf,
    pub directory: TempDir,
}

/// Short enough for a test.
pub const PROBATION: Probation = Probation {
    frames: 40,
    time: Duration::from_millis(50),
    slow: Duration::from_millis(100),
    slow_max: 3,
};

/// What these hosts have of their own.
const STATE: &str = "(theme: \"light\")";

/// The module as every host here knows it.
pub fn module(name: &str, artifact: &Path) -> HotModule {
    let [draw, rehearse] = ["draw", "rehearse"].map(|what| format!("{name}_{what}"));
    let target = rehearse.clone();
    HotModule {
        name: name.to_owned(),
        artifact: artifact.to_owned(),
        schema: SCHEMA,
        delegation_targets: vec![draw, rehearse],
        rehearse: Some(
            Rehearse::new(move |candidate| rehearsed(candidate, &target))
                .with_state(|| STATE.to_owned()),
        ),
        probation: PROBATION,
        ..HotModule::default()
    }
}

fn rehearsed(candidate: Candidate<'_>, target: &str) -> Result<(), String> {
    if candidate.state != Some(STATE) {
        return Err(format!("the host's state is {:?}", candidate.state));
    }
    let memory = candidate.memory.ok_or("it has no memory")?;
    let drawn = pointer(candidate.generation, target)(memory);
    drawn.map(drop).map_err(|panicked| panicked.to_string())
}

fn pointer(generation: &Generation, target: &str) -> Draw {
    let address = generation.symbol(target).unwrap();
    // SAFETY: both targets of the chameleon are of this type.
    unsafe { transmute::<std::ptr::NonNull<std::ffi::c_void>, Draw>(address) }
}

impl Stage {
    /// With `child`, each library is rehearsed by that first.
    pub fn new(child: Option<Child>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let start = Start {
            staging: directory.path().join("staging"),
            stamp: STAMP,
            wake: Box::new(|| {}),
        };
        let reloader = HotReloader::start(start).unwrap();
        let artifact = directory.path().join("libtiny.so");
        let module = HotModule {
            paranoid: child,
            ..module("tiny", &artifact)
        };
        reloader.register(module).unwrap();
        Self {
            reloader,
            artifact,
            directory,
        }
    }

    /// Loads such a file.
    pub fn load(&self, bytes: &[u8]) -> Outcome {
        fs::write(&self.artifact, bytes).unwrap();
        self.reloader.load("tiny").unwrap().wait()
    }

    /// Loads such a file and takes it into use.
    pub fn take(&self, bytes: &[u8]) -> u32 {
        let outcome = self.load(bytes);
        assert!(matches!(outcome, Outcome::Ready(_)), "{outcome:?}");
        self.reloader.swap("tiny").unwrap().number()
    }

    /// Draws a frame.
    pub fn draw(&self) -> Called<u32> {
        draw(&self.reloader, "tiny")
    }

    /// Draws so many, all well.
    pub fn draw_well(&self, frames: u32) {
        for frame in 0..frames {
            let called = self.draw();
            assert!(called.result.is_ok(), "frame {frame}: {called:?}");
            assert!(called.rolled_back.is_none(), "frame {frame}: {called:?}");
        }
    }

    /// Draws until the generation is trusted.
    pub fn prove(&self) {
        while self.reloader.status("tiny").unwrap().probation.is_some() {
            self.draw_well(1);
        }
    }

    /// The module's memory.
    pub fn memory(&self) -> String {
        let captured = self.reloader.capture_state("tiny").unwrap();
        captured.unwrap().memory
    }
}

/// Draws a frame of a module.
pub fn draw(reloader: &HotReloader, name: &str) -> Called<u32> {
    let target = format!("{name}_draw");
    let called = reloader.call(name, |generation, memory| {
        pointer(generation, &target)(memory.unwrap())
    });
    called.unwrap()
}

/// Writes a file and gives it the time that it had.
pub fn write_unnoticed(path: &Path, bytes: &[u8]) {
    let time: SystemTime = fs::metadata(path).unwrap().modified().unwrap();
    fs::write(path, bytes).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}
