//! Who is served in which order: a hundred that are patient arrive one after the other, then twenty
//! that are urgent, then the lock is let go of.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::clients::{Client, Servers, System, Wanted};
use crate::{Result, block_on, file};

pub const PATIENT: u32 = 100;
pub const URGENT: u32 = 20;
/// Between two arrivals. Longer than any of the servers takes to queue one.
pub const PACE: Duration = Duration::from_millis(5);
/// The policy's `mic` and `dreamer`.
const PRIORITIES: (u8, u8) = (0, 20);

/// What the order of grants shows.
pub struct Order {
    /// The part of the grants that went to a client while one waited that had come earlier and was
    /// at least as urgent.
    pub overtaken: f64,
    /// How many patient ones were served before an urgent one, the mean.
    pub ahead_of_urgent: f64,
}

impl Order {
    /// Of clients, numbered from 0 as they arrived, in the order of their grants.
    pub fn of(grants: &[u32]) -> Self {
        let is_urgent = |client: u32| client >= PATIENT;
        let overtakes = |at: usize| {
            let served = grants[at];
            let waits = &grants[at + 1..];
            waits
                .iter()
                .any(|&waits| waits < served && is_urgent(waits) >= is_urgent(served))
        };
        let overtaken = (0..grants.len()).filter(|&at| overtakes(at)).count();
        let (mut patient, mut ahead) = (0, 0);
        for &client in grants {
            if is_urgent(client) {
                ahead += patient;
            } else {
                patient += 1;
            }
        }
        Self {
            overtaken: overtaken as f64 / grants.len() as f64,
            ahead_of_urgent: f64::from(ahead) / f64::from(URGENT),
        }
    }
}

pub fn measure(system: System, servers: &Servers) -> Result<Order> {
    let grants = match system {
        System::Flock => file::order(PATIENT + URGENT, PACE)?,
        _ => block_on(grants(system, servers))?,
    };
    if grants.len() != (PATIENT + URGENT) as usize {
        return Err(format!("{system:?}: {} were served", grants.len()).into());
    }
    Ok(Order::of(&grants))
}

async fn grants(system: System, servers: &Servers) -> Result<Vec<u32>> {
    let mut holder = system.connect(servers, wanted(0, PRIORITIES.1)).await?;
    holder.lock().await?;
    let mut clients = Vec::new();
    for number in 0..PATIENT + URGENT {
        let priority = if number < PATIENT {
            PRIORITIES.1
        } else {
            PRIORITIES.0
        };
        clients.push(
            system
                .connect(servers, wanted(number + 1, priority))
                .await?,
        );
    }
    let served = Rc::new(RefCell::new(Vec::new()));
    let mut running = JoinSet::new();
    for (number, client) in (0..).zip(clients) {
        running.spawn_local(once(client, number, Rc::clone(&served)));
        // The pace of the arrivals.
        sleep(PACE).await;
    }
    holder.unlock().await?;
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(served.take())
}

fn wanted(client: u32, priority: u8) -> Wanted {
    Wanted {
        own: None,
        client,
        priority: Some(priority),
        ttl_s: 60,
    }
}

async fn once(mut client: Client, number: u32, served: Rc<RefCell<Vec<u32>>>) -> Result<()> {
    client.lock().await?;
    served.borrow_mut().push(number);
    client.unlock().await
}
