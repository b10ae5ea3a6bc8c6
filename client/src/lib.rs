//! The client library of Warden: finds a broker, speaks its HTTP, keeps leases alive and follows
//! its events. Async on tokio; [`blocking`] is the same for threads without a runtime.
//!
//! Two rules run through it. A broker that cannot be reached ends nothing: what is held stays held
//! until the broker itself says otherwise (410). And a bearer token goes to nobody but the broker
//! that it belongs to: see [`endpoint`].

pub mod blocking;
pub mod endpoint;
pub mod feed;
pub mod owner;
pub mod places;

mod client;
mod connect;
mod error;
mod follow;
mod lease;
mod live;
mod sse;

pub use client::{Client, Submitted, new_request_id};
pub use endpoint::{Address, Endpoint, Find};
pub use error::{Error, Refusal};
pub use feed::{EventStream, Feed, FeedItem};
pub use lease::{Lease, LeaseState};
pub use live::{ConfigEvents, ConfigItem};
pub use places::{DEFAULT_ADDR, default_config_dir, default_data_dir};
