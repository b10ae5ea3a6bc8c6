//! A broker with simulated GPUs, and real `warden run` processes that contend for them.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use warden_tests::Broker;

/// One tool of a machine at work: it asks for a GPU, holds it for a while, rests, and asks again.
#[derive(Clone, Copy, Debug)]
struct Actor {
    name: &'static str,
    options: &'static [&'static str],
    holds_s: &'static str,
    rests: Duration,
}

const fn actor(
    name: &'static str,
    options: &'static [&'static str],
    holds_s: &'static str,
    rests_s: u64,
) -> Actor {
    Actor {
        name,
        options,
        holds_s,
        rests: Duration::from_secs(rests_s),
    }
}

/// In the order of their arrival, which is not the order of their turns.
const ACTORS: [Actor; 9] = [
    actor(
        "root-console",
        &["--priority", "console", "--operation", "model_load"],
        "25",
        4,
    ),
    actor("train-lora-nightly", &["--priority", "dreamer"], "90", 20),
    actor(
        "root-dreamer",
        &["--priority", "dreamer", "--vram", "8GiB"],
        "12",
        3,
    ),
    actor("ollama-proxy", &["--priority", "default"], "8", 5),
    actor(
        "comfyui-batch-renderer-overnight",
        &["--priority", "default"],
        "15",
        6,
    ),
    actor("eval-harness", &["--gpus", "2"], "6", 15),
    actor(
        "root-console-summary",
        &["--priority", "console", "--operation", "model_load"],
        "7",
        9,
    ),
    actor("root-mic", &["--priority", "mic"], "3", 7),
    actor("sd-upscaler", &["--priority", "dreamer"], "10", 8),
];

/// The first hold the two GPUs; the rest wait.
const HOLDERS: usize = 2;

/// A demo at work. Ends with this value.
#[derive(Debug)]
pub struct Demo {
    // Before the broker: actors give back what they hold.
    _actors: Vec<Running>,
    broker: Arc<Broker>,
}

impl Demo {
    /// Starts the broker and lets everyone arrive.
    pub fn start() -> Result<Self> {
        let broker = Arc::new(Broker::start(2).context("starting the demo's broker")?);
        let mut actors = Vec::new();
        for (arrived, actor) in ACTORS.into_iter().enumerate() {
            actors.push(Running::start(Arc::clone(&broker), actor));
            broker.wait_for("the demo's processes to arrive", |status| {
                present(status) > arrived
            })?;
        }
        Ok(Self {
            _actors: actors,
            broker,
        })
    }

    pub fn data_dir(&self) -> &Path {
        self.broker.data_dir()
    }

    /// Waits until the GPUs are held and most of the others wait; the revision at which they do.
    pub fn wait_until_contended(&self) -> Result<u64> {
        let contended = |status: &Value| {
            length(&status["leases"]) >= HOLDERS
                && length(&status["queue"]) >= ACTORS.len() - HOLDERS - 2
        };
        let status = self
            .broker
            .wait_for("the demo's processes to contend", contended)?;
        status["revision"]
            .as_u64()
            .context("the status names no revision")
    }
}

fn present(status: &Value) -> usize {
    length(&status["leases"]) + length(&status["queue"])
}

fn length(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

/// An actor's thread; dropping it ends the actor's process.
#[derive(Debug)]
struct Running {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(broker: Arc<Broker>, actor: Actor) -> Self {
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            if let Err(error) = act(&broker, actor, &stopped) {
                eprintln!("xtask: the demo's {} stops: {error:#}", actor.name);
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _a_panic_was_printed = thread.join();
        }
    }
}

fn act(broker: &Broker, actor: Actor, stopped: &Receiver<()>) -> Result<()> {
    // Simulated work asks for as long a wait as it takes: a demo should not run dry.
    let options = [&["--name", actor.name, "--timeout", "30m"], actor.options].concat();
    loop {
        let mut process = broker.run(&options, &["sleep", actor.holds_s])?;
        while process.is_running() {
            if told_to_stop(stopped, Duration::from_millis(100)) {
                return Ok(());
            }
        }
        if told_to_stop(stopped, actor.rests) {
            return Ok(());
        }
    }
}

fn told_to_stop(stopped: &Receiver<()>, within: Duration) -> bool {
    !matches!(
        stopped.recv_timeout(within),
        Err(std::sync::mpsc::RecvTimeoutError::Timeout)
    )
}
