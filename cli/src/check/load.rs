//! The status answers whatever the load.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::time::Instant;
use warden::GpuId;

use crate::check::report::{Finding, Wrong, wrong};
use crate::check::room::{Ask, Room};

/// What the API promises.
const LIMIT: Duration = Duration::from_secs(10);
/// Waiters behind a held GPU.
const WAITERS: usize = 64;
/// Askers at once, and how often each asks.
const ASKERS: usize = 16;
const TIMES: usize = 10;

/// Asks while many of ours wait and leave.
pub async fn with_waiters(room: &Room, gpu: &GpuId) -> Finding {
    let ask = |what, timeout| Ask {
        what,
        priority: 255,
        gpu,
        timeout,
    };
    let holder = room.ask(&ask("load", LIMIT)).await?;
    let waiters = join_all((0..WAITERS).map(async |nth: usize| {
        // They leave one after the other while the status is asked for.
        let timeout = Duration::from_millis(20 + 5 * nth as u64);
        room.ask(&ask("load", timeout)).await
    }));
    let (slowest, _) = tokio::join!(slowest(room), waiters);
    room.unlock(&holder).await?;
    judge(slowest?, &format!(", {WAITERS} waiters coming and going"))
}

/// Asks without adding anything to the queue.
pub async fn alone(room: &Room) -> Finding {
    judge(slowest(room).await?, "")
}

async fn slowest(room: &Room) -> Result<Duration, Wrong> {
    let ask = async |_| -> Result<Duration, Wrong> {
        let mut slowest = Duration::ZERO;
        for _ in 0..TIMES {
            let started = Instant::now();
            room.client().status().await?;
            slowest = slowest.max(started.elapsed());
        }
        Ok(slowest)
    };
    let all = try_join_all((0..ASKERS).map(ask)).await?;
    Ok(all.into_iter().max().unwrap_or_default())
}

fn judge(slowest: Duration, load: &str) -> Finding {
    let figures = format!(
        "{} answers{load}, the slowest after {} ms",
        ASKERS * TIMES,
        slowest.as_millis()
    );
    match slowest < LIMIT {
        true => Ok(figures),
        false => wrong(figures),
    }
}
