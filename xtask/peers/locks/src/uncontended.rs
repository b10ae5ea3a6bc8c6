//! Lock and unlock, each client on a lock of its own.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::clients::{Client, Servers, System, Wanted};
use crate::{Result, block_on, file};

const ROUND: Duration = Duration::from_millis(600);
/// As many threads as a small machine can feed; each drives its share of the connections.
const THREADS: u32 = 2;
/// Longer than any round.
const TTL_S: u32 = 60;

/// Pairs of lock and unlock a second over so many connections.
pub fn rate(system: System, servers: &Servers, clients: u32) -> Result<f64> {
    if system == System::Flock {
        return file::rate(clients, ROUND);
    }
    let threads = THREADS.min(clients);
    let barrier = Barrier::new(threads as usize);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let (barrier, numbers) = (&barrier, (thread..clients).step_by(threads as usize));
                scope.spawn(move || block_on(drive(system, servers, numbers, barrier)))
            })
            .collect();
        let mut sum = 0.0;
        for thread in running {
            sum += thread.join().map_err(|_| "a client panicked")??;
        }
        Ok(sum)
    })
}

async fn drive(
    system: System,
    servers: &Servers,
    numbers: impl Iterator<Item = u32>,
    barrier: &Barrier,
) -> Result<f64> {
    let clients = connect(system, servers, numbers).await;
    barrier.wait();
    let start = Instant::now();
    let mut running = JoinSet::new();
    for client in clients? {
        running.spawn_local(pairs(client, start + ROUND));
    }
    let mut sum = 0;
    while let Some(pairs) = running.join_next().await {
        sum += pairs??;
    }
    Ok(f64::from(sum) / start.elapsed().as_secs_f64())
}

/// Connects, and locks once: what only a first time costs is not measured.
async fn connect(
    system: System,
    servers: &Servers,
    numbers: impl Iterator<Item = u32>,
) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for number in numbers {
        let wanted = Wanted {
            own: Some(number),
            client: number,
            priority: None,
            ttl_s: TTL_S,
        };
        let mut client = system.connect(servers, wanted).await?;
        client.lock().await?;
        client.unlock().await?;
        clients.push(client);
    }
    Ok(clients)
}

async fn pairs(mut client: Client, end: Instant) -> Result<u32> {
    let mut pairs = 0;
    while Instant::now() < end {
        client.lock().await?;
        client.unlock().await?;
        pairs += 1;
    }
    Ok(pairs)
}
