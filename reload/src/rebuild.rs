//! The build of one crate alone, by the call of the compiler that cargo made last.
//!
//! Cargo looks through every package of the workspace before it calls the compiler, and waits for
//! whichever other cargo is at work: a third of what a reload takes. While nothing but the crate's
//! own source has changed since cargo said so, its call is made again as it was. Whether that holds
//! is asked of the same files that cargo asks; where it does not, or cannot be known, cargo is run.

use std::collections::BTreeMap;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::diagnostic::Diagnostic;

/// What a build stands on beside its packages: files at the workspace's root, there or not.
const OF_WORKSPACE: [&str; 5] = [
    "Cargo.toml",
    "Cargo.lock",
    ".cargo/config.toml",
    "rust-toolchain.toml",
    "rust-toolchain",
];
/// Cargo holds it while it writes to the folder that it lies in.
const LOCK: &str = ".cargo-lock";

/// A file system's clock may stand still for so long between two writes.
const TICK: Duration = Duration::from_millis(10);

/// What cargo said while it built.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Its last call of the compiler for the target, as a shell would be given it.
    pub(crate) call: Option<String>,
    /// The manifests of the packages that lie on this machine, by the ids of these packages.
    pub(crate) manifests: BTreeMap<String, PathBuf>,
    /// The files of each library among them, that of the target aside.
    pub(crate) libraries: Vec<Vec<PathBuf>>,
    /// Where the build script of a package wrote to, by the package's id.
    pub(crate) scripts: Vec<(String, PathBuf)>,
}

/// A build that can be done again without cargo.
#[derive(Debug)]
pub(crate) struct Rebuild {
    /// Nothing where cargo made none, since there was nothing to do: then all that can be known is
    /// whether that is still so.
    call: Option<Call>,
    directory: PathBuf,
    /// What the crate stands on: with any of it changed, cargo has to be asked.
    ground: Vec<Seen>,
    /// The crate's own source, as it was compiled last.
    own: Vec<Seen>,
    artifact: Seen,
    /// What the compiler said of it.
    pub(crate) said: Vec<Diagnostic>,
}

/// A file at some moment: its length and when it was written; nothing where it is not there.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    path: PathBuf,
    state: Option<(u64, SystemTime)>,
}

#[derive(Debug)]
struct Call {
    variables: Vec<(String, String)>,
    compiler: String,
    arguments: Vec<String>,
}

impl Rebuild {
    /// From what cargo said of a build that began at `began` in `directory` and left `artifact`.
    /// Nothing where it takes cargo to know what has changed.
    pub(crate) fn learn(
        told: &Told,
        directory: &Path,
        artifact: &Path,
        began: SystemTime,
    ) -> Option<Self> {
        let call = match &told.call {
            Some(call) => Some(Call::parse(call)?),
            None => None,
        };
        let mut ground: Vec<PathBuf> = OF_WORKSPACE
            .iter()
            .map(|name| directory.join(name))
            .collect();
        ground.extend(told.manifests.values().cloned());
        ground.extend(told.libraries.iter().flatten().cloned());
        for (package, out) in &told.scripts {
            if let Some(manifest) = told.manifests.get(package) {
                ground.extend(asked_for_by_script(manifest.parent()?, out)?);
            }
        }
        let own = match &call {
            Some(call) => {
                let out_dir = call.out_dir()?;
                for files in &told.libraries {
                    ground.extend(sources(directory, &dep_info(files, &out_dir)?)?);
                }
                sources(directory, &call.dep_info()?)?
            }
            None => all_sources(artifact)?,
        };
        let ground: Vec<Seen> = ground.into_iter().map(Seen::now).collect();
        let known = Self {
            own: own.into_iter().map(Seen::now).collect(),
            artifact: Seen::now(artifact.to_owned()),
            directory: directory.to_owned(),
            call,
            ground,
            said: Vec::new(),
        };
        // What was written while cargo was at work may be what it saw, or newer.
        let mut sources = known.ground.iter().chain(&known.own);
        let settled = sources.all(|seen| !seen.is_source() || seen.is_older_than(began));
        settled.then_some(known)
    }

