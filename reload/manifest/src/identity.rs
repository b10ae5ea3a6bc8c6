//! What names the content of one shared library.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

const PT_NOTE: u32 = 4;
const NT_GNU_BUILD_ID: u32 = 3;
/// Bytes of an ELF header for 64 bits, and of one entry in its program table.
const HEADER_LEN: usize = 64;
const ENTRY_LEN: usize = 56;

/// The linker's hash over the whole file where it left one, since reading that costs nothing at
/// every reload; else a hash made here.
pub fn of(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    if let Ok(Some(id)) = build_id(&mut file) {
        return Ok(format!("gnu-build-id:{}", hex(&id)));
    }
    Ok(format!("fnv:{:016x}", fnv(&fs::read(path)?)))
}

fn build_id(file: &mut (impl Read + Seek)) -> io::Result<Option<Vec<u8>>> {
    let header = read_at(file, 0, HEADER_LEN)?;
    // 64 bits, least byte first: every platform that hot reload runs on.
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Ok(None);
    }
    let table = read_at(
        file,
        word(&header, 32),
        usize::from(half(&header, 56)) * ENTRY_LEN,
    )?;
    for entry in table
        .chunks_exact(ENTRY_LEN)
        .filter(|entry| int(entry, 0) == PT_NOTE)
    {
        let len = usize::try_from(word(entry, 32))
            .unwrap_or(usize::MAX)
            .min(1 << 16);
        let notes = read_at(file, word(entry, 8), len)?;
        if let Some(id) = note(&notes) {
            return Ok(Some(id.to_vec()));
        }
    }
    Ok(None)
}

/// Finds the build id among notes: each has the lengths of its name and of its content, its type,
/// then both, padded to four bytes.
fn note(mut notes: &[u8]) -> Option<&[u8]> {
    while notes.len() >= 12 {
        let name_len = int(notes, 0) as usize;
        let len = int(notes, 4) as usize;
        let kind = int(notes, 8);
        let start = 12 + name_len.checked_next_multiple_of(4)?;
        let end = start.checked_add(len)?;
        let content = notes.get(start..end)?;
        if kind == NT_GNU_BUILD_ID && notes.get(12..12 + name_len)? == b"GNU\0" {
            return Some(content);
        }
        notes = notes.get(end.checked_next_multiple_of(4)?..)?;
    }
    None
}

fn read_at(file: &mut (impl Read + Seek), at: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn int(bytes: &[u8], at: usize) -> u32 {
    u32::from(half(bytes, at)) | u32::from(half(bytes, at + 2)) << 16
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from(int(bytes, at)) | u64::from(int(bytes, at + 4)) << 32
}

/// FNV-1a over words of eight bytes: not against an adversary, against a mistake.
fn fnv(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut padded = [0; 8];
        padded[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(padded)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_id_is_found_behind_other_notes() {
        let mut notes = Vec::new();
        for (name, kind, content) in [
            (&b"GNU\0"[..], 5_u32, &[1_u8, 2, 3][..]),
            (b"GNU\0", NT_GNU_BUILD_ID, &[0xab, 0xcd]),
        ] {
            notes.extend((name.len() as u32).to_le_bytes());
            notes.extend((content.len() as u32).to_le_bytes());
            notes.extend(kind.to_le_bytes());
            notes.extend(name);
            notes.extend(content);
            notes.resize(notes.len().next_multiple_of(4), 0);
        }
        assert_eq!(note(&notes), Some(&[0xab, 0xcd][..]));
        assert_eq!(note(&notes[..9]), None);
        assert_eq!(note(&[0xff; 64]), None);
    }

    #[test]
    fn a_file_without_a_build_id_is_named_by_its_content() {
        assert_ne!(fnv(b"one"), fnv(b"two"));
        assert_ne!(fnv(b""), fnv(b"\0"));
    }
}
