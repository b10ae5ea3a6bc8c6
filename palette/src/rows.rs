//! Every row by name, as entries that select it.

use ui_kit::scene::Scene;
use ui_kit::words;
use warden_view::{Selection, Waiter};

use crate::entry::{Deed, Entry, Kind};

/// Holders, then GPUs. Waiters are too many: see [`waiter`].
pub(crate) fn few(scene: &Scene<'_>) -> impl Iterator<Item = Entry> {
    let holders = scene.picture.holders.iter().map(|holder| {
        let deed = Deed::Select(Selection::Lease(holder.lease.to_string()));
        let on = scene.gpus_marked(&holder.gpus);
        Entry::new(Kind::Holder, &holder.lease, &*holder.client, deed).with_id(
            &on,
            &holder.lease,
            &holder.operation,
        )
    });
    let gpus = scene.picture.gpus.iter().map(|gpu| {
        let deed = Deed::Select(Selection::Gpu(gpu.id.to_string()));
        let title = words::gpu(gpu.index);
        Entry::new(Kind::Gpu, &gpu.id, title, deed).with_id("", &gpu.name, "")
    });
    holders.chain(gpus)
}

/// The waiter at a place in the queue, from 0.
pub(crate) fn waiter(place: usize, waiter: &Waiter) -> Entry {
    let deed = Deed::Select(Selection::Waiter(waiter.request.to_string()));
    let place = format!("place {}", words::number(place as u64 + 1));
    Entry::new(Kind::Waiter, &waiter.request, &*waiter.client, deed).with_id(
        &place,
        &waiter.request,
        &waiter.why.text,
    )
}

/// The request of a waiter's key.
pub(crate) fn request_of(key: &str) -> Option<&str> {
    key.strip_prefix(Kind::Waiter.word())?.strip_prefix('/')
}
