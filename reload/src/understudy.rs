//! The child's side of a rehearsal: what the program does that a [`crate::Child`] names.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_void};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;
use std::time::SystemTime;

use crate::HotModule;
use crate::check::{self, Fits, memory_symbol};
use crate::child::Given;
use crate::failure::{Fault, Stage};
use crate::generation::{Generation, Mapped, Provenance, Symbol, Timings};
use crate::manifest::Stamp;
use crate::rehearse::Candidate;
use crate::state::carry;

/// Why a rehearsal in this process did not pass.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RehearseError(String);

/// Rehearses the library at `file` in this process: to be called by a program that was started as a
/// [`crate::Child`], which then ends with a code other than 0 where this fails, and says why on its
/// standard error. Reads what to rehearse with from the standard input, maps the file, carries the
/// memory over, and runs the module's [`crate::Rehearse`].
///
/// `modules` are the host's own; which one it is about is told on the standard input.
///
/// # Errors
/// Whatever would fail in the host too.
pub fn rehearse_child(
    modules: &[HotModule],
    stamp: Stamp,
    file: &Path,
) -> Result<(), RehearseError> {
    let mut given = String::new();
    io::stdin()
        .read_to_string(&mut given)
        .map_err(|error| RehearseError(format!("nothing to rehearse with: {error}")))?;
    let given: Given = ron::from_str(&given)
        .map_err(|error| RehearseError(format!("nothing to rehearse with: {error}")))?;
    let module = modules.iter().find(|module| module.name == given.module);
    let module = module.ok_or_else(|| {
        let name = &given.module;
        RehearseError(format!("this program has no hot module named `{name}`"))
    })?;
    rehearse(module, stamp, file, &given).map_err(|fault| RehearseError(fault.message))
}

fn rehearse(module: &HotModule, stamp: Stamp, file: &Path, given: &Given) -> Result<(), Fault> {
    let artifact = check::read(file)?;
    let fits = check::fits(module, stamp, &artifact.bytes)?;
    let mapped = map(module, file, &fits)?;
    let carried = carry(mapped.memory, given.memory.as_deref());
    let (mut memory, _) = carried.map_err(|error| Fault::new(Stage::Migrate, error.to_string()))?;
    let Some(rehearse) = &module.rehearse else {
        return Ok(());
    };
    let generation = Generation {
        number: 0,
        sha256: artifact.sha256,
        since: SystemTime::now(),
        timings: Timings::default(),
        provenance: Provenance::default(),
        mapped,
    };
    rehearse.run(Candidate {
        generation: &generation,
        memory: memory.as_mut(),
        state: given.state.as_deref(),
    })
}

/// Maps a library as the dynamic loader does it, for as long as this process lives.
fn map(module: &HotModule, file: &Path, fits: &Fits) -> Result<Mapped, Fault> {
    let fault = |title: String| Fault::new(Stage::Load, title);
    let path = CString::new(file.as_os_str().as_bytes()).map_err(|e| fault(e.to_string()))?;
    // SAFETY: `path` is a C string. What the library runs as it is mapped is why this process is
    // not the host's.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    let library = NonNull::new(library).ok_or_else(|| {
        // SAFETY: after a failure there is a message, a C string that stays until the next call.
        let said = unsafe { CStr::from_ptr(libc::dlerror()) };
        let said = said.to_string_lossy();
        fault(format!("the library cannot be mapped: {said}"))
    })?;
    let address = |name: &str| {
        let symbol = CString::new(name).map_err(|e| fault(e.to_string()))?;
        // SAFETY: the handle is of `dlopen`, the name a C string.
        let address = unsafe { libc::dlsym(library.as_ptr(), symbol.as_ptr()) };
        let missing = || fault(format!("the library does not export `{name}`"));
        NonNull::new(address).ok_or_else(missing)
    };
    let table = fits
        .has_memory
        .then(|| address(&memory_symbol(&module.name)))
        .transpose()?;
    let symbol = |name: &String| Ok((name.clone(), Symbol(address(name)?)));
    let symbols: Result<BTreeMap<_, _>, Fault> =
        module.delegation_targets.iter().map(symbol).collect();
    Ok(Mapped {
        symbols: symbols?,
        // SAFETY: the manifest was compared, so this object is a table of the same layout.
        memory: table.map(|table: NonNull<c_void>| unsafe { table.cast().as_ref() }),
        bytes: fits.mapped_bytes,
    })
}
