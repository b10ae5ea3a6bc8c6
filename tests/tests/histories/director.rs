//! One history with real processes: a broker, its clients, and what befalls them.

mod befall;

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use warden_tests::process::{Process, built};
use warden_tests::{Broker, Setting};

use self::befall::Asked;
use crate::chance::Chance;
use crate::client;
use crate::clock;
use crate::installed::{loaded_part, replace, set_mode};
use crate::onlooker::{Onlooker, ask_after_all, runtime};
use crate::record::{ClientNo, History, Mark, Ns};
use crate::rules;
use crate::space::Filler;
use crate::wall::WallClock;

const CLIENTS: usize = 9;
/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A few commits of the journal's log, each a page of 4 KiB or two.
const CUT: u64 = 40 << 10;

#[derive(Debug)]
pub struct Plan {
    pub seed: u64,
    pub crashes: u32,
    /// Whether clients speak over the Unix socket; else over TCP, on another port at each start.
    pub socket: bool,
    /// Whether it becomes other programs on the way.
    pub replaces: bool,
    /// A small file system to have its data directory on, and to fill.
    pub disk: Option<PathBuf>,
    /// Whether every crash takes the end of the journal with it, as if the broker had answered
    /// before it wrote: what no sound judge may let pass.
    pub forgets: bool,
}

/// What was seen, and how long the broker was away.
#[derive(Debug)]
pub struct Run {
    pub history: History,
    /// From each kill to the next broker that serves.
    pub away: Vec<Duration>,
}

/// A client's process.
#[derive(Debug)]
struct Running {
    number: ClientNo,
    process: Process,
    /// It is stopped, until then.
    thaws: Option<Instant>,
}

/// The program that the broker is started from, and becomes.
#[derive(Debug)]
struct Program {
    path: PathBuf,
    loaded: Vec<u8>,
    serial: u64,
}

struct Stage {
    chance: Chance,
    seed: u64,
    forgets: bool,
    /// Where it may be replaced.
    program: Option<Program>,
    /// Who asked for that, where that is not known to be over.
    asked: Option<Asked>,
    disk: Option<PathBuf>,
    /// The disk is full.
    filler: Option<Filler>,
    wall: WallClock,
    broker: Broker,
    onlooker: Onlooker,
    clients: Vec<Running>,
    numbers: ClientNo,
    marks: Vec<(Ns, Mark)>,
    away: Vec<Duration>,
    /// The logs of clients, and what else is its own.
    folder: tempfile::TempDir,
}

impl Program {
    /// The first.
    fn install(folder: &Path) -> Result<Self> {
        let bin = folder.join("bin");
        std::fs::create_dir(&bin)?;
        set_mode(&bin, 0o755);
        let program = Self {
            path: bin.join("warden"),
            loaded: loaded_part(&built("warden")?),
            serial: 0,
        };
        replace(&program.path, &program.content());
        Ok(program)
    }

    fn content(&self) -> Vec<u8> {
        [&self.loaded[..], &self.serial.to_le_bytes()].concat()
    }
}

pub fn run(plan: &Plan) -> Result<Run> {
    let mut stage = Stage::new(plan)?;
    let mut crashes = 0;
    while crashes < plan.crashes {
        crashes += stage.crash(plan.crashes - crashes)?;
    }
    stage.end()
}

/// Takes the last commits out of SQLite's write-ahead log, and the note of how far it was written
/// with them, by which the next broker would notice.
fn cut_journal(data_dir: &Path) -> Result<()> {
    match std::fs::remove_file(data_dir.join("journal.head")) {
        // The broker was killed again before it had begun.
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        removed => removed?,
    }
    let log = File::options()
        .write(true)
        .open(data_dir.join("journal.db-wal"))?;
    let length = log.metadata()?.len();
    Ok(log.set_len(length.saturating_sub(CUT))?)
}

fn log_of(logs: &Path, number: ClientNo) -> std::path::PathBuf {
    logs.join(format!("client-{number}.jsonl"))
}

