//! `warden check`: exercises a live broker as a client would, and leaves nothing behind.
//!
//! Whatever it asks for carries a name that begins with `warden-check`, the least urgent priorities
//! there are, and this process as its owner; it ends requests of its own only. Where it could delay
//! others it does not ask at all, and says so.

mod calls;
mod contention;
mod load;
mod report;
mod room;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use warden::GpuId;

use crate::args::BrokerArgs;
use crate::check::report::{Finding, Report};
use crate::check::room::Room;
use crate::exit::Exit;

/// Runs the checks, a line for each.
pub fn check(broker: &BrokerArgs) -> anyhow::Result<Exit> {
    let client = crate::client(broker)?;
    crate::block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to signals")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen to signals")?;
        let room = Room::new(client);
        let ended = tokio::select! {
            all = all(&room) => all,
            _ = interrupt.recv() => Ok(Exit::Signal(2)),
            _ = terminate.recv() => Ok(Exit::Signal(15)),
        };
        room.tidy().await;
        ended
    })
}

async fn all(room: &Room) -> anyhow::Result<Exit> {
    let mut report = Report::default();
    // A broker that does not answer at all is no failed check: there is nothing to check.
    let status = room.client().status().await?;
    let found = format!("version {}, {} GPUs", status.version, status.gpus.len());
    report.line("answers", Ok(found))?;
    with_gpu(room, &mut report, "priority order", contention::order).await?;
    with_gpu(room, &mut report, "time-out", contention::time_out).await?;
    with_gpu(room, &mut report, "renewal", calls::renewal).await?;
    with_gpu(room, &mut report, "stale token", calls::stale_token).await?;
    with_gpu(room, &mut report, "forced release", calls::forced_release).await?;
    with_gpu(room, &mut report, "status with a queue", load::with_waiters).await?;
    report.line("status under load", load::alone(room).await)?;
    report.line("nothing left behind", room.check_empty().await)?;
    Ok(report.exit())
}

/// Makes a check that needs a GPU, where nobody would miss one right now.
async fn with_gpu(
    room: &Room,
    report: &mut Report,
    name: &str,
    check: impl AsyncFnOnce(&Room, &GpuId) -> Finding,
) -> anyhow::Result<()> {
    match room::free_gpu(&room.client().status().await?) {
        Ok(gpu) => {
            let found = check(room, &gpu).await;
            room.tidy().await;
            report.line(name, found)?;
        }
        Err(busy) => report.skip(name, &busy)?,
    }
    Ok(())
}
