//! What the broker keeps in its data directory: the lock, the token, the endpoint, the reserve, the
//! journal and how far that was written, and ballast for when the disk is full.

pub(crate) mod ballast;
pub(crate) mod directory;
mod head;
pub(crate) mod journal;
pub(crate) mod reserve;
pub(crate) mod token;
