//! Reads what a path names: only a regular file, only up to a size, never waiting for anybody.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;
use std::thread;

use super::fault::{Fault, FaultKind, Problem, place};
use super::folder::{Names, Stamp};
use super::format::{Format, Rules};
use crate::check::sha256;

/// So often a file that is being changed is read.
const ATTEMPTS: usize = 100;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Absent,
    /// What cannot be taken, whatever it holds.
    Refused(Problem),
    /// A file.
    Bytes(Vec<u8>),
}

/// What a path is to name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file.
    File,
    /// A folder, and these of its files.
    Folder(Names),
}

/// What [`load`] read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<T> {
    /// What the file stands for.
    pub value: T,
    /// The text as it is written.
    pub text: String,
    /// Of the bytes of the file, in hexadecimal.
    pub sha256: String,
}

/// Reads a file once, by the same rules and with the same faults as a watched one. Without a file,
/// nothing.
///
/// # Errors
/// Why its content cannot be taken.
pub fn load<F: Format>(path: &Path, format: &F) -> Result<Option<Loaded<F::Value>>, Fault> {
    let bytes = match at_rest(|| read(path, format.rules())) {
        Found::Absent => return Ok(None),
        Found::Refused(problem) => return Err(problem.of(path)),
        Found::Bytes(bytes) => bytes,
    };
    let value = text(&bytes).and_then(|text| format.parse(text));
    let value = value.map_err(|problem| problem.of(path))?;
    Ok(Some(Loaded {
        value,
        sha256: sha256(&bytes),
        text: String::from_utf8(bytes).unwrap_or_default(),
    }))
}

/// The text of a file, without the mark of its encoding that some editors put first.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Problem> {
    let text = str::from_utf8(bytes).map_err(|error| {
        let before = str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
        let (line, column) = place(before, before.len());
        let message = "the file is no UTF-8 text; save it in that encoding";
        Problem::new(FaultKind::NotUtf8, message).at(line, column)
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// What is found once nobody changes it any more.
pub(crate) fn at_rest(find: impl Fn() -> Option<Found>) -> Found {
    for _ in 0..ATTEMPTS {
        if let Some(found) = find() {
            return found;
        }
        thread::yield_now();
    }
    let message =
        "the file changes while it is read, again and again; rename a whole one into its place";
    Found::Refused(Problem::new(FaultKind::Io, message))
}

/// What a path names now; nothing where somebody changed the file while it was read.
pub(crate) fn read(path: &Path, rules: Rules) -> Option<Found> {
    attempt(path, rules).unwrap_or_else(|error| Some(refused(&error)))
}

fn attempt(path: &Path, rules: Rules) -> io::Result<Option<Found>> {
    // Opening a device may already do something, and opening a pipe wakes its writers.
    if let Some(problem) = no_file(&fs::metadata(path)?) {
        return Ok(Some(Found::Refused(problem)));
    }
    let file = open(path)?;
    let metadata = file.metadata()?;
    let too_large = |bytes: u64| bytes > rules.limit_bytes;
    let problem = no_file(&metadata)
        .or_else(|| too_large(metadata.len()).then(|| size_problem(metadata.len(), rules)))
        .or_else(|| rules.trusted.then(|| distrusted(path, &metadata)).flatten());
    if let Some(problem) = problem {
        return Ok(Some(Found::Refused(problem)));
    }
    let mut bytes = Vec::new();
    let mut part = file.take(rules.limit_bytes.saturating_add(1));
    part.read_to_end(&mut bytes)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let after = part.get_ref().metadata()?;
    if too_large(length) {
        return Ok(Some(Found::Refused(size_problem(length, rules))));
    }
    // Files that the system makes up have no size.
    let cut = length != after.len() && after.len() > 0;
    let same = Stamp::of(&after) == Stamp::of(&metadata) && !cut;
    Ok(same.then_some(Found::Bytes(bytes)))
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // Should it have become a pipe or a terminal meanwhile.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    options.open(path)
}

fn no_file(metadata: &Metadata) -> Option<Problem> {
    let what = match metadata.file_type() {
        kind if kind.is_file() => return None,
        kind if kind.is_dir() => "a folder",
        kind => special(kind),
    };
    let message = format!("this is {what} and no file; put a file in its place");
    Some(Problem::new(FaultKind::NotAFile, message))
}

#[cfg(unix)]
fn special(kind: fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    match kind {
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

#[cfg(not(unix))]
fn special(_: fs::FileType) -> &'static str {
    "a device"
}

fn size_problem(bytes: u64, rules: Rules) -> Problem {
    let message = format!(
        "the file has {} and may have {} at most; nothing of it was read",
        size(bytes),
        size(rules.limit_bytes)
    );
    Problem::new(FaultKind::TooLarge, message)
}

fn size(bytes: u64) -> String {
    match bytes {
        whole if whole >= 1 << 20 && whole.is_multiple_of(1 << 20) => {
            format!("{} MiB", whole >> 20)
        }
        bytes => format!("{bytes} bytes"),
    }
}

pub(crate) fn refused(error: &io::Error) -> Found {
    let (kind, message) = match error.kind() {
        // A file where a folder should be: there is nothing of that path.
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => return Found::Absent,
        io::ErrorKind::PermissionDenied => (
            FaultKind::Unreadable,
            "this process may not read the file; give its user the right to".to_owned(),
        ),
        _ if is_loop(error) => (
            FaultKind::SymlinkLoop,
            "its symbolic links lead back to themselves; let one of them name a file".to_owned(),
        ),
        _ => (FaultKind::Io, format!("the file cannot be read: {error}")),
    };
    Found::Refused(Problem::new(kind, message))
}

#[cfg(unix)]
fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

#[cfg(not(unix))]
fn is_loop(_: &io::Error) -> bool {
    false
}

/// Who else could have written this, or put something else in its place.
#[cfg(unix)]
fn distrusted(path: &Path, file: &Metadata) -> Option<Problem> {
    use std::os::unix::fs::MetadataExt as _;

    let me = rustix::process::geteuid().as_raw();
    let owned = |metadata: &Metadata| metadata.uid() == me || metadata.uid() == 0;
    // A group of the same number as its owner is that owner's alone, where users have such groups.
    let writers = |metadata: &Metadata| match metadata.mode() {
        mode if mode & 0o002 != 0 => Some("everybody"),
        mode if mode & 0o020 != 0 && metadata.gid() != metadata.uid() => Some("its group"),
        _ => None,
    };
    let refused = |message: String| Some(Problem::new(FaultKind::Untrusted, message));
    if !owned(file) {
        return refused(format!(
            "the file belongs to user {} and not to this program's user or root; `chown` it",
            file.uid()
        ));
    }
    if let Some(writers) = writers(file) {
        return refused(format!(
            "{writers} may write the file; take that right away with `chmod go-w`"
        ));
    }
    for folder in super::lookup::folders(path) {
        let Ok(metadata) = fs::metadata(&folder) else {
            continue;
        };
        let folder = folder.display();
        if !owned(&metadata) {
            return refused(format!(
                "its folder {folder} belongs to user {} and not to this program's user or root, who could put another file there",
                metadata.uid()
            ));
        }
        // In a sticky folder nobody replaces what is another's.
        let sticky = metadata.mode() & 0o1000 != 0;
        if let Some(writers) = writers(&metadata).filter(|_| !sticky) {
            return refused(format!(
                "{writers} may write its folder {folder} and so put another file there; take that right away with `chmod go-w`"
            ));
        }
    }
    None
}

#[cfg(not(unix))]
fn distrusted(_: &Path, _: &Metadata) -> Option<Problem> {
    None
}
