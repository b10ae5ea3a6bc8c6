//! One look at all processes for everybody who wants one now.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use crate::tree::Census;

/// Where looks are asked for; a clone asks at the same place. At most one look is under way: who
/// asks meanwhile shares the next.
#[derive(Clone, Debug)]
pub(super) struct Lookout(mpsc::UnboundedSender<Wish>);

/// Somebody who waits for a look, and since which start time marks are wanted.
#[derive(Debug)]
struct Wish {
    marks_since: Option<u64>,
    to: oneshot::Sender<Arc<Census>>,
}

impl Lookout {
    /// Looks until nobody can ask any more.
    pub(super) fn new() -> Self {
        // Bounded by who asks: each owner's end and each that drains has one wish at a time.
        let (sender, wishes) = mpsc::unbounded_channel();
        tokio::spawn(look_out(wishes));
        Self(sender)
    }

    /// All processes as they are after this call. Where they cannot be seen there are none.
    pub(super) async fn look(&self, marks_since: Option<u64>) -> Arc<Census> {
        let (to, census) = oneshot::channel();
        // Nobody looks any more only where the broker is ending.
        let _ = self.0.send(Wish { marks_since, to });
        census.await.unwrap_or_default()
    }
}

async fn look_out(mut wishes: mpsc::UnboundedReceiver<Wish>) {
    while let Some(first) = wishes.recv().await {
        let mut all = vec![first];
        while let Ok(more) = wishes.try_recv() {
            all.push(more);
        }
        let marks_since = all.iter().filter_map(|wish| wish.marks_since).min();
        let census = match spawn_blocking(move || Census::take(marks_since)).await {
            Ok(Ok(census)) => census,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the processes of this host cannot be looked at");
                Census::default()
            }
            // The runtime is going.
            Err(_) => return,
        };
        let census = Arc::new(census);
        for wish in all {
            // Who does not wait any more needs none.
            let _ = wish.to.send(Arc::clone(&census));
        }
    }
}
