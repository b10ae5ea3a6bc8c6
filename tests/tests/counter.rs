//! The program of docs/hot-reload.md does what that page says, and is as short as it says.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use warden_tests::Edit;
use warden_tests::process::{Process, checkout, program};

/// A build may wait for another one's lock, and compile what the module stands on.
const PATIENCE: Duration = Duration::from_secs(120);
const CODE: &str = "examples/counter/hot/src/lib.rs";

/// The counter, and what it says on both of its outputs.
struct Counter {
    process: Process,
    stdin: ChildStdin,
    said: Receiver<String>,
}

impl Counter {
    fn start() -> Result<Self> {
        let mut command = program("counter-host")?;
        // One pipe for both outputs: what was said first is read first.
        let (reader, writer) = std::io::pipe()?;
        command
            .stdin(Stdio::piped())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        let mut process = Process::start(&mut command)?;
        let stdin = process.child().stdin.take().context("it was piped")?;
        let (sender, said) = channel();
        thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            process,
            stdin,
            said,
        })
    }

    fn enter(&mut self) -> Result<()> {
        self.stdin.write_all(b"\n").context("pressing Enter")
    }

    /// Waits for a line that begins so, and returns those before it.
    fn until(&self, beginning: &str) -> Result<Vec<String>> {
        let mut before = Vec::new();
        loop {
            let line = self
                .said
                .recv_timeout(PATIENCE)
                .with_context(|| format!("it never said {beginning:?}, but {before:?}"))?;
            if line.starts_with(beginning) {
                return Ok(before);
            }
            before.push(line);
        }
    }
}

#[test]
fn the_page_holds_from_the_first_count_to_a_panic_on_probation() -> Result<()> {
    let edit = Edit::of(CODE)?;
    let mut counter = Counter::start()?;
    counter.until("counted to 1;")?;

    // Another type of memory and other words: what was counted is kept.
    edit.replace("count: u32,", "count: u64,\n    name: String,")?;
    counter.enter()?;
    counter.until("counted to 2;")?;

    // It panics on probation: taken back, with the memory from before the call.
    edit.replace("remembered.count += 1;", "panic!(\"too far\");")?;
    counter.enter()?;
    counter.until("too far")?;
    counter.enter()?;
    let said = counter.until("counted to 3;")?;
    ensure!(
        said.iter().any(|line| line.contains("taken back")),
        "the quarantined file was not refused: {said:?}"
    );

    // It does not compile: the last good code goes on, and the compiler is heard.
    edit.replace("remembered.count += 1;", "remembered.kount += 1;")?;
    counter.enter()?;
    let said = counter.until("counted to 4;")?;
    ensure!(
        said.iter().any(|line| line.contains("no field `kount`")),
        "the compiler was not heard: {said:?}"
    );

    edit.undo()?;
    counter.enter()?;
    counter.until("counted to 5;")?;
    drop(counter.stdin);
    ensure!(counter.process.wait(PATIENCE)?.success());
    Ok(())
}

#[test]
fn it_is_as_short_as_the_page_promises() -> Result<()> {
    let host = std::fs::read_to_string(checkout().join("examples/counter/src/main.rs"))?;
    ensure!(host.lines().count() < 60);
    Ok(())
}
