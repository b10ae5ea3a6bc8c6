//! Programs of the same code and other content, put where a broker finds its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// A program as far as it is loaded: without what debuggers read, which is most of it. Whatever is
/// written after that makes it another one.
pub fn loaded_part(program: &Path) -> Vec<u8> {
    let mut file = fs::read(program).unwrap();
    let number = |at: usize, length: usize| {
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(&file[at..at + length]);
        usize::try_from(u64::from_le_bytes(bytes)).unwrap()
    };
    // ELF, 64 bits: where the segments are described, how long that is, and how many there are.
    let (headers, length, count) = (number(32, 8), number(54, 2), number(56, 2));
    let segments = (0..count).map(|segment| headers + segment * length);
    let ends = segments.map(|segment| number(segment + 8, 8) + number(segment + 32, 8));
    let end = ends.max().unwrap();
    file.truncate(end);
    file
}

/// Puts a program at `path`, in one step.
pub fn replace(path: &Path, content: &[u8]) {
    let (written, fresh) = (path.with_extension("written"), path.with_extension("new"));
    fs::write(&written, content).unwrap();
    // A file that this process wrote may be busy for a moment: another test's child has it open,
    // too, between its fork and its exec.
    let copied = Command::new("cp").arg(&written).arg(&fresh).status();
    assert!(copied.unwrap().success());
    set_mode(&fresh, 0o755);
    fs::rename(&fresh, path).unwrap();
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}
