//! What a hot module and its host share: the module's own memory, and calls that cannot unwind.
//!
//! A plain library that both link, each its own copy of. What crosses is [`Memory`], the table of
//! functions behind it and [`Panicked`]; the manifest's version stands for their layout, so change
//! it in `warden-manifest` when that changes.
//!
//! A hot module in full:
//!
//! ```
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Default, Deserialize, Serialize)]
//! struct Remembered { clicks: u32 }
//!
//! // The stamp that its host compares, the schema of what crosses, and `counter_memory`.
//! warden_hot::manifest! { module: "counter", schema: "", memory: Remembered }
//!
//! // Exported as `counter_click`: `fn(u32, &mut Memory) -> Result<u32, Panicked>`.
//! #[warden_hot::delegation_target]
//! pub fn counter_click(by: u32, #[memory] memory: &mut Remembered) -> u32 {
//!     memory.clicks += by;
//!     memory.clicks
//! }
//! # let mut memory = warden_hot::Memory::new(&counter_memory).unwrap();
//! # assert_eq!(counter_click(2, &mut memory), Ok(2));
//! # assert_eq!(memory.to_ron().unwrap(), "(clicks:2)");
//! ```

mod guard;
mod memory;
mod migrate;

pub use guard::{Panicked, guard};
pub use memory::{Memory, MemoryError, MemoryTable, ModuleMemory};
pub use migrate::{Change, MigrateError, Migration, migrate};
/// So that a module needs no serde of its own: `#[serde(crate = "warden_hot::serde")]`.
pub use serde;
pub use warden_manifest::{delegation_target, manifest, stamp};
