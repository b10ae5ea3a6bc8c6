//! What befalls a run between two crashes of the broker.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use warden::wire::reload::{ReloadBody, ReloadOutcome, Reloaded};
use warden_client::Error;

use super::{CLIENTS, PATIENCE, Stage};
use crate::client::client;
use crate::clock;
use crate::installed::replace;
use crate::onlooker::runtime;
use crate::record::{Mark, Ns};
use crate::space::Filler;

#[derive(Clone, Copy, Debug)]
enum Fault {
    Nothing,
    /// `kill -9` of a client; another takes its place.
    KillClient,
    /// SIGSTOP of a client, and SIGCONT a while later: maybe past the deadline of its lease.
    StopClient,
    /// SIGSTOP of the broker for longer than any lease may live without a renewal.
    StopBroker,
    /// The broker's wall clock jumps, there or back.
    SetWallClock,
    /// Another program takes the broker's place, in its process; sometimes the crash comes meanwhile.
    Replace,
    /// The broker's disk is full for a while, or until the crash.
    FillDisk,
}

/// How often each, where it can be.
const FAULTS: [(u64, Fault); 7] = [
    (36, Fault::Nothing),
    (16, Fault::KillClient),
    (16, Fault::StopClient),
    (6, Fault::StopBroker),
    (14, Fault::SetWallClock),
    (34, Fault::Replace),
    (40, Fault::FillDisk),
];

/// A second, an hour, more than a year.
const JUMPS_MS: [(u64, i64); 3] = [(1, 1_000), (1, 3_600_000), (1, 400 * 86_400_000)];

/// When a reload was answered, and how.
pub(super) type Asked = JoinHandle<(Ns, Result<Reloaded, Error>)>;

impl Stage {
    pub(super) fn befall(&mut self) -> Result<()> {
        let can_be = |fault: &Fault| match fault {
            Fault::Replace => self.program.is_some(),
            Fault::FillDisk => self.disk.is_some(),
            _ => true,
        };
        let faults: Vec<_> = FAULTS
            .into_iter()
            .filter(|(_, fault)| can_be(fault))
            .collect();
        let place = self.chance.below(CLIENTS as u64) as usize;
        match self.chance.weighted(&faults) {
            Fault::Nothing => Ok(()),
            Fault::KillClient => {
                self.mark(Mark::ClientEnds(self.clients[place].number));
                self.clients[place].process.kill();
                self.clients[place] = self.client()?;
                Ok(())
            }
            Fault::StopClient => {
                self.mark(Mark::ClientStopped(self.clients[place].number));
                let client = &mut self.clients[place];
                client.process.signal("STOP")?;
                let longest_ms = self.chance.weighted(&[(2, 300), (1, 2_600)]);
                let stopped = Duration::from_millis(self.chance.between(20, longest_ms));
                client.thaws = Some(Instant::now() + stopped);
                Ok(())
            }
            Fault::StopBroker => self.stop_broker(),
            Fault::SetWallClock => {
                let by_ms = self.chance.weighted(&JUMPS_MS);
                let by_ms = if self.chance.percent(50) {
                    by_ms
                } else {
                    -by_ms
                };
                self.mark(Mark::WallClockSet { by_ms });
                self.wall.set(by_ms)
            }
            Fault::Replace => self.replace_program(),
            Fault::FillDisk => self.fill_disk(),
        }
    }

    fn stop_broker(&mut self) -> Result<()> {
        self.broker.process().stop()?;
        let at = clock::now();
        let stopped = Duration::from_millis(self.chance.between(1_200, 2_400));
        self.pass(stopped)?;
        let until = clock::now();
        self.marks.push((at, Mark::BrokerStopped { until }));
        self.broker.process().signal("CONT")
    }

    /// Has the broker become another program: the same code, other content.
    fn replace_program(&mut self) -> Result<()> {
        let Some(program) = &mut self.program else {
            return Ok(());
        };
        program.serial += 1;
        replace(&program.path, &program.content());
        let client = client(self.broker.data_dir())?;
        let runtime = runtime()?;
        let body = ReloadBody {
            module: Some("program".to_owned()),
            ..ReloadBody::default()
        };
        self.mark(Mark::ReplaceAsked);
        let asked = std::thread::spawn(move || {
            let answer = runtime.block_on(client.reload(&body));
            (clock::now(), answer)
        });
        self.asked = Some(asked);
        match self.chance.percent(40) {
            true => Ok(()),
            false => self.hear_of_program(false),
        }
    }

    /// Waits for what came of a program that the broker was to become, if it was.
    pub(super) fn hear_of_program(&mut self, was_killed: bool) -> Result<()> {
        let Some(asked) = self.asked.take() else {
            return Ok(());
        };
        let (at, answer) = asked.join().map_err(|_| anyhow!("who asked panicked"))?;
        match answer {
            Ok(Reloaded { results }) => {
                let outcome = results.first().map(|result| result.outcome);
                ensure!(outcome == Some(ReloadOutcome::Reloaded), "{results:?}");
                self.marks.push((at, Mark::Replaced));
                Ok(())
            }
            Err(Error::Unreachable { .. }) if was_killed => Ok(()),
            Err(error) => bail!("the program was not taken: {error}"),
        }
    }

    fn fill_disk(&mut self) -> Result<()> {
        let Some(disk) = &self.disk else {
            return Ok(());
        };
        let disk = disk.clone();
        self.mark(Mark::DiskFills);
        self.filler = Some(Filler::fill(&disk));
        let full = |sample: &crate::record::Sample| sample.unwritable_since.is_some();
        self.onlooker
            .wait_for(PATIENCE, clock::now(), full)
            .context("the journal does not fill up")?;
        let full_for = Duration::from_millis(self.chance.between(20, 1_500));
        self.pass(full_for)?;
        if self.chance.percent(35) {
            // What it could not write is lost with it.
            return Ok(());
        }
        self.filler = None;
        self.await_room()
    }

    pub(super) fn await_room(&mut self) -> Result<()> {
        let works = |sample: &crate::record::Sample| sample.unwritable_since.is_none();
        self.onlooker
            .wait_for(PATIENCE, clock::now(), works)
            .context("there is room, and nothing goes on")?;
        self.mark(Mark::DiskWorks);
        Ok(())
    }
}
