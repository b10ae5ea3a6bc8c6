//! Where the checks ask for locks, and who cleans up after them.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::time::timeout;
use warden::wire::{GpuState, Granted, LockBody, PriorityName, Status};
use warden::{GpuId, LeaseId, RequestId};
use warden_client::owner::{is_owner_unknown, own_by_nobody, own_by_this_process};
use warden_client::{Client, Error, new_request_id};

use crate::check::report::{Finding, wrong};
use crate::quantity::millis;

/// What the names of all requests begin with.
const NAME: &str = "warden-check";
/// The most that cleaning up may take; after that the broker does it, since the owner is gone.
const TIDY: Duration = Duration::from_secs(5);
/// Leases of the checks end by themselves soon, should all else fail.
const TTL: Duration = Duration::from_secs(10);

/// A broker, and every request that was sent to it.
#[derive(Debug)]
pub struct Room {
    client: Client,
    asked: RefCell<Vec<RequestId>>,
    held: RefCell<Vec<LeaseId>>,
    /// How many of `asked` are known to be over.
    tidied: Cell<usize>,
    /// Off where the broker knows no process of this place.
    has_owner: Cell<bool>,
}

/// One lock request of a check.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// Told to others after `warden-check `.
    pub what: &'a str,
    /// 253–255: whoever comes along goes first.
    pub priority: u8,
    /// The only GPU that it may get.
    pub gpu: &'a GpuId,
    /// How long it waits.
    pub timeout: Duration,
}

impl Room {
    /// Asks nothing yet.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            asked: RefCell::default(),
            held: RefCell::default(),
            tidied: Cell::new(0),
            has_owner: Cell::new(true),
        }
    }

    /// The broker.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Writes a request down as one to clean up, then names it.
    pub fn prepare(&self, ask: &Ask<'_>) -> Result<LockBody, Error> {
        let id = new_request_id()?;
        self.asked.borrow_mut().push(id.clone());
        Ok(LockBody {
            client: format!("{NAME} {}", ask.what),
            priority: Some(PriorityName::Number(ask.priority.into())),
            gpu_ids: Some(vec![ask.gpu.clone()]),
            timeout_ms: Some(millis(ask.timeout)),
            ttl_ms: Some(millis(TTL)),
            request_id: Some(id),
            ..LockBody::default()
        })
    }

    /// Waits for a lease, owned by this process where the broker can see it.
    pub async fn lock(&self, mut body: LockBody) -> Result<Granted, Error> {
        if self.has_owner.get() {
            own_by_this_process(&mut body);
        }
        let granted = match self.client.lock(body.clone()).await {
            Err(error) if is_owner_unknown(&error) => {
                self.has_owner.set(false);
                own_by_nobody(&mut body);
                self.client.lock(body).await?
            }
            answer => answer?,
        };
        self.held.borrow_mut().push(granted.lease_id.clone());
        Ok(granted)
    }

    /// [`Room::prepare`] and [`Room::lock`].
    pub async fn ask(&self, ask: &Ask<'_>) -> Result<Granted, Error> {
        self.lock(self.prepare(ask)?).await
    }

    /// Gives a lease back.
    pub async fn unlock(&self, granted: &Granted) -> Result<(), Error> {
        self.client
            .unlock(&granted.lease_id, granted.token)
            .await
            .map(|_| ())
    }

    /// Ends whatever was asked for since the last time, wherever it stands.
    pub async fn tidy(&self) {
        let open = self
            .asked
            .borrow()
            .get(self.tidied.get()..)
            .unwrap_or_default()
            .to_vec();
        self.tidied.set(self.tidied.get() + open.len());
        let cleaning = async {
            for id in &open {
                // What is unknown or over is as it should be.
                let _ = self.client.cancel(id).await;
            }
        };
        let _ = timeout(TIDY, cleaning).await;
    }

    /// Looks whether anything of ours is still there.
    pub async fn check_empty(&self) -> Finding {
        let status = self.client.status().await?;
        let (asked, held) = (self.asked.borrow(), self.held.borrow());
        let waits = status
            .queue
            .iter()
            .filter(|waiter| asked.contains(&waiter.request_id));
        let holds = status
            .leases
            .iter()
            .filter(|lease| held.contains(&lease.lease_id));
        match waits.count() + holds.count() {
            0 => Ok(format!("{} requests, all over", asked.len())),
            left => wrong(format!("{left} requests of these checks are still there")),
        }
    }
}

/// A GPU that nobody would miss for a moment, or why there is none.
pub fn free_gpu(status: &Status) -> Result<GpuId, String> {
    if status.queue_depth > 0 {
        return Err(format!(
            "it would delay others: {} wait",
            status.queue_depth
        ));
    }
    // The last, since others are given the first.
    let free = status.gpus.iter().rfind(|gpu| gpu.state == GpuState::Free);
    free.map(|gpu| gpu.id.clone()).ok_or_else(|| {
        format!(
            "it would delay others: no GPU is free, leases: {}",
            status.leases.len()
        )
    })
}
