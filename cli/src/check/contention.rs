//! Several of ours at one GPU.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep, timeout};
use warden::wire::LockBody;
use warden::{Code, GpuId};

use crate::check::calls::expect;
use crate::check::report::{Finding, Wrong, wrong};
use crate::check::room::{Ask, Room};

/// As long as anything here may take, others at the GPU included.
const PATIENCE: Duration = Duration::from_secs(10);
/// In order of arrival, so that arrival alone would give another order.
const PRIORITIES: [u8; 4] = [255, 253, 254, 253];

/// Waiters that come while a GPU is held are served by priority, then by arrival.
pub async fn order(room: &Room, gpu: &GpuId) -> Finding {
    let ask = |what, priority| Ask {
        what,
        priority,
        gpu,
        timeout: PATIENCE,
    };
    let holder = room.ask(&ask("holder", 255)).await?;
    let served = RefCell::new(Vec::new());
    let mut waiters = Vec::new();
    for priority in PRIORITIES {
        waiters.push(room.prepare(&ask("waiter", priority))?);
    }
    let wait = async |nth: usize, body: LockBody| -> Result<(), Wrong> {
        let granted = room.lock(body).await?;
        served.borrow_mut().push(nth);
        room.unlock(&granted).await?;
        Ok(())
    };
    let all = try_join_all(waiters.iter().enumerate().map(async |(nth, body)| {
        // Each comes only when the one before it waits, so that their order is known.
        if let Some(before) = nth.checked_sub(1).and_then(|before| waiters.get(before)) {
            until_waiting(room, before).await?;
        }
        wait(nth, body.clone()).await
    }));
    let release = async {
        for body in &waiters {
            until_waiting(room, body).await?;
        }
        Ok(room.unlock(&holder).await?)
    };
    let joined = timeout(PATIENCE, async { tokio::try_join!(all, release) }).await;
    joined.map_err(|_| Wrong(format!("not done after {} s", PATIENCE.as_secs())))??;
    let served = served.into_inner();
    let mut expected: Vec<usize> = (0..PRIORITIES.len()).collect();
    expected.sort_by_key(|nth| PRIORITIES[*nth]);
    let names = |order: &[usize]| {
        let names: Vec<String> = order
            .iter()
            .map(|nth| format!("{}#{}", PRIORITIES[*nth], nth + 1))
            .collect();
        names.join(" ")
    };
    match served == expected {
        true => Ok(format!("served {}", names(&served))),
        false => wrong(format!(
            "served {} in place of {}",
            names(&served),
            names(&expected)
        )),
    }
}

/// Waits until the broker has a request in its queue. There is no event for a caller that follows
/// no stream, so it is looked at.
async fn until_waiting(room: &Room, body: &LockBody) -> Result<(), Wrong> {
    let Some(id) = &body.request_id else {
        return wrong("a request without an id");
    };
    loop {
        match room.client().request(id).await {
            Ok(_) => return Ok(()),
            Err(error) if error.code() == Some(Code::UnknownRequest) => {
                sleep(Duration::from_millis(2)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A waiter gives up when it said it would.
pub async fn time_out(room: &Room, gpu: &GpuId) -> Finding {
    let limit = Duration::from_millis(300);
    let ask = |what, timeout| Ask {
        what,
        priority: 255,
        gpu,
        timeout,
    };
    let holder = room.ask(&ask("holder", PATIENCE)).await?;
    let started = Instant::now();
    let waited = room.ask(&ask("time-out", limit)).await;
    let took = started.elapsed();
    room.unlock(&holder).await?;
    expect(waited.err(), Code::QueueTimeout, "a wait for a held GPU")?;
    if took < limit || took > limit + Duration::from_secs(2) {
        return wrong(format!(
            "{} ms in place of {}",
            took.as_millis(),
            limit.as_millis()
        ));
    }
    Ok(format!("{} ms for {}", took.as_millis(), limit.as_millis()))
}
