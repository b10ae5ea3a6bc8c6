//! What each module remembers for itself, whichever generation of it runs.

use std::collections::BTreeMap;

use warden_hot::Memory;
use warden_reload::{Caught, MemoryCell};

use super::{Entry, Hot, Layer, Source};

impl Hot {
    /// The memory of the module at this place.
    #[must_use]
    pub fn memory(&self, at: usize) -> MemoryCell {
        let layer = self.layers.get(at);
        layer.map(|layer| layer.memory.clone()).unwrap_or_default()
    }

    /// A copy of each module's memory, in their order.
    ///
    /// # Errors
    /// The place of a module whose code panicked over it, and what it said.
    pub fn copy_memories(&self) -> Result<Vec<Option<Memory>>, (usize, Caught)> {
        let copy = |(at, layer): (usize, &Layer)| {
            let memory = layer.memory.lock();
            let copy = memory.as_ref().map(Memory::try_clone).transpose();
            copy.map_err(|error| {
                let message = error.to_string();
                (
                    at,
                    Caught {
                        message,
                        place: None,
                    },
                )
            })
        };
        self.layers.iter().enumerate().map(copy).collect()
    }

    /// Puts back what [`Self::copy_memories`] copied.
    pub fn put_memories_back(&self, copies: Vec<Option<Memory>>) {
        for (layer, copy) in self.layers.iter().zip(copies) {
            *layer.memory.lock() = copy;
        }
    }

    /// What the modules remember, as text by name. One whose code fails over it is left out.
    #[must_use]
    pub fn captured(&self) -> BTreeMap<String, String> {
        let Source::Reloaded { reloader, .. } = &self.source else {
            return BTreeMap::new();
        };
        let capture = |layer: &Layer| {
            let captured = reloader.capture_state(layer.entry.name).ok().flatten()?;
            Some((captured.module, captured.memory))
        };
        self.layers.iter().filter_map(capture).collect()
    }
}

/// The memory of a module that is linked in, as it is at first.
pub(super) fn linked_memory(entry: &Entry) -> MemoryCell {
    let cell = MemoryCell::default();
    let table = entry.linked.and_then(|functions| functions.memory);
    *cell.lock() = table.and_then(|table| Memory::new(table).ok());
    cell
}
