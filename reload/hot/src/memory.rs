//! A module's own memory, as its host holds it: an opaque box.

use std::fmt;
use std::ptr::{self, NonNull};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::guard::{Panicked, guard};
use crate::migrate::{Migration, migrate};

/// What a module may remember between two frames and from one generation to the next.
///
/// Implemented by `manifest! { …, memory: TYPE }`. The type is the module's own: its host never sees
/// it, so it may change at every reload; what of it is kept is [`migrate`]'s to say.
pub trait ModuleMemory: Default + Clone + Serialize + DeserializeOwned + Send + 'static {
    /// The table that this library exports for it.
    fn table() -> &'static MemoryTable;
}

/// The functions of one generation's memory, exported as `NAME_memory`.
#[repr(C)]
pub struct MemoryTable {
    new: fn() -> Result<NonNull<()>, MemoryError>,
    clone: unsafe fn(NonNull<()>) -> Result<NonNull<()>, MemoryError>,
    drop: unsafe fn(NonNull<()>),
    to_ron: unsafe fn(NonNull<()>) -> Result<String, MemoryError>,
    from_ron: fn(&str) -> Result<Migrated, MemoryError>,
}

/// New memory, and what became of the old.
type Migrated = (NonNull<()>, Migration);

/// Why a module's memory cannot be made, copied or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// The module's code panicked over it.
    #[error("the module's memory {0}")]
    Panicked(#[from] Panicked),
    /// It cannot be written as RON, or nothing can be read back from what was written.
    #[error("the module's memory cannot be carried over: {0}")]
    Ron(String),
}

/// A module's memory: made, copied, written and dropped by the generation that it is of. Only that
/// generation can look inside.
pub struct Memory {
    table: &'static MemoryTable,
    data: NonNull<()>,
}

// SAFETY: what lies behind is a `ModuleMemory`, which is `Send`.
unsafe impl Send for Memory {}

impl MemoryTable {
    /// The table for a type.
    #[must_use]
    pub const fn of<T: ModuleMemory>() -> Self {
        Self {
            new: || Ok(boxed(guard(T::default)?)),
            // SAFETY: as `MemoryTable::get`.
            clone: |data| Ok(boxed(guard(|| unsafe { Self::get::<T>(data) }.clone())?)),
            drop: |data| {
                let drop = || {
                    // SAFETY: it was boxed by `boxed`, and its owner is being dropped.
                    drop(unsafe { Box::from_raw(data.cast::<T>().as_ptr()) });
                };
                // What is left of a value whose destructor panics is lost.
                let _ = guard(drop);
            },
            to_ron: |data| {
                // SAFETY: as `MemoryTable::get`.
                guard(|| ron::to_string(unsafe { Self::get::<T>(data) }))?
                    .map_err(|error| MemoryError::Ron(error.to_string()))
            },
            from_ron: |text| {
                let (memory, migration) =
                    guard(|| migrate::<T>(text))?.map_err(|e| MemoryError::Ron(e.to_string()))?;
                Ok((boxed(memory), migration))
            },
        }
    }

    /// # Safety
    /// `data` was boxed as a `T` by this table and is not dropped yet, and nobody changes it now.
    unsafe fn get<'a, T>(data: NonNull<()>) -> &'a T {
        // SAFETY: the caller's.
        unsafe { data.cast::<T>().as_ref() }
    }
}

fn boxed<T>(value: T) -> NonNull<()> {
    NonNull::from(Box::leak(Box::new(value))).cast()
}

impl fmt::Debug for MemoryTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTable").finish_non_exhaustive()
    }
}

impl Memory {
    /// As the module has it at first.
    ///
    /// # Errors
    /// When the module's `Default` panics.
    pub fn new(table: &'static MemoryTable) -> Result<Self, MemoryError> {
        let data = (table.new)()?;
        Ok(Self { table, data })
    }

    /// From what another generation wrote: see [`migrate`].
    ///
    /// # Errors
    /// When nothing can be made of the text, or the module's code panics over it.
    pub fn from_ron(
        table: &'static MemoryTable,
        text: &str,
    ) -> Result<(Self, Migration), MemoryError> {
        let (data, migration) = (table.from_ron)(text)?;
        Ok((Self { table, data }, migration))
    }

    /// As RON, for another generation.
    ///
    /// # Errors
    /// When it cannot be written, or the module's code panics over it.
    pub fn to_ron(&self) -> Result<String, MemoryError> {
        // SAFETY: the table made the data, and it lives as long as this.
        unsafe { (self.table.to_ron)(self.data) }
    }

    /// A copy.
    ///
    /// # Errors
    /// When the module's `Clone` panics.
    pub fn try_clone(&self) -> Result<Self, MemoryError> {
        // SAFETY: as above.
        let data = unsafe { (self.table.clone)(self.data) }?;
        Ok(Self {
            table: self.table,
            data,
        })
    }

    /// What lies behind, for the generation that it is of; none for any other.
    #[must_use]
    pub fn get_mut<T: ModuleMemory>(&mut self) -> Option<&mut T> {
        // SAFETY: the very table that this library made for `T`, so a `T` lies behind.
        ptr::eq(self.table, T::table()).then(|| unsafe { self.data.cast::<T>().as_mut() })
    }

    /// For the code that [`crate::delegation_target`] expands to: as [`Self::get_mut`], and panics
    /// where that has none, inside the guard of the call.
    #[doc(hidden)]
    #[track_caller]
    pub fn own<T: ModuleMemory>(&mut self) -> &mut T {
        match self.get_mut() {
            Some(memory) => memory,
            None => panic!("was given the memory of another generation"),
        }
    }
}

impl Clone for Memory {
    /// # Panics
    /// When the module's `Clone` panics; [`Memory::try_clone`] says so instead.
    fn clone(&self) -> Self {
        match self.try_clone() {
            Ok(copy) => copy,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the table made the data, and nobody can ask for it any more.
        unsafe { (self.table.drop)(self.data) };
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}
