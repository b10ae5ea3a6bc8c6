//! A small file system: in a child of this program that has name spaces of its own, so that nothing
//! of this machine changes.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the directory to a child of ours.
const CHILD: &str = "WARDEN_TEST_SMALL_DIR";

/// Whoever sets this to 1 knows that name spaces are not allowed on this machine, and goes without the
/// tests that need one.
const DO_WITHOUT: &str = "WARDEN_TEST_WITHOUT_NAMESPACES";

/// What to do where there can be no name space: whether to do without.
pub fn do_without(why: &str) -> bool {
    let allowed = std::env::var_os(DO_WITHOUT).is_some_and(|value| value == "1");
    let and = match allowed {
        true => "left out, as it says",
        false => "allow name spaces to users, or leave these tests out by setting it to 1",
    };
    eprintln!("{why}; {DO_WITHOUT}: {and}");
    allowed
}

/// The directory whose `data` is a small file system; nothing where this is not the child, which
/// was run then.
pub fn on_a_small_disk(test: &str, size: &str) -> Option<PathBuf> {
    if let Some(dir) = std::env::var_os(CHILD) {
        let dir = PathBuf::from(dir);
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(mounts.contains(dir.join("data").to_str().unwrap()));
        return Some(dir);
    }
    let dir = tempfile::tempdir().unwrap();
    run_there(small_disk(dir.path(), size), test, dir.path());
    None
}

/// Whether this is the child that is the first of a name space of processes, where it may say which
/// number the next process gets; where it is not, that child was run.
pub fn has_own_pids(test: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        assert_eq!(std::process::id(), 1);
        return true;
    }
    let args = ["-r", "-p", "-f", "--mount-proc", "--kill-child"];
    run_there(unshared(&args), test, Path::new("/"));
    false
}

/// Runs this one test there, or does without.
fn run_there(there: Result<Command, String>, test: &str, dir: &Path) {
    let mut child = match there {
        Ok(command) => command,
        Err(why) => return assert!(do_without(&why), "cannot be tested: {why}"),
    };
    let child = child
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned()
        + &String::from_utf8_lossy(&child.stderr);
    let passed = child.status.success() && said.contains("1 passed");
    assert!(passed, "{said}");
}

/// A command that runs what it is given as arguments where `data` in this directory is a file system
/// of this size; or why that cannot be on this machine.
pub fn small_disk(dir: &Path, size: &str) -> Result<Command, String> {
    let script =
        format!(r#"mount -t tmpfs -o size={size},mode=700 none "$1/data"; shift; exec "$@""#);
    std::fs::create_dir(dir.join("data")).unwrap();
    let dir = dir.to_str().unwrap();
    unshared(&["-r", "-m", "sh", "-ec", &script, "sh", dir])
}

/// A command that runs what it is given as arguments in name spaces of its own.
fn unshared(args: &[&str]) -> Result<Command, String> {
    let unshared = || {
        let mut command = Command::new("unshare");
        command.args(args);
        command
    };
    match unshared().arg("true").output() {
        Err(error) => Err(format!("there is no unshare: {error}")),
        Ok(output) if !output.status.success() => {
            let why = String::from_utf8_lossy(&output.stderr);
            Err(format!("name spaces are not allowed here: {why}"))
        }
        Ok(_) => Ok(unshared()),
    }
}

/// What is left of a file system, taken; given back with this value.
pub struct Filler(PathBuf);

impl Filler {
    /// Takes the last byte.
    pub fn fill(dir: &Path) -> Self {
        let path = dir.join("filler");
        let mut file = File::create(&path).unwrap();
        let filler = Self(path);
        for size in [64 * 1024, 4_096, 1] {
            let bytes = vec![b'x'; size];
            let error = loop {
                if let Err(error) = file.write_all(&bytes) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        }
        filler
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}
