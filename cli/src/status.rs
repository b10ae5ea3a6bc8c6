//! `warden status`: everything at a glance, or as JSON.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _, stdout};

use jiff::Timestamp;
use warden::wire::notice::Notice;
use warden::wire::{Draining, GpuState, GpuStatus, LeaseStatus, Status, WaiterStatus};
use warden_client::Client;

use crate::args::StatusArgs;
use crate::exit::Exit;
use crate::quantity::spoken;
use crate::table::{Align, Table};

/// Prints the status once.
pub async fn status(client: Client, args: StatusArgs) -> anyhow::Result<Exit> {
    let status = client.status().await?;
    let text = match args.json {
        true => serde_json::to_string_pretty(&status)? + "\n",
        false => page(&status, Style::of_stdout()),
    };
    print(&text)?;
    Ok(Exit::Success)
}

/// Writes and flushes, so that a reader that has gone away is noticed here.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Whether words are coloured: only on a terminal, and not against `NO_COLOR`.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    has_color: bool,
}

impl Style {
    /// As standard output and the environment want it.
    pub fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self {
            has_color: stdout().is_terminal() && !refused && !dumb,
        }
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        match self.has_color {
            true => format!("\x1b[1m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// The whole status for people.
pub fn page(status: &Status, style: Style) -> String {
    let mut page = format!(
        "warden {}, {}, {}, revision {}\n",
        status.version,
        count(status.leases.len() as u64, "lease"),
        count(status.queue_depth, "waiter"),
        status.revision
    );
    for notice in &status.notices {
        let Notice { code, since, text } = notice;
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "\n{} since {since}\n{text}",
            style.bold(code.as_str())
        );
    }
    for file in &status.refused_files {
        let _ = writeln!(page, "\n{}\n{file}", style.bold("file refused"));
    }
    section(&mut page, style, "GPUs", gpus(status));
    if !status.leases.is_empty() {
        section(&mut page, style, "Holders", leases(status));
    }
    if !status.queue.is_empty() {
        section(&mut page, style, "Queue", queue(status));
    }
    page
}

fn section(page: &mut String, style: Style, title: &str, table: Table) {
    // Writing to a string cannot fail.
    let _ = write!(page, "\n{}\n{table}", style.bold(title));
}

fn gpus(status: &Status) -> Table {
    let mut table = Table::new(&[
        ("#", Align::Right),
        ("NAME", Align::Left),
        ("STATE", Align::Left),
        ("MEMORY", Align::Right),
        ("ID", Align::Left),
        ("HELD BY", Align::Left),
    ]);
    for gpu in &status.gpus {
        let holders = gpu.lease_ids.iter();
        let holders = holders.map(|id| client_of(status, id).to_owned());
        let draining = gpu.draining.iter().map(|drain| drained(status, drain));
        let holders: Vec<String> = holders.chain(draining).collect();
        table.row([
            gpu.index.to_string(),
            gpu_name(gpu),
            state_name(gpu.state).to_owned(),
            gpu.vram_total_mib.map_or_else(|| "unknown".to_owned(), mib),
            gpu.id.to_string(),
            holders.join(", "),
        ]);
    }
    table
}

fn client_of<'a>(status: &'a Status, id: &'a warden::LeaseId) -> &'a str {
    let lease = status.leases.iter().find(|lease| lease.lease_id == *id);
    lease.map_or(id.as_str(), |lease| lease.client.as_str())
}

/// Whose process a GPU waits for, and how long yet.
fn drained(status: &Status, drain: &Draining) -> String {
    let left = left_ms(&status.at, &drain.until).map_or_else(String::new, |left_ms| {
        format!(", at most for {}", spoken(left_ms))
    });
    format!("{}'s process {}{left}", drain.client, drain.pid)
}

/// From one time of day to a later one.
fn left_ms(at: &str, until: &str) -> Option<u64> {
    let (at, until): (Timestamp, Timestamp) = (at.parse().ok()?, until.parse().ok()?);
    u64::try_from(until.duration_since(at).as_millis()).ok()
}

/// A simulated GPU says so wherever it shows.
fn gpu_name(gpu: &GpuStatus) -> String {
    match gpu.simulated && !gpu.name.to_lowercase().contains("simulated") {
        true => format!("{} (simulated)", gpu.name),
        false => gpu.name.clone(),
    }
}

fn leases(status: &Status) -> Table {
    let mut table = Table::new(&[
        ("CLIENT", Align::Left),
        ("PRIO", Align::Right),
        ("OPERATION", Align::Left),
        ("GPU", Align::Left),
        ("SHARE", Align::Right),
        ("PID", Align::Right),
        ("HELD", Align::Right),
        ("ENDS IN", Align::Right),
        ("LEASE", Align::Left),
    ]);
    for lease in &status.leases {
        table.row([
            holder(lease),
            lease.priority.to_string(),
            lease.operation.clone(),
            indexes(status, lease),
            lease.vram_mib.map_or_else(|| "alone".to_owned(), mib),
            lease
                .pid
                .map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            spoken(lease.held_ms),
            spoken(lease.expires_in_ms),
            lease.lease_id.to_string(),
        ]);
    }
    table
}

fn holder(lease: &LeaseStatus) -> String {
    match lease.yield_asked {
        true => format!("{} (asked to yield)", lease.client),
        false => lease.client.clone(),
    }
}

fn indexes(status: &Status, lease: &LeaseStatus) -> String {
    let index = |id: &warden::GpuId| {
        let gpu = status.gpus.iter().find(|gpu| gpu.id == *id);
        gpu.map_or_else(|| id.to_string(), |gpu| gpu.index.to_string())
    };
    let indexes: Vec<String> = lease.gpu_ids.iter().map(index).collect();
    indexes.join(",")
}

fn queue(status: &Status) -> Table {
    let mut table = Table::new(&[
        ("PLACE", Align::Right),
        ("CLIENT", Align::Left),
        ("PRIO", Align::Right),
        ("OPERATION", Align::Left),
        ("GPUS", Align::Right),
        ("SHARE", Align::Right),
        ("WAITED", Align::Right),
        ("LEFT", Align::Right),
        ("REQUEST", Align::Left),
        ("WHY", Align::Left),
    ]);
    for waiter in &status.queue {
        table.row([
            waiter.place.to_string(),
            waiter_name(waiter),
            waiter.priority.to_string(),
            waiter.operation.clone(),
            waiter.gpus.to_string(),
            waiter.vram_mib.map_or_else(|| "alone".to_owned(), mib),
            spoken(waiter.waited_ms),
            spoken(waiter.times_out_in_ms),
            waiter.request_id.to_string(),
            waiter.why.text.clone(),
        ]);
    }
    table
}

fn waiter_name(waiter: &WaiterStatus) -> String {
    match waiter.connected {
        true => waiter.client.clone(),
        false => format!("{} (away)", waiter.client),
    }
}

fn mib(mib: u64) -> String {
    format!("{mib} MiB")
}

fn count(number: u64, noun: &str) -> String {
    match number {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

fn state_name(state: GpuState) -> &'static str {
    match state {
        GpuState::Free => "free",
        GpuState::Held => "held",
        GpuState::Kept => "kept",
        GpuState::Draining => "draining",
        GpuState::Cordoned => "cordoned",
        GpuState::Gone => "gone",
    }
}
