//! What the broker keeps in its data directory: the lock, the token, the endpoint, the reserve and
//! the journal.

pub(crate) mod directory;
pub(crate) mod journal;
pub(crate) mod reserve;
pub(crate) mod token;
