//! The commands that end something: each prints what came of it.

use std::io::{Write as _, stderr, stdout};

use warden::wire::notice::{Notice, NoticeCode};
use warden::wire::{RequestPhase, Status};
use warden_client::Client;

use crate::args::{CancelArgs, ForceReleaseArgs};
use crate::exit::Exit;
use crate::quantity::spoken;

/// `warden cancel`.
pub async fn cancel(client: Client, args: CancelArgs) -> anyhow::Result<Exit> {
    let state = client.cancel(&args.request).await?;
    let outcome = state.outcome.map_or_else(
        || phase_name(state.state).to_owned(),
        |outcome| outcome.as_str().to_owned(),
    );
    let waited = spoken(state.waited_ms);
    writeln!(
        stdout(),
        "{}: {outcome} (waited {waited})",
        state.request_id
    )?;
    Ok(Exit::Success)
}

/// `warden reset`.
pub async fn reset(client: Client) -> anyhow::Result<Exit> {
    let before = client.status().await?.notices;
    let ended = client.reset().await?.ended;
    let doubted = |notice: &Notice| notice.code == NoticeCode::JournalDamaged;
    if before.iter().any(doubted) {
        writeln!(stdout(), "the journal is trusted again: grants go on")?;
    }
    match ended.is_empty() {
        true => writeln!(stdout(), "nothing was stale")?,
        false => writeln!(
            stdout(),
            "ended {}: {}",
            count(ended.len(), "stale lease"),
            list(&ended)
        )?,
    }
    Ok(Exit::Success)
}

/// `warden force-release`.
pub async fn force_release(client: Client, args: ForceReleaseArgs) -> anyhow::Result<Exit> {
    let mut out = stdout();
    let Some(lease) = args.lease else {
        if !args.all {
            return which_lease(&client).await;
        }
        let forced = client.force_release_all(args.clear_queue).await?;
        match forced.ended.is_empty() {
            true => writeln!(out, "nothing was held")?,
            false => writeln!(
                out,
                "ended {}: {}",
                count(forced.ended.len(), "lease"),
                list(&forced.ended)
            )?,
        }
        if args.clear_queue {
            match forced.cleared.is_empty() {
                true => writeln!(out, "nobody waited")?,
                false => writeln!(
                    out,
                    "refused {}: {}",
                    count(forced.cleared.len(), "waiter"),
                    list(&forced.cleared)
                )?,
            }
        }
        return Ok(Exit::Success);
    };
    let ended = client.force_release(&lease).await?;
    let outcome = ended.outcome.as_str();
    writeln!(
        out,
        "{}: {outcome} after {}",
        ended.lease_id,
        spoken(ended.held_ms)
    )?;
    Ok(Exit::Success)
}

/// Says what may be typed, where nothing was.
async fn which_lease(client: &Client) -> anyhow::Result<Exit> {
    let mut out = stderr();
    writeln!(
        out,
        "warden: which lease is meant? Name its id, or --all for every lease"
    )?;
    // Without a broker that answers, nothing was understood all the same.
    let Ok(Status { leases, .. }) = client.status().await else {
        return Ok(Exit::Usage);
    };
    for lease in &leases {
        let held = spoken(lease.held_ms);
        writeln!(out, "  {}  {}, held {held}", lease.lease_id, lease.client)?;
    }
    if leases.is_empty() {
        writeln!(out, "  nothing is held now")?;
    }
    Ok(Exit::Usage)
}

fn phase_name(phase: RequestPhase) -> &'static str {
    match phase {
        RequestPhase::Waiting => "waiting",
        RequestPhase::Granted => "granted",
        RequestPhase::Ended => "ended",
    }
}

fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

fn list<T: ToString>(ids: &[T]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(", ")
}
