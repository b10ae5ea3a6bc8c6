//! The check stage: everything that can be known of a file without mapping it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};
use warden_hot::MemoryTable;

use crate::HotModule;
use crate::elf::Library;
use crate::failure::{Fault, Stage};
use crate::manifest::{self, Mismatch, Stamp};
use crate::record::FileStamp;

/// A file, read as a whole.
pub(crate) struct Artifact {
    pub bytes: Vec<u8>,
    pub sha256: String,
    pub stamp: FileStamp,
}

/// What is known of a library that fits.
pub(crate) struct Fits {
    /// Whether it exports a table for memory of its own.
    pub has_memory: bool,
    /// How much of the address space it will take, in bytes.
    pub mapped_bytes: u64,
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Artifact, Fault> {
    let read = || {
        let mut file = File::open(path)?;
        let stamp = FileStamp::of(&file)?;
        let mut bytes = Vec::with_capacity(usize::try_from(stamp.len).unwrap_or(0));
        file.read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>((bytes, stamp))
    };
    let (bytes, stamp) = read().map_err(|error| {
        let path = path.display();
        Fault::new(Stage::Load, format!("{path} cannot be read: {error}"))
    })?;
    Ok(Artifact {
        sha256: sha256(&bytes),
        bytes,
        stamp,
    })
}

/// Compares a library with its host.
pub(crate) fn fits(module: &HotModule, stamp: Stamp, bytes: &[u8]) -> Result<Fits, Fault> {
    let load = |title: String| Fault::new(Stage::Load, title);
    let library = Library::parse(bytes)
        .map_err(|error| load(format!("the library cannot be loaded: {error}")))?;
    manifest::compare(&library, &module.name, stamp, module.schema).map_err(refusal)?;
    let mut targets = module.delegation_targets.iter();
    if let Some(name) = targets.find(|name| !library.exports(name)) {
        let title = format!("the library does not export `{name}`, which the host calls");
        return Err(load(title));
    }
    let table = library
        .object(&memory_symbol(&module.name))
        .map(<[u8]>::len);
    if table.is_some_and(|len| len != size_of::<MemoryTable>()) {
        let title = format!("`{}` is no table of memory", memory_symbol(&module.name));
        return Err(Fault::new(Stage::Check, title));
    }
    Ok(Fits {
        has_memory: table.is_some(),
        mapped_bytes: library.mapped_bytes(),
    })
}

fn refusal(mismatch: Mismatch) -> Fault {
    let mut fault = Fault::new(Stage::Check, mismatch.to_string());
    fault.needs_restart = mismatch.needs_restart();
    fault.differences = mismatch.differences();
    match mismatch {
        Mismatch::Schema { lines, .. } => {
            let message = format!("{}\n\n{lines}", fault.title);
            fault.with(message, None)
        }
        _ => fault,
    }
}

/// Where a module's table of memory is looked for.
pub(crate) fn memory_symbol(module: &str) -> String {
    format!("{module}_memory")
}

/// In hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
