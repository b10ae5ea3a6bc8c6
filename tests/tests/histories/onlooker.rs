//! Reads the status over and over while others contend, and asks after every request at the end.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::runtime::Runtime;
use warden::wire::notice::NoticeCode;
use warden::wire::{Status, WaiterStatus};
use warden_client::Client;

use crate::client::{client, send};
use crate::clock;
use crate::record::{Answer, Call, Ns, ONLOOKER, Op, Row, Sample};

const EVERY: Duration = Duration::from_millis(15);

#[derive(Debug, Default)]
struct Seen {
    samples: Vec<Sample>,
    over: bool,
}

/// Reads until it is told that it is over.
#[derive(Debug)]
pub struct Onlooker {
    seen: Arc<(Mutex<Seen>, Condvar)>,
    thread: JoinHandle<()>,
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Onlooker {
    pub fn start(data_dir: &Path) -> Result<Self> {
        let client = client(data_dir)?;
        let runtime = runtime()?;
        let seen = Arc::new((Mutex::default(), Condvar::new()));
        let thread = std::thread::spawn({
            let seen = Arc::clone(&seen);
            move || runtime.block_on(look_on(&client, &seen))
        });
        Ok(Self { seen, thread })
    }

    /// Waits until a status is as wanted that was asked for after `since`.
    pub fn wait_for(
        &self,
        patience: Duration,
        since: Ns,
        wanted: impl Fn(&Sample) -> bool,
    ) -> Result<()> {
        let (seen, news) = &*self.seen;
        let fits = |seen: &Seen| {
            let last = seen.samples.last();
            last.is_some_and(|sample| sample.at > since && wanted(sample))
        };
        let waited = news.wait_timeout_while(lock(seen), patience, |seen| !fits(seen));
        let (seen, _) = waited.unwrap_or_else(PoisonError::into_inner);
        ensure!(
            fits(&seen),
            "waited {patience:?}; the last status: {:?}",
            seen.samples.last()
        );
        Ok(())
    }

    /// How many were granted when last looked.
    pub fn granted(&self) -> u64 {
        let seen = lock(&self.seen.0);
        seen.samples.last().map_or(0, |sample| sample.granted)
    }

    /// All that was seen.
    pub fn end(self) -> Vec<Sample> {
        lock(&self.seen.0).over = true;
        let _it_fails_the_run_where_it_panicked = self.thread.join();
        std::mem::take(&mut lock(&self.seen.0).samples)
    }
}

/// For one thread.
pub fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().build()?)
}

async fn look_on(client: &Client, (seen, news): &(Mutex<Seen>, Condvar)) {
    while !lock(seen).over {
        let at = clock::now();
        if let Ok(status) = client.status().await {
            let sample = sample(at, clock::now(), status);
            lock(seen).samples.push(sample);
            news.notify_all();
        }
        // It samples: what it would wait for is what it is to find out.
        tokio::time::sleep(EVERY).await;
    }
}

fn sample(at: Ns, answered: Ns, status: Status) -> Sample {
    let leases = status.leases.into_iter();
    let mut notices = status.notices.into_iter();
    let unwritable = notices.find(|notice| notice.code == NoticeCode::JournalUnwritable);
    Sample {
        at,
        answered,
        revision: status.revision,
        granted: status.counters.granted,
        unwritable_since: unwritable.map(|notice| notice.since),
        ended: status.counters.ended,
        leases: leases.map(|lease| lease.lease_id).collect(),
        queue: status.queue.into_iter().map(row).collect(),
    }
}

fn row(waiter: WaiterStatus) -> Row {
    Row {
        plain: waiter.gpus == 1
            && waiter.gpu_ids.is_none()
            && waiter.vram_mib.is_none()
            && waiter.operation == "inference",
        request_id: waiter.request_id,
        arrival: waiter.arrival,
        priority: waiter.priority,
        passed: waiter.passed,
        connected: waiter.connected,
    }
}

/// Asks after every request that a client named.
pub fn ask_after_all(data_dir: &Path, ops: &[Op]) -> Result<Vec<Op>> {
    let ids: BTreeSet<_> = ops
        .iter()
        .filter_map(|op| match &op.call {
            Call::Lock(body) => body.request_id.clone(),
            _ => None,
        })
        .collect();
    let client = client(data_dir)?;
    runtime()?.block_on(async {
        let mut looks = Vec::new();
        for id in ids {
            let (at, call) = (clock::now(), Call::Look(id));
            let answer = send(&client, &call, None).await;
            ensure!(
                !matches!(answer, Answer::Lost | Answer::NotSent),
                "the broker is away"
            );
            looks.push(Op {
                client: ONLOOKER,
                at,
                call,
                answer: Some((clock::now(), answer)),
            });
        }
        Ok(looks)
    })
}
