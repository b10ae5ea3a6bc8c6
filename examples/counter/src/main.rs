//! Counts on every Enter, with whatever code lies in `examples/counter/hot` by then.

use std::ffi::c_void;
use std::io::BufRead as _;
use std::mem::transmute;
use std::path::Path;
use std::ptr::NonNull;

use anyhow::Context as _;
use warden_hot::{Memory, Panicked};
use warden_reload::{BuildCommand, HotModule, HotReloader, Outcome, Start};

/// What `#[delegation_target]` makes of `counter_step`.
type Step = fn(&mut Memory) -> Result<String, Panicked>;

fn main() -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    let beside = program.parent().context("a program lies in a directory")?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let reloader = HotReloader::start(Start {
        staging: beside.join("hot"),
        stamp: warden_hot::stamp!(),
        wake: Box::new(|| {}),
    })?;
    reloader.register(HotModule {
        name: "counter".to_owned(),
        artifact: beside.join("libcounter.so"),
        build: Some(BuildCommand::cdylib(workspace, "counter")),
        delegation_targets: vec!["counter_step".to_owned()],
        ..HotModule::default()
    })?;
    loop {
        if let Outcome::Failed(failure) = reloader.reload("counter")?.wait() {
            eprintln!("{}", failure.message);
        }
        // Here nothing of the module is on the stack: the new code may take over.
        if let Some(generation) = reloader.swap("counter") {
            println!("generation {} runs", generation.number());
        }
        let called = reloader.call("counter", |generation, memory| {
            let (Some(step), Some(memory)) = (generation.symbol("counter_step"), memory) else {
                return Ok(String::new()); // The stages made sure of both.
            };
            // SAFETY: the manifest was compared: the same compiler made the same signature of it.
            let step = unsafe { transmute::<NonNull<c_void>, Step>(step) };
            step(memory)
        });
        match called.map(|called| called.result) {
            Some(Ok(said)) => println!("{said}; edit the code, then Enter"),
            Some(Err(caught)) => eprintln!("{}", caught.message),
            None => eprintln!("no code runs yet; mend it, then Enter"),
        }
        if std::io::stdin().lock().read_line(&mut String::new())? == 0 {
            return Ok(());
        }
    }
}
