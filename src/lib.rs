//! The pure core of Warden, an arbiter for the GPUs of one machine.
//!
//! No I/O, no clock, no threads: time comes in as an argument, facts come out as values. Whoever
//! drives this crate (the broker) journals those facts and performs their effects.

pub mod id;
pub mod problem;
pub mod wire;

pub use id::{GpuId, LeaseId, RequestId};
pub use problem::{Code, Problem};