impl Stage {
    fn new(plan: &Plan) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("warden-history-")
            .tempdir()?;
        let program = plan.replaces.then(|| Program::install(folder.path()));
        let program = program.transpose()?;
        let wall = WallClock::new(folder.path())?;
        let path = match &program {
            Some(program) => program.path.clone(),
            None => built("warden")?,
        };
        let setting = Setting {
            gpus: rules::GPUS,
            policy: Some(ron::to_string(&rules::policy())?),
            socket: plan.socket,
            place: plan.disk.clone(),
            environment: wall.environment(),
        };
        let broker = Broker::with(path, setting)?;
        if program.is_some() {
            let client = client::client(broker.data_dir())?;
            runtime()?.block_on(client.enable_reload(true))?;
        }
        let onlooker = Onlooker::start(broker.data_dir())?;
        let mut stage = Self {
            chance: Chance::new(plan.seed, 0),
            seed: plan.seed,
            forgets: plan.forgets,
            program,
            asked: None,
            disk: plan.disk.clone(),
            filler: None,
            wall,
            broker,
            onlooker,
            clients: Vec::new(),
            numbers: 0,
            marks: Vec::new(),
            away: Vec::new(),
            folder,
        };
        for _ in 0..CLIENTS {
            let client = stage.client()?;
            stage.clients.push(client);
        }
        Ok(stage)
    }

    fn mark(&mut self, mark: Mark) {
        self.marks.push((clock::now(), mark));
    }

    fn client(&mut self) -> Result<Running> {
        self.numbers += 1;
        let number = self.numbers;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--client", &number.to_string()])
            .args(["--seed", &self.seed.to_string()])
            .arg("--data-dir")
            .arg(self.broker.data_dir())
            .arg("--log")
            .arg(log_of(self.folder.path(), number))
            .stdin(Stdio::piped());
        Ok(Running {
            number,
            process: Process::start(&mut command)?,
            thaws: None,
        })
    }

    /// Lets time pass, and stopped clients go on when theirs is over.
    fn pass(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            let thaws = self.clients.iter().filter_map(|client| client.thaws);
            let next = thaws.min().filter(|at| *at < end).unwrap_or(end);
            // Faults come at instants of chance, not at events.
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            self.thaw(Instant::now())?;
            if next == end {
                return Ok(());
            }
        }
    }

    fn thaw(&mut self, now: Instant) -> Result<()> {
        for client in &mut self.clients {
            if client.thaws.take_if(|thaws| *thaws <= now).is_some() {
                client.process.signal("CONT")?;
            }
        }
        Ok(())
    }

    /// Kills the broker at a random instant at which clients contend, and starts it again; the one
    /// that starts is sometimes killed too, at a random instant before or after it serves. Says how
    /// often it was killed, at most `left` times.
    fn crash(&mut self, left: u32) -> Result<u32> {
        // The first grant shows that clients are back.
        let granted = self.onlooker.granted();
        let since = clock::now();
        self.onlooker
            .wait_for(PATIENCE, since, |sample| sample.granted > granted)
            .context("nothing is granted after a crash")?;
        self.befall()?;
        // Sometimes long enough for a lease to run out, which it never does while brokers crash.
        let longest_ms = self.chance.weighted(&[(19, 300), (1, 3_000)]);
        let instant = Duration::from_micros(self.chance.below(longest_ms * 1_000));
        self.pass(instant)?;
        let (mut killed, mut had_room) = (0, true);
        let gone = Instant::now();
        loop {
            self.mark(Mark::BrokerKilled);
            self.broker.kill();
            self.hear_of_program(true)?;
            had_room &= self.filler.take().is_none();
            if self.forgets {
                cut_journal(self.broker.data_dir())?;
            }
            self.mark(Mark::BrokerStarted);
            self.broker.start_again()?;
            killed += 1;
            if killed == left || !self.chance.percent(12) {
                break;
            }
            // Killed again before it serves, or soon after: when is chance.
            std::thread::sleep(Duration::from_micros(self.chance.below(40_000)));
        }
        self.broker.wait_until_ready()?;
        self.mark(Mark::BrokerReady);
        if killed == 1 {
            self.away.push(gone.elapsed());
        }
        if !had_room {
            self.await_room()?;
        }
        Ok(killed)
    }

    /// Has everyone end what they have begun, and asks after everything.
    fn end(mut self) -> Result<Run> {
        let ever = self.clients.iter().filter_map(|client| client.thaws).max();
        self.thaw(ever.unwrap_or_else(Instant::now))?;
        for place in 0..self.clients.len() {
            self.mark(Mark::ClientEnds(self.clients[place].number));
            // Which it hears, and ends.
            drop(self.clients[place].process.child().stdin.take());
        }
        for client in &mut self.clients {
            let status = client.process.wait(PATIENCE);
            let status = status.with_context(|| format!("client {}", client.number))?;
            ensure!(
                status.success(),
                "client {} failed: {status}",
                client.number
            );
        }
        self.onlooker
            .wait_for(PATIENCE, clock::now(), |sample| {
                sample.queue.is_empty() && sample.leases.is_empty()
            })
            .context("something is held or waits for ever")?;
        let mut ops = Vec::new();
        for number in 1..=self.numbers {
            ops.extend(client::read(number, &log_of(self.folder.path(), number))?);
        }
        let mut looks = ask_after_all(self.broker.data_dir(), &ops)?;
        self.mark(Mark::BrokerKilled);
        self.broker.kill();
        self.mark(Mark::BrokerStarted);
        self.broker.start_again()?;
        self.broker.wait_until_ready()?;
        self.mark(Mark::BrokerReady);
        looks.extend(ask_after_all(self.broker.data_dir(), &ops)?);
        self.onlooker.wait_for(PATIENCE, clock::now(), |_| true)?;
        ops.extend(looks);
        self.marks.sort_by_key(|(at, _)| *at);
        Ok(Run {
            history: History {
                seed: self.seed,
                rules: rules::rules(),
                ops,
                marks: self.marks,
                samples: self.onlooker.end(),
            },
            away: self.away,
        })
    }
}
