//! The pure core of Warden, an arbiter for the GPUs of one machine.
//!
//! No I/O, no clock, no threads: time comes in as an argument, facts come out as values. Whoever
//! drives this crate (the broker) journals those facts and performs their effects.

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
