//! GPUs that another broker of this host has, until it has ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use warden::wire::notice::{Notice, NoticeCode};
use warden::{Command, Gpu, GpuId};

use super::claims::{Claims, Refused};
use crate::clock::{rfc3339, wall_ms};
use crate::engine::inbox::{Inbox, Input};
use crate::notices::Notices;

/// At the start the broker before us may still be ending: its files are closed one after the other.
const START_PATIENCE: Duration = Duration::from_millis(300);
/// How often it is looked at who has them.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A GPU that was given up is left for so long to the broker that had it, which may only be
/// restarting: its leases may be held still.
const LEFT_FOR: Duration = Duration::from_secs(3);

/// What a broker may hand out of what was found.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) claims: Arc<Claims>,
    /// All that were found.
    found: Vec<Gpu>,
    notices: Arc<Notices>,
    /// Since when another broker has them, RFC 3339.
    elsewhere: Vec<(GpuId, String)>,
}

impl Shared {
    /// Claims what can be claimed, and says who has the rest.
    pub(crate) async fn claim(claims: Claims, found: Vec<Gpu>, notices: Arc<Notices>) -> Self {
        let mut shared = Self {
            claims: Arc::new(claims),
            found,
            notices,
            elsewhere: Vec::new(),
        };
        let until = Instant::now() + START_PATIENCE;
        for gpu in shared.found.iter().filter(|gpu| !gpu.simulated) {
            if let Err(refused) = shared.claims.claim_by(&gpu.id, until).await {
                tracing::warn!("{}", words(gpu, &refused));
                let since = rfc3339(wall_ms());
                shared.say(gpu, &refused, &since);
                shared.elsewhere.push((gpu.id.clone(), since));
            }
        }
        shared
    }

    /// Those that this broker hands out.
    pub(crate) fn ours(&self) -> Vec<Gpu> {
        let found = self.found.iter();
        found.filter(|gpu| self.claims.has(gpu)).cloned().collect()
    }

    /// Claims the others once they are given up, and tells the engine. Returns once all are claimed.
    pub(crate) async fn follow(mut self, inbox: Arc<Inbox>) {
        let mut free_since: HashMap<GpuId, Instant> = HashMap::new();
        while !self.elsewhere.is_empty() {
            sleep(LOOK_EVERY).await;
            let mut left = Vec::new();
            for (id, since) in std::mem::take(&mut self.elsewhere) {
                let Some(gpu) = self.found.iter().find(|gpu| gpu.id == id) else {
                    continue;
                };
                match self.look(gpu, &mut free_since).await {
                    Ok(true) => {
                        tracing::info!("the GPU {id} ({}) is this broker's now", gpu.name);
                        self.notices.clear(NoticeCode::GpuElsewhere, id.as_str());
                        let gpus = self.ours();
                        inbox.tell(Input::Tell(Command::ChangeGpus { gpus }));
                    }
                    Ok(false) => left.push((id, since)),
                    Err(refused) => {
                        self.say(gpu, &refused, &since);
                        left.push((id, since));
                    }
                }
            }
            self.elsewhere = left;
        }
    }

    /// Whether a GPU is ours now; not yet, where it was given up only just now.
    async fn look(
        &self,
        gpu: &Gpu,
        free_since: &mut HashMap<GpuId, Instant>,
    ) -> Result<bool, Refused> {
        if let Some(rival) = self.claims.ask(&gpu.id).await {
            free_since.remove(&gpu.id);
            return Err(Refused::Taken(rival));
        }
        let now = Instant::now();
        let since = *free_since.entry(gpu.id.clone()).or_insert(now);
        if now.duration_since(since) < LEFT_FOR {
            return Ok(false);
        }
        self.claims.claim(&gpu.id).await.map(|()| true)
    }

    fn say(&self, gpu: &Gpu, refused: &Refused, since: &str) {
        let notice = Notice {
            code: NoticeCode::GpuElsewhere,
            since: since.to_owned(),
            text: words(gpu, refused),
        };
        self.notices.say(gpu.id.as_str(), notice);
    }
}

fn words(gpu: &Gpu, refused: &Refused) -> String {
    let Gpu { id, name, .. } = gpu;
    match refused {
        Refused::Taken(rival) => format!(
            "The GPU {id} ({name}) is not handed out here: {rival} has it. Use that broker, or end \
             it: then it is handed out here"
        ),
        Refused::Failed(error) => format!(
            "The GPU {id} ({name}) is not handed out here: it could not be claimed among the \
             brokers of this host ({error}). It is tried again every second"
        ),
    }
}
