//! From a release to the grant of another client on its own connection, with a queue of constant
//! length: whoever was served asks again at once. Where that one gets the lock again before anybody
//! else, it is no hand-off, and the others' time goes on.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::clients::{Client, Servers, System, Wanted};
use crate::{Result, block_on, file, percentile};

pub const MEASURED: Duration = Duration::from_millis(800);
/// What is measured begins once there was a hand-off for each waiter, so that all of them had queued
/// before it, or after so long.
pub const WARM_UP_MAX: Duration = Duration::from_secs(5);
/// Most have queued by then: few servers tell when all have.
pub const SETTLE: Duration = Duration::from_millis(200);
/// Nothing takes so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longer than any round.
const TTL_S: u32 = 120;

/// What one round showed.
pub struct Round {
    pub per_s: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

/// One holder and so many waiters.
pub fn measure(system: System, servers: &Servers, waiters: u32) -> Result<Round> {
    if system == System::Flock {
        return file::hand_off(waiters);
    }
    let round = async {
        match timeout(PATIENCE, round(system, servers, waiters)).await {
            Ok(round) => round,
            Err(_) => Err(format!("{system:?}: a round took more than {PATIENCE:?}").into()),
        }
    };
    block_on(round)
}

async fn round(system: System, servers: &Servers, waiters: u32) -> Result<Round> {
    let mut clients = Vec::new();
    for number in 0..=waiters {
        clients.push(system.connect(servers, wanted(number)).await?);
    }
    let mut holder = clients.remove(0);
    holder.lock().await?;
    let board = Rc::new(RefCell::new(Board::new(waiters)));
    let mut running = JoinSet::new();
    for (number, client) in (1..).zip(clients) {
        running.spawn_local(take_turns(client, number, Rc::clone(&board)));
    }
    sleep(SETTLE).await;
    board.borrow_mut().granted(0);
    holder.unlock().await?;
    running.spawn_local(take_turns(holder, 0, Rc::clone(&board)));
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(board.take().round())
}

fn wanted(number: u32) -> Wanted {
    Wanted {
        own: None,
        client: number,
        priority: None,
        ttl_s: TTL_S,
    }
}

/// What is seen of a round.
#[derive(Default)]
pub struct Board {
    /// Hand-offs until the measured time begins.
    warm_up: u32,
    /// Who was granted the lock last, and when that one let go of it first.
    last: Option<(u32, Instant)>,
    began: Option<Instant>,
    /// When the measured time ends, once it has begun.
    ends: Option<Instant>,
    times_us: Vec<f64>,
}

impl Board {
    pub fn new(waiters: u32) -> Self {
        Self {
            warm_up: waiters,
            ..Self::default()
        }
    }

    /// A client was granted the lock, and lets go of it right after. Whether the round is over.
    pub fn granted(&mut self, client: u32) -> bool {
        let now = Instant::now();
        let is_over = self.ends.is_some_and(|ends| now >= ends);
        let Some((last, released)) = self.last else {
            (self.began, self.last) = (Some(now), Some((client, now)));
            return false;
        };
        if last == client {
            return is_over;
        }
        if self.ends.is_some() && !is_over {
            self.times_us.push((now - released).as_secs_f64() * 1e6);
        }
        self.warm_up = self.warm_up.saturating_sub(1);
        let is_late = self.began.is_some_and(|began| now - began >= WARM_UP_MAX);
        if self.ends.is_none() && (self.warm_up == 0 || is_late) {
            self.ends = Some(now + MEASURED);
        }
        self.last = Some((client, Instant::now()));
        is_over
    }

    pub fn round(self) -> Round {
        Round {
            per_s: self.times_us.len() as f64 / MEASURED.as_secs_f64(),
            p50_us: percentile(self.times_us.clone(), 0.5),
            p99_us: percentile(self.times_us, 0.99),
        }
    }
}

/// After the end nobody asks again, so that the queue empties.
async fn take_turns(mut client: Client, number: u32, board: Rc<RefCell<Board>>) -> Result<()> {
    loop {
        client.lock().await?;
        let is_over = board.borrow_mut().granted(number);
        client.unlock().await?;
        if is_over {
            return Ok(());
        }
    }
}