    /// Whether cargo would find that nothing but the crate's own source has changed.
    pub(crate) fn stands(&self) -> bool {
        self.ground.iter().all(Seen::holds) && self.artifact.holds()
    }

    /// What it leaves.
    pub(crate) fn artifact(&self) -> &Path {
        &self.artifact.path
    }

    /// The workspace.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_fresh(&self) -> bool {
        self.own.iter().all(Seen::holds)
    }

    /// The call, and what keeps cargo from writing to the same folder while this lives; nothing
    /// where no call is known or somebody builds there just now.
    pub(crate) fn command(&self) -> Option<(Command, File)> {
        let call = self.call.as_ref()?;
        let lock = File::open(call.out_dir()?.parent()?.join(LOCK)).ok()?;
        lock.try_lock().ok()?;
        let mut command = Command::new(&call.compiler);
        command
            .args(&call.arguments)
            .envs(call.variables.iter().cloned())
            .current_dir(&self.directory);
        Some((command, lock))
    }

    /// The call has ended well: its file takes the artifact's place, as cargo would have done it.
    /// `began` is when it was made.
    pub(crate) fn done(&mut self, began: SystemTime) -> io::Result<PathBuf> {
        let call = self.call.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let made = call.library().ok_or(io::ErrorKind::NotFound)?;
        let artifact = self.artifact.path.clone();
        if let Err(error) = fs::remove_file(&artifact)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        fs::hard_link(&made, &artifact).or_else(|_| fs::copy(&made, &artifact).map(drop))?;
        self.artifact = Seen::now(artifact.clone());
        let own = call
            .dep_info()
            .and_then(|file| sources(&self.directory, &file));
        let own = own.ok_or(io::ErrorKind::InvalidData)?.into_iter();
        // What was written since is not what was compiled.
        self.own = own
            .map(|path| Seen::now(path).unless_since(began))
            .collect();
        Ok(artifact)
    }
}

/// Where the compiler wrote down what the library with these files was compiled from.
fn dep_info(files: &[PathBuf], out_dir: &Path) -> Option<PathBuf> {
    files.iter().find_map(|file| {
        let stem = file.file_stem()?.to_str()?;
        let stem = stem.strip_prefix(DLL_PREFIX).unwrap_or(stem);
        let path = out_dir.join(format!("{stem}.d"));
        path.is_file().then_some(path)
    })
}

impl Seen {
    fn now(path: PathBuf) -> Self {
        let state = fs::metadata(&path)
            .ok()
            .and_then(|meta| Some((meta.len(), meta.modified().ok()?)));
        Self { path, state }
    }

    fn holds(&self) -> bool {
        Self::now(self.path.clone()) == *self
    }

    fn is_source(&self) -> bool {
        let extension = self.path.extension().unwrap_or_default();
        !["rlib", "rmeta"].iter().any(|of| extension == *of)
            && !self.path.to_string_lossy().ends_with(DLL_SUFFIX)
    }

    fn is_older_than(&self, moment: SystemTime) -> bool {
        self.state
            .is_none_or(|(_, written)| written + TICK < moment)
    }

    fn unless_since(self, moment: SystemTime) -> Self {
        let older = self.is_older_than(moment);
        Self {
            state: self.state.filter(|_| older),
            ..self
        }
    }
}

impl Call {
    /// `NAME=value … rustc --crate-name …`, quoted as for a shell.
    fn parse(call: &str) -> Option<Self> {
        let mut words = shlex::split(call)?.into_iter().peekable();
        let mut variables = Vec::new();
        while let Some((name, value)) = words.peek().and_then(|word| assignment(word)) {
            variables.push((name.to_owned(), value.to_owned()));
            words.next();
        }
        let compiler = words.next()?;
        // Messages are for a program: colours are for a terminal.
        let arguments = words.map(|word| match word.strip_prefix("--json=") {
            Some(_) => word.replace("diagnostic-rendered-ansi,", ""),
            None => word,
        });
        Some(Self {
            variables,
            compiler,
            arguments: arguments.collect(),
        })
    }

    fn value(&self, option: &str) -> Option<&str> {
        let at = self.arguments.iter().position(|word| word == option)?;
        self.arguments.get(at + 1).map(String::as_str)
    }

