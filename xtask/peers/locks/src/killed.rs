//! How long what a client held stays held after its `kill -9`.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::clients::{Servers, System, Wanted};
use crate::{Result, block_on, file};

/// How long a waiter waits for what a killed client held: a little more than Redis's expiry.
pub const WATCHED: Duration = Duration::from_secs(35);
/// `etcdctl lock` has its leases live so long; Warden's without a process likewise, to compare.
const TTL_S: u32 = 10;
/// The next in the queue is surely in it.
const QUEUED: Duration = Duration::from_millis(300);

const SYSTEMS: [System; 8] = [
    System::Fifo,
    System::Warden,
    System::RedisSet,
    System::RedisList,
    System::PostgresForUpdate,
    System::PostgresAdvisory,
    System::EtcdUnsynced,
    System::Flock,
];

/// Takes the lock that all want, says so, and holds it for ever.
pub fn hold(system: System, servers: &Servers) -> Result<()> {
    if system == System::Flock {
        let _held = file::hold()?;
        return say_and_stay();
    }
    block_on(async {
        let mut client = system.connect(servers, wanted(0)).await?;
        client.lock().await?;
        say_and_stay()
    })
}

fn say_and_stay() -> Result<()> {
    writeln!(io::stdout(), "held")?;
    // Until whoever started this kills it, or is gone.
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// For each system, the seconds from the kill to the next grant; nothing where there was none.
pub fn measure(servers: &Servers) -> Result<Vec<(System, Option<f64>)>> {
    // Alone, since it shares its broker with the one without a process.
    let mut measured = vec![(System::WardenPid, after_kill(System::WardenPid, servers)?)];
    thread::scope(|scope| {
        let running =
            SYSTEMS.map(|system| (system, scope.spawn(move || after_kill(system, servers))));
        for (system, thread) in running {
            let after_s = thread.join().map_err(|_| "a client panicked")?;
            measured.push((system, after_s?));
        }
        Ok(measured)
    })
}

fn after_kill(system: System, servers: &Servers) -> Result<Option<f64>> {
    let mut holder = start_holder(system, servers)?;
    if system == System::Flock {
        return file::after(WATCHED, QUEUED, || kill(&mut holder));
    }
    block_on(async {
        let mut waiter = system.connect(servers, wanted(1)).await?;
        let (granted, grant) = oneshot::channel();
        tokio::task::spawn_local(async move {
            let _nobody_listens = granted.send(waiter.lock().await.map(|()| Instant::now()));
        });
        // Not every server tells who waits.
        sleep(QUEUED).await;
        kill(&mut holder)?;
        let killed = Instant::now();
        match timeout(WATCHED, grant).await {
            Ok(granted) => Ok(Some((granted?? - killed).as_secs_f64())),
            Err(_) => Ok(None),
        }
    })
}

fn wanted(client: u32) -> Wanted {
    Wanted {
        own: None,
        client,
        priority: None,
        ttl_s: TTL_S,
    }
}

fn start_holder(system: System, servers: &Servers) -> Result<Child> {
    let mut holder = Command::new(std::env::current_exe()?)
        .arg("hold")
        .arg(serde_json::to_value(system)?.as_str().unwrap_or_default())
        .arg(serde_json::to_string(servers)?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = String::new();
    let stdout = holder.stdout.take().ok_or("it was piped")?;
    BufReader::new(stdout).read_line(&mut said)?;
    if said != "held\n" {
        kill(&mut holder)?;
        return Err(format!("{system:?}: the holder said {said:?}").into());
    }
    Ok(holder)
}

/// `kill -9`, and waits for the end.
fn kill(process: &mut Child) -> Result<()> {
    process.kill()?;
    process.wait()?;
    Ok(())
}
