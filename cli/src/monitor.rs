//! `warden monitor`: what happens, as it happens.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use tokio::time::{MissedTickBehavior, interval};
use warden::StreamEvent;
use warden::stream::Row;
use warden::wire::{LeaseStatus, WaiterStatus};
use warden_client::{Client, FeedItem};

use crate::args::MonitorArgs;
use crate::exit::Exit;
use crate::quantity::spoken;
use crate::status::{Style, page, print};

/// Prints until it is interrupted.
pub async fn monitor(client: Client, args: MonitorArgs) -> anyhow::Result<Exit> {
    match args.interval {
        Some(period) => blocks(client, period).await,
        None => events(client).await,
    }
}

/// The status, again and again. A broker that was never there is an error; one that goes away is
/// waited for.
async fn blocks(client: Client, period: Duration) -> anyhow::Result<Exit> {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_there = false;
    loop {
        ticks.tick().await;
        match client.status().await {
            Ok(status) => {
                was_there = true;
                print(&format!(
                    "{}  {}\n",
                    clock(),
                    page(&status, Style::of_stdout())
                ))?;
            }
            Err(error) if was_there && error.is_away() => {
                print(&format!("{}  {error}\n\n", clock()))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn events(client: Client) -> anyhow::Result<Exit> {
    let mut events = client.events();
    let mut was_there = false;
    loop {
        let line = match events.next().await {
            FeedItem::Connected { address, .. } => {
                was_there = true;
                format!("connected to {address}")
            }
            FeedItem::Snapshot(status) => {
                let gpus = status.gpus.len();
                let simulated = status.gpus.iter().filter(|gpu| gpu.simulated).count();
                format!(
                    "{} snapshot: {gpus} GPUs ({simulated} simulated), {} leases, {} waiters",
                    status.revision,
                    status.leases.len(),
                    status.queue_depth
                )
            }
            FeedItem::Event { revision, event } => {
                format!("{revision} {}: {}", event.name(), told(&event))
            }
            FeedItem::Disconnected { error } if was_there => error.to_string(),
            FeedItem::Disconnected { error } => return Err(error.into()),
        };
        print(&format!("{}  {line}\n", clock()))?;
    }
}

fn clock() -> impl std::fmt::Display {
    Zoned::now().strftime("%H:%M:%S%.3f")
}

fn told(event: &StreamEvent) -> String {
    match event {
        StreamEvent::Snapshot(status) => format!("revision {}", status.revision),
        StreamEvent::Queued(waiter) | StreamEvent::Disconnected(waiter) => waits(waiter),
        StreamEvent::Rejoined(row) => match row {
            Row::Lease(lease) => holds(lease),
            Row::Waiter(waiter) => waits(waiter),
        },
        StreamEvent::Granted(row) => {
            let passed = row.passed.as_ref();
            let passed = passed.map_or_else(String::new, |id| format!(", passed {id}"));
            format!("{}{passed}", holds(&row.lease))
        }
        StreamEvent::Renewed(lease) => holds(lease),
        StreamEvent::YieldAsked(lease) => match lease.yield_asked {
            true => format!("{}: asked to give way", holds(lease)),
            false => format!("{}: no longer asked to give way", holds(lease)),
        },
        StreamEvent::Ended(row) | StreamEvent::TimedOut(row) | StreamEvent::Cancelled(row) => {
            let outcome = row.outcome.as_str();
            match &row.row {
                Row::Lease(lease) => {
                    let drains = row.drains_until.as_ref().and_then(|until| {
                        let until: Timestamp = until.parse().ok()?;
                        Some(until.to_zoned(TimeZone::system()).strftime("%H:%M:%S"))
                    });
                    let drains = drains.map_or_else(String::new, |until| {
                        format!("; drains until {until} at most")
                    });
                    format!(
                        "{} {} {outcome} after {}{drains}",
                        lease.client,
                        lease.lease_id,
                        spoken(lease.held_ms)
                    )
                }
                Row::Waiter(waiter) => format!(
                    "{} {} {outcome} after waiting {}",
                    waiter.client,
                    waiter.request_id,
                    spoken(waiter.waited_ms)
                ),
            }
        }
        StreamEvent::GpusChanged(row) => {
            let draining = row.gpus.iter().filter(|gpu| !gpu.draining.is_empty());
            let draining = match draining.count() {
                0 => String::new(),
                count => format!(", {count} draining"),
            };
            format!("{} GPUs{draining}", row.gpus.len())
        }
        StreamEvent::PolicyChanged(_) => "other rules hold now".to_owned(),
    }
}

fn waits(waiter: &WaiterStatus) -> String {
    let WaiterStatus {
        client,
        request_id,
        priority,
        operation,
        gpus,
        ..
    } = waiter;
    format!("{client} {request_id}, priority {priority}, {operation}, GPUs wanted: {gpus}")
}

fn holds(lease: &LeaseStatus) -> String {
    let gpus: Vec<&str> = lease.gpu_ids.iter().map(|id| id.as_str()).collect();
    format!("{} {} on {}", lease.client, lease.lease_id, gpus.join(", "))
}
