//! Measures locks of several servers side by side: `locks measure SERVERS` prints one line of JSON
//! for each figure, `locks hold SYSTEM SERVERS` takes a lock and holds it until it is killed.
//! SERVERS is JSON and says where each listens.
//!
//! Rounds of all systems take turns, so that what else the machine does meets all alike.

mod clients;
mod file;
mod hand_off;
mod killed;
mod order;
mod uncontended;

use std::future::Future;
use std::io::{self, Write as _};

use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use clients::{Servers, System};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

const ROUNDS: usize = 3;

/// Everything that locks without waiting.
const UNCONTENDED: [System; 10] = [
    System::NoOp,
    System::Warden,
    System::RedisSet,
    System::PostgresRow,
    System::PostgresRowAsync,
    System::PostgresForUpdate,
    System::PostgresAdvisory,
    System::EtcdUnsynced,
    System::Etcd,
    System::Flock,
];

/// Everything in which clients wait for each other.
const CONTENDED: [System; 9] = [
    System::Fifo,
    System::Warden,
    System::RedisList,
    System::RedisSet,
    System::PostgresForUpdate,
    System::PostgresAdvisory,
    System::EtcdUnsynced,
    System::Etcd,
    System::Flock,
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["measure", servers] => measure(&serde_json::from_str(servers)?),
        ["hold", system, servers] => {
            let system = serde_json::from_value(Value::from(*system))?;
            killed::hold(system, &serde_json::from_str(servers)?)
        }
        other => Err(format!("what is {other:?}?").into()),
    }
}

fn measure(servers: &Servers) -> Result<()> {
    block_on(clients::postgres::make_table(servers.postgres()))?;
    for clients in [1, 8, 64] {
        measure_uncontended(servers, clients)?;
    }
    for waiters in [10, 100, 1000] {
        measure_hand_offs(servers, waiters)?;
    }
    for system in CONTENDED {
        let order = order::measure(system, servers)?;
        print(&json!({
            "bench": "order", "system": system,
            "overtaken": order.overtaken, "ahead_of_urgent": order.ahead_of_urgent,
        }))?;
    }
    let watched_s = killed::WATCHED.as_secs();
    for (system, after_s) in killed::measure(servers)? {
        print(&json!({
            "bench": "killed", "system": system, "after_s": after_s, "watched_s": watched_s,
        }))?;
    }
    Ok(())
}

fn measure_uncontended(servers: &Servers, clients: u32) -> Result<()> {
    let mut rates = UNCONTENDED.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (rates, system) in rates.iter_mut().zip(UNCONTENDED) {
            rates.push(uncontended::rate(system, servers, clients)?);
        }
    }
    for (rates, system) in rates.into_iter().zip(UNCONTENDED) {
        print(&json!({
            "bench": "uncontended", "system": system, "clients": clients, "per_s": median(rates),
        }))?;
    }
    Ok(())
}

fn measure_hand_offs(servers: &Servers, waiters: u32) -> Result<()> {
    let mut rounds = CONTENDED.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (rounds, system) in rounds.iter_mut().zip(CONTENDED) {
            rounds.push(hand_off::measure(system, servers, waiters)?);
        }
    }
    for (rounds, system) in rounds.iter().zip(CONTENDED) {
        let each = |of: fn(&hand_off::Round) -> f64| median(rounds.iter().map(of).collect());
        print(&json!({
            "bench": "hand_off", "system": system, "waiters": waiters,
            "per_s": each(|round| round.per_s),
            "p50_us": each(|round| round.p50_us),
            "p99_us": each(|round| round.p99_us),
        }))?;
    }
    Ok(())
}

fn print(line: &Value) -> Result<()> {
    Ok(writeln!(io::stdout(), "{line}")?)
}

/// Runs a future and the local tasks that it spawns on this thread.
fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, future)
}

fn median(values: Vec<f64>) -> f64 {
    percentile(values, 0.5)
}

/// The value that this part of all values does not exceed, by the nearest rank.
fn percentile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = ((values.len() as f64 * part).ceil() as usize).max(1);
    values.get(rank - 1).copied().unwrap_or(f64::NAN)
}
