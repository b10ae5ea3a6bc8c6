//! `flock(2)`: no server, and no queue that is promised. A thread a client, since a call that waits
//! takes its thread along, and an open file a thread, since that is what the lock belongs to.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::Result;
use crate::hand_off::{Board, Round, SETTLE};

/// Beside the program: every round starts on the same file.
fn path(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(format!("locked-{name}")))
}

fn open(name: &str) -> Result<File> {
    Ok(File::options()
        .create(true)
        .append(true)
        .open(path(name)?)?)
}

fn lock(file: &File) -> Result<()> {
    Ok(flock(file, FlockOperation::LockExclusive)?)
}

fn unlock(file: &File) -> Result<()> {
    Ok(flock(file, FlockOperation::Unlock)?)
}

/// Pairs of lock and unlock a second, each client on a file of its own.
pub fn rate(clients: u32, round: Duration) -> Result<f64> {
    let barrier = Barrier::new(clients as usize);
    let pairs = |client: u32| -> Result<u32> {
        let file = open(&client.to_string());
        barrier.wait();
        let (file, end, mut pairs) = (file?, Instant::now() + round, 0);
        while Instant::now() < end {
            lock(&file)?;
            unlock(&file)?;
            pairs += 1;
        }
        fs::remove_file(path(&client.to_string())?)?;
        Ok(pairs)
    };
    let pairs = &pairs;
    thread::scope(|scope| {
        let running: Vec<_> = (0..clients)
            .map(|client| scope.spawn(move || pairs(client)))
            .collect();
        let mut sum = 0.0;
        for thread in running {
            sum += f64::from(thread.join().map_err(|_| "a client panicked")??);
        }
        Ok(sum / round.as_secs_f64())
    })
}

/// As with the servers: one holder and so many waiters, each of which asks again.
pub fn hand_off(waiters: u32) -> Result<Round> {
    let held = open("contended")?;
    lock(&held)?;
    let board = Mutex::new(Board::new(waiters));
    let take_turns = |client: u32| -> Result<()> {
        let file = open("contended")?;
        loop {
            lock(&file)?;
            let is_over = locked(&board).granted(client);
            unlock(&file)?;
            if is_over {
                return Ok(());
            }
        }
    };
    let take_turns = &take_turns;
    thread::scope(|scope| {
        let running: Vec<_> = (1..=waiters)
            .map(|client| scope.spawn(move || take_turns(client)))
            .collect();
        // The kernel tells nobody who waits for a lock.
        thread::sleep(SETTLE);
        locked(&board).granted(0);
        unlock(&held)?;
        take_turns(0)?;
        for thread in running {
            thread.join().map_err(|_| "a client panicked")??;
        }
        Ok::<_, crate::Error>(())
    })?;
    Ok(board
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .round())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The clients, numbered as they arrived, in the order of their grants.
pub fn order(clients: u32, pace: Duration) -> Result<Vec<u32>> {
    let held = open("contended")?;
    lock(&held)?;
    let served = Mutex::new(Vec::new());
    let once = |client: u32| -> Result<()> {
        let file = open("contended")?;
        lock(&file)?;
        locked(&served).push(client);
        unlock(&file)
    };
    let once = &once;
    thread::scope(|scope| {
        let mut running = Vec::new();
        for client in 0..clients {
            running.push(scope.spawn(move || once(client)));
            // The pace of the arrivals.
            thread::sleep(pace);
        }
        unlock(&held)?;
        for thread in running {
            thread.join().map_err(|_| "a client panicked")??;
        }
        Ok::<_, crate::Error>(())
    })?;
    Ok(served.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Takes the lock that all want.
pub fn hold() -> Result<File> {
    let file = open("contended")?;
    lock(&file)?;
    Ok(file)
}

/// The seconds from `kill` to the next grant; nothing where there was none.
pub fn after(
    watched: Duration,
    queued: Duration,
    kill: impl FnOnce() -> Result<()>,
) -> Result<Option<f64>> {
    let (granted, grant) = channel();
    // Not a scope: where it never is granted the lock, it waits on.
    thread::spawn(move || granted.send(hold().map(|_held| Instant::now())));
    // The kernel does not tell who waits.
    thread::sleep(queued);
    kill()?;
    let killed = Instant::now();
    match grant.recv_timeout(watched) {
        Ok(at) => Ok(Some((at? - killed).as_secs_f64())),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(RecvTimeoutError::Disconnected) => Err("a waiter panicked".into()),
    }
}
