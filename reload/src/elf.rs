//! Reads a shared library's file without mapping it.
//!
//! The dynamic loader trusts the tables of a file: one that was cut short brings the whole process
//! down with SIGBUS, and nothing can catch that. So every extent that the loader will follow is
//! compared with the file's length first.

use std::ops::Range;

const ET_DYN: u16 = 3;
const PT_LOAD: u32 = 1;
const SHT_DYNSYM: u32 = 11;
const SHT_NOBITS: u32 = 8;
/// The smallest page of the machines below.
const PAGE: u64 = 4096;
const HEADER_LEN: usize = 64;
const SEGMENT_LEN: usize = 56;
const SECTION_LEN: usize = 64;
const SYMBOL_LEN: usize = 24;

#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("hot reload knows the ELF machine numbers of x86_64 and aarch64 only");

/// Why a file is no library that could be mapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ElfError {
    #[error("the file is empty")]
    Empty,
    #[error("it is no ELF file")]
    NotElf,
    #[error("it is no shared library for this machine")]
    OtherMachine,
    #[error("it is cut short: {what} should end at byte {end}, the file ends at {len}")]
    CutShort {
        what: &'static str,
        end: u64,
        len: usize,
    },
    #[error("its tables contradict each other")]
    Malformed,
}

/// A shared library whose tables all lie inside its file.
pub(crate) struct Library<'a> {
    bytes: &'a [u8],
    segments: Vec<Segment>,
    symbols: &'a [u8],
    names: &'a [u8],
}

struct Segment {
    /// Where it is mapped.
    address: u64,
    /// Where it lies in the file.
    file: Range<usize>,
    /// Bytes of memory that it takes.
    mapped: u64,
}

impl<'a> Library<'a> {
    /// Checks what the dynamic loader will rely on.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ElfError> {
        if bytes.is_empty() {
            return Err(ElfError::Empty);
        }
        if !bytes.starts_with(b"\x7fELF") {
            return Err(ElfError::NotElf);
        }
        let header = extent(bytes, "its header", 0, HEADER_LEN as u64)?;
        // 64 bits, least byte first, as every machine above.
        if header[4..6] != [2, 1] || half(header, 16) != ET_DYN || half(header, 18) != MACHINE {
            return Err(ElfError::OtherMachine);
        }
        if half(header, 54) as usize != SEGMENT_LEN || half(header, 58) as usize != SECTION_LEN {
            return Err(ElfError::Malformed);
        }
        let table = |what, at: usize, count: usize, len: usize| {
            extent(
                bytes,
                what,
                word(header, at),
                u64::from(half(header, count)) * len as u64,
            )
        };
        let segments = table("its segment table", 32, 56, SEGMENT_LEN)?;
        let sections = table("its section table", 40, 60, SECTION_LEN)?;
        let segments = load_segments(bytes, segments)?;
        let (symbols, names) = dynamic_symbols(bytes, sections)?;
        Ok(Self {
            bytes,
            segments,
            symbols,
            names,
        })
    }

    /// How many bytes of the address space its segments take, in whole pages.
    pub fn mapped_bytes(&self) -> u64 {
        let end = |segment: &Segment| segment.address.saturating_add(segment.mapped);
        let pages = self.segments.iter().map(|segment| {
            let start = segment.address & !(PAGE - 1);
            end(segment)
                .saturating_sub(start)
                .checked_next_multiple_of(PAGE)
                .unwrap_or(0)
        });
        pages.fold(0, u64::saturating_add)
    }

    /// The file without what no loader maps: names for debuggers and the table of sections, which
    /// lie behind the last segment and are nearly half of an unoptimised library.
    pub fn mapped_part(&self) -> Vec<u8> {
        let ends = self.segments.iter().map(|segment| segment.file.end);
        let end = ends.max().unwrap_or(self.bytes.len());
        let mut part = self.bytes[..end].to_vec();
        // Where that table was, how many entries it had, and which of them held their names.
        for field in [40..48, 60..64] {
            if let Some(field) = part.get_mut(field) {
                field.fill(0);
            }
        }
        part
    }

    /// Whether it exports a symbol of that name.
    pub fn exports(&self, name: &str) -> bool {
        self.symbol(name).is_some()
    }

    /// The content of an exported object. None where there is no such symbol.
    pub fn object(&self, name: &str) -> Option<&'a [u8]> {
        let entry = self.symbol(name)?;
        let (address, len) = (word(entry, 8), usize::try_from(word(entry, 16)).ok()?);
        self.segments.iter().find_map(|segment| {
            let offset = usize::try_from(address.checked_sub(segment.address)?).ok()?;
            let start = segment.file.start.checked_add(offset)?;
            let end = start.checked_add(len)?;
            (end <= segment.file.end)
                .then(|| self.bytes.get(start..end))
                .flatten()
        })
    }

    fn symbol(&self, name: &str) -> Option<&'a [u8]> {
        self.symbols.chunks_exact(SYMBOL_LEN).find(|entry| {
            let named = self.names.get(int(entry, 0) as usize..);
            let named = named.and_then(|rest| rest.strip_prefix(name.as_bytes()));
            // Undefined symbols, those of section 0, are what the library wants of others.
            half(entry, 6) != 0 && named.is_some_and(|rest| rest.starts_with(b"\0"))
        })
    }
}