    fn out_dir(&self) -> Option<PathBuf> {
        self.value("--out-dir").map(PathBuf::from)
    }

    /// What its files are called, without what kind of file they are.
    fn stem(&self) -> Option<String> {
        let extra = self
            .arguments
            .iter()
            .find_map(|word| word.strip_prefix("extra-filename="));
        Some(self.value("--crate-name")?.to_owned() + extra.unwrap_or_default())
    }

    fn library(&self) -> Option<PathBuf> {
        let name = format!("{DLL_PREFIX}{}{DLL_SUFFIX}", self.stem()?);
        Some(self.out_dir()?.join(name))
    }

    fn dep_info(&self) -> Option<PathBuf> {
        Some(self.out_dir()?.join(format!("{}.d", self.stem()?)))
    }
}

fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let mut letters = name.chars();
    let first = letters.next()?;
    let is_name = (first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    is_name.then_some((name, value))
}

/// What a crate was compiled from, as the compiler wrote it down: each file is on a line of its own
/// too, as a target without prerequisites.
fn sources(directory: &Path, dep_info: &Path) -> Option<Vec<PathBuf>> {
    let text = fs::read_to_string(dep_info).ok()?;
    let files = text.lines().filter(|line| !line.starts_with('#'));
    let files: Vec<PathBuf> = files
        .filter_map(|line| line.strip_suffix(':'))
        .map(|file| directory.join(file.replace("\\ ", " ")))
        .collect();
    (!files.is_empty()).then_some(files)
}

/// The source of a library and of all that it stands on in the workspace, as cargo wrote it down
/// beside it: the library's name, then all the files in one line. Nothing where one of them cannot be
/// found, since then it would never be seen to change.
fn all_sources(artifact: &Path) -> Option<Vec<PathBuf>> {
    let text = fs::read_to_string(artifact.with_extension("d")).ok()?;
    let (_, files) = text.lines().next()?.split_once(": ")?;
    // A space in a name has a backslash before it.
    let files = files.replace("\\ ", "\0");
    let files = files.split_ascii_whitespace();
    let files: Vec<PathBuf> = files.map(|file| file.replace('\0', " ").into()).collect();
    let found = |file: &PathBuf| file.is_absolute() && file.is_file();
    files.iter().all(found).then_some(files)
}

/// The files that a package's build script said it depends on. Nothing where it said none, since
/// cargo then looks at the whole package, or where it named a folder, which cargo looks through.
fn asked_for_by_script(package: &Path, out: &Path) -> Option<Vec<PathBuf>> {
    let said = fs::read_to_string(out.with_file_name("output")).ok()?;
    let files = said.lines().filter_map(|line| {
        let said = line.strip_prefix("cargo:")?;
        let said = said.strip_prefix(':').unwrap_or(said);
        Some(package.join(said.strip_prefix("rerun-if-changed=")?))
    });
    let files: Vec<PathBuf> = files.collect();
    (!files.is_empty() && files.iter().all(|file| file.is_file())).then_some(files)
}

/// Picks cargo's calls of the compiler for one target out of what it says to a terminal.
pub(crate) struct Calls<'a> {
    target: &'a str,
    line: Vec<u8>,
    last: Option<String>,
}

impl<'a> Calls<'a> {
    /// The longest call that is listened to, in bytes.
    const LINE_MAX: usize = 64 * 1024;

    pub(crate) fn of(target: &'a str) -> Self {
        Self {
            target,
            line: Vec::new(),
            last: None,
        }
    }

    pub(crate) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\r' | b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    let call = std::str::from_utf8(&line).ok();
                    let call = call.and_then(|line| self.call(line));
                    self.last = call.or(self.last.take());
                }
                byte if self.line.len() < Self::LINE_MAX => self.line.push(*byte),
                _ => {}
            }
        }
    }

    /// The words of the call that this line tells of, if it is for the target.
    fn call(&self, line: &str) -> Option<String> {
        let call = line.trim_start().strip_prefix("Running `")?;
        let of_target = format!(" --crate-name {} ", self.target);
        let call = call
            .strip_suffix('`')
            .filter(|call| call.contains(&of_target));
        call.map(str::to_owned)
    }

    pub(crate) fn last(self) -> Option<String> {
        self.last
    }
}
