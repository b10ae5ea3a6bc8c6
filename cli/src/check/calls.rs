//! What a holder and an operator may do with one lease.

use std::time::Duration;

use warden::wire::{Granted, Outcome, RenewBody};
use warden::{Code, GpuId};
use warden_client::Error;

use crate::check::report::{Finding, Wrong, wrong};
use crate::check::room::{Ask, Room};
use crate::quantity::spoken;

async fn lease(room: &Room, what: &str, gpu: &GpuId) -> Result<Granted, Error> {
    let ask = Ask {
        what,
        priority: 255,
        gpu,
        timeout: Duration::from_secs(2),
    };
    room.ask(&ask).await
}

fn renewal_of(granted: &Granted, token: u64) -> RenewBody {
    RenewBody {
        lease_id: granted.lease_id.clone(),
        token,
        operation: None,
    }
}

/// A renewal puts the deadline off by no less than the grant did. It is told by durations: they
/// hold also where the wall clock is set meanwhile.
pub async fn renewal(room: &Room, gpu: &GpuId) -> Finding {
    let granted = lease(room, "renewal", gpu).await?;
    let renewed = room
        .client()
        .renew(&renewal_of(&granted, granted.token))
        .await?;
    room.unlock(&granted).await?;
    if renewed.ttl_ms < granted.ttl_ms {
        return wrong(format!(
            "granted for {}, renewed for only {}",
            spoken(granted.ttl_ms),
            spoken(renewed.ttl_ms)
        ));
    }
    Ok(format!("for another {}", spoken(renewed.ttl_ms)))
}

/// Another number than the lease's opens nothing, and ends nothing.
pub async fn stale_token(room: &Room, gpu: &GpuId) -> Finding {
    let granted = lease(room, "stale token", gpu).await?;
    let stale = granted.token.wrapping_sub(1);
    let renewed = room.client().renew(&renewal_of(&granted, stale)).await;
    expect(
        renewed.err(),
        Code::StaleToken,
        "a renewal with another number",
    )?;
    let unlocked = room.client().unlock(&granted.lease_id, stale).await;
    expect(
        unlocked.err(),
        Code::StaleToken,
        "an unlock with another number",
    )?;
    room.unlock(&granted).await?;
    Ok("refused, and the lease stood".to_owned())
}

/// A lease that was forced is over for its holder.
pub async fn forced_release(room: &Room, gpu: &GpuId) -> Finding {
    let granted = lease(room, "forced release", gpu).await?;
    let ended = room.client().force_release(&granted.lease_id).await?;
    if ended.outcome != Outcome::Forced {
        return wrong(format!("it ended as {:?}", ended.outcome));
    }
    let renewed = room
        .client()
        .renew(&renewal_of(&granted, granted.token))
        .await;
    expect(renewed.err(), Code::LeaseEnded, "a renewal after that")?;
    Ok("the holder was told".to_owned())
}

/// Fails unless a call was refused with this code.
pub fn expect(error: Option<Error>, code: Code, what: &str) -> Result<(), Wrong> {
    match error {
        Some(error) if error.code() == Some(code) => Ok(()),
        Some(error) => wrong(format!("{what} should be {code}, and was: {error}")),
        None => wrong(format!("{what} should be {code}, and succeeded")),
    }
}