fn load_segments(bytes: &[u8], table: &[u8]) -> Result<Vec<Segment>, ElfError> {
    let mut segments = Vec::new();
    for entry in table
        .chunks_exact(SEGMENT_LEN)
        .filter(|entry| int(entry, 0) == PT_LOAD)
    {
        let (start, len) = (word(entry, 8), word(entry, 32));
        extent(bytes, "a segment", start, len)?;
        let start = usize::try_from(start).map_err(|_| ElfError::Malformed)?;
        let len = usize::try_from(len).map_err(|_| ElfError::Malformed)?;
        segments.push(Segment {
            address: word(entry, 16),
            file: start..start + len,
            mapped: word(entry, 40),
        });
    }
    if segments.is_empty() {
        Err(ElfError::Malformed)
    } else {
        Ok(segments)
    }
}

/// The dynamic symbol table and the names that it refers to. Every section that has bytes in the
/// file must lie inside it.
fn dynamic_symbols<'a>(bytes: &'a [u8], table: &[u8]) -> Result<(&'a [u8], &'a [u8]), ElfError> {
    let mut found = None;
    for entry in table.chunks_exact(SECTION_LEN) {
        let kind = int(entry, 4);
        if kind == SHT_NOBITS || kind == 0 {
            continue;
        }
        let content = extent(bytes, "a section", word(entry, 24), word(entry, 32))?;
        if kind == SHT_DYNSYM {
            found = Some((content, int(entry, 40) as usize));
        }
    }
    let (symbols, link) = found.ok_or(ElfError::Malformed)?;
    let names = table
        .chunks_exact(SECTION_LEN)
        .nth(link)
        .ok_or(ElfError::Malformed)?;
    Ok((
        symbols,
        extent(bytes, "its symbol names", word(names, 24), word(names, 32))?,
    ))
}

fn extent<'a>(
    bytes: &'a [u8],
    what: &'static str,
    at: u64,
    len: u64,
) -> Result<&'a [u8], ElfError> {
    let end = at.checked_add(len).ok_or(ElfError::Malformed)?;
    let range = usize::try_from(at).ok().zip(usize::try_from(end).ok());
    range
        .and_then(|(start, end)| bytes.get(start..end))
        .ok_or(ElfError::CutShort {
            what,
            end,
            len: bytes.len(),
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// This very test's program is an ELF file too (position independent, so of type `ET_DYN`).
    fn own_file() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn a_whole_file_is_accepted_and_every_cut_is_refused() {
        let whole = own_file();
        assert!(Library::parse(&whole).is_ok());
        for part in 0..64 {
            let cut = &whole[..whole.len() * part / 64];
            assert!(Library::parse(cut).is_err(), "cut to {part}/64");
        }
        assert!(Library::parse(&whole[..whole.len() - 1]).is_err());
    }

    #[test]
    fn nonsense_is_refused_without_a_panic() {
        assert_eq!(Library::parse(b"").err(), Some(ElfError::Empty));
        assert_eq!(Library::parse(b"#!/bin/sh\n").err(), Some(ElfError::NotElf));
        let mut whole = own_file();
        let mut seed = 1_u32;
        for _ in 0..2_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = seed as usize % HEADER_LEN;
            let former = std::mem::replace(&mut whole[at], (seed >> 24) as u8);
            if let Ok(library) = Library::parse(&whole) {
                assert_eq!(library.object("no_such_symbol"), None);
            }
            whole[at] = former;
        }
    }
}
