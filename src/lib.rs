//! The pure core of Warden, an arbiter for the GPUs of one machine.
//!
//! No I/O, no clock, no threads: time comes in as an argument, facts come out as values. Whoever
//! drives this crate (the broker) journals those facts and performs their effects.
//!
//! # The way of a lock
//! A [`wire::LockBody`] is parsed into a valid [`Request`] and comes in as a [`Command`]; nothing
//! deeper checks it again. [`Arbiter::decide`] says which [`Event`]s follow and changes nothing;
//! [`Arbiter::apply`] takes them in, at their time as in a replay of the journal, and says which
//! [`Change`] each made. From changes come the answers of waiting connections and the
//! [`StreamEvent`]s, and a reader that folds those over a first status has a [`Snapshot`].
//! [`Arbiter::handle`] does all of it for one command, to the end.
//!
//! # Where things are
//! - The nouns: [`gpu`], [`request`], [`policy`], [`id`], [`number`] (ids made here).
//! - What happens: [`command`] (everything that can, and the answers), [`event`] (what did).
//! - The rules: [`arbiter`]; what fits where is in `fit`, why somebody waits is in `explain`, and
//!   both are shared with [`snapshot`], so that a picture never disagrees with the arbiter.
//! - What travels: [`wire`], [`stream`], [`problem`].
//!
//! # What holds
//! - A decision is pure, and applying its events in order is always valid.
//! - The same events give the same state: no clock, no randomness, no order of a hash table.
//! - No command looks at the waiters one by one, but for those that are about all of them.
//! - Everything that grows has a bound: the queue, what is remembered, what a reason names.
//! - Numbers of leases only grow, and no id is ever made twice.

pub mod arbiter;
pub mod command;
pub mod event;
mod explain;
mod fit;
pub mod gpu;
pub mod id;
pub mod number;
pub mod policy;
pub mod problem;
pub mod request;
pub mod snapshot;
pub mod stream;
pub mod wire;
#[cfg(feature = "workload")]
pub mod workload;

pub use arbiter::{Arbiter, Decision};
pub use command::{Caller, Command, Connection, Grant, Now, Refusal, Reply, RequestView, Start};
pub use event::{Change, Event, Fact};
pub use gpu::Gpu;
pub use id::{GpuId, LeaseId, RequestId};
pub use policy::Policy;
pub use problem::{Code, Problem};
pub use request::{Door, Operation, Origin, Owner, Priority, Request, RequestError};
pub use snapshot::Snapshot;
pub use stream::StreamEvent;
