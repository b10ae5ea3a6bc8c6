//! Other file systems, and the system's limits: in a child of this program that has name spaces of
//! its own, so that nothing of this machine changes.

use std::path::Path;
use std::process::Command;

use warden_reload::files::{Files, Watching};

use crate::{Followed, folder, save, ways};

/// Names the folder to a child of ours.
const CHILD: &str = "WARDEN_FILES_TEST_FOLDER";

/// Runs this test again, after a script in name spaces of its own; false where it is that child.
fn in_name_spaces(test: &str, script: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return false;
    }
    let folder = folder();
    let unshared = || {
        let mut command = Command::new("unshare");
        command
            .args(["-r", "-m", "sh", "-ec", script, "sh"])
            .arg(folder.path());
        command
    };
    if let Err(why) = able(unshared().arg("true")) {
        eprintln!("skipped: {why}");
        return true;
    }
    let child = unshared()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned()
        + &String::from_utf8_lossy(&child.stderr);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}"
    );
    true
}

fn able(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Err(error) => Err(format!("there is no unshare: {error}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "not allowed here: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

fn every_way() {
    let folder = std::env::var_os(CHILD).unwrap();
    let folder = Path::new(&folder).join("mounted");
    let mounted = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(mounted.contains(folder.to_str().unwrap()), "{mounted}");
    ways::renamed(&folder);
    ways::in_place(&folder);
    ways::slow(&folder);
    ways::swapped(&folder);
    ways::deleted(&folder);
    ways::replaced(&folder);
    let path = folder.join("native.txt");
    assert_eq!(Followed::new(path).file.state().watching, Watching::Native);
}

#[test]
fn every_way_on_an_overlay() {
    let script = r#"cd "$1"; mkdir -p lower upper mounted
        echo lower > lower/renamed.txt; echo lower > lower/in_place.txt
        # The lower and the upper one on a file system that allows it.
        mount -t tmpfs none upper; mkdir -p upper/up upper/work
        mount -t overlay overlay -o lowerdir=lower,upperdir=upper/up,workdir=upper/work,userxattr mounted
        shift; exec "$@""#;
    if !in_name_spaces("mounts::every_way_on_an_overlay", script) {
        every_way();
    }
}

#[test]
fn every_way_on_a_tmpfs() {
    let script = r#"mkdir -p "$1/mounted"; mount -t tmpfs none "$1/mounted"; shift; exec "$@""#;
    if !in_name_spaces("mounts::every_way_on_a_tmpfs", script) {
        every_way();
    }
}

/// At a limit of the system: it polls, and says which limit.
fn polls(limit: &str) {
    let folder = std::env::var_os(CHILD).unwrap();
    let path = Path::new(&folder).join("file.txt");
    std::fs::write(&path, "0").unwrap();
    let followed = Followed::by(&Files::start(), &path);
    assert_eq!(followed.value(), "0");
    match &followed.file.state().watching {
        Watching::Polling { why } => assert!(why.contains(limit), "{why}"),
        other => panic!("{other:?}"),
    }
    std::fs::write(&path, "1").unwrap();
    followed.until_live("1");
    save(&path, "2");
    followed.until_live("2");
}

#[test]
fn at_the_limit_of_watches_it_polls_and_says_so() {
    let script = r#"echo 2 > /proc/sys/user/max_inotify_watches; shift; exec "$@""#;
    let test = "mounts::at_the_limit_of_watches_it_polls_and_says_so";
    if !in_name_spaces(test, script) {
        polls("fs.inotify.max_user_watches");
    }
}

#[test]
fn at_the_limit_of_watchers_it_polls_and_says_so() {
    let script = r#"echo 0 > /proc/sys/user/max_inotify_instances; shift; exec "$@""#;
    let test = "mounts::at_the_limit_of_watchers_it_polls_and_says_so";
    if !in_name_spaces(test, script) {
        polls("fs.inotify.max_user_instances");
    }
}

/// Files that another machine serves and changes: over SFTP, whose server is a process of its own
/// here. No event ever comes from there.
#[test]
fn on_a_network_file_system_it_polls_and_says_so() {
    const SFTP: &str = "/usr/lib/openssh/sftp-server";
    let test = "mounts::on_a_network_file_system_it_polls_and_says_so";
    if able(Command::new("sshfs").arg("--version")).is_err() || !Path::new(SFTP).is_file() {
        eprintln!("skipped: sshfs and {SFTP} are not both here");
        return;
    }
    // Both end with the pipes between them, when the mount goes with its name space.
    let script = r#"here=$1; cd "$here"; mkdir -p mounted served; echo before > served/file.txt
        rm -f up down; mkfifo up down
        /usr/lib/openssh/sftp-server < up > down &
        sshfs -f -o passive,cache=no ":$here/served" mounted > up < down &
        tries=0
        until [ -f mounted/file.txt ]; do tries=$((tries + 1)); [ $tries -lt 100 ]; sleep 0.1; done
        shift; status=0; "$@" || status=$?
        umount "$here/mounted"; wait; exit $status"#;
    if in_name_spaces(test, script) {
        return;
    }
    let folder = std::env::var_os(CHILD).unwrap();
    let (here, there) = (
        Path::new(&folder).join("mounted/file.txt"),
        Path::new(&folder).join("served/file.txt"),
    );
    let followed = Followed::by(&Files::start(), &here);
    assert_eq!(followed.value(), "before\n");
    match &followed.file.state().watching {
        Watching::Polling { why } => assert!(why.contains("FUSE"), "{why}"),
        other => panic!("{other:?}"),
    }
    save(&there, "renamed on the other machine");
    followed.until_live("renamed on the other machine");
    std::fs::write(&there, "written on the other machine").unwrap();
    followed.until_live("written on the other machine");
    save(&here, "renamed here");
    followed.until_live("renamed here");
    assert_eq!(std::fs::read_to_string(there).unwrap(), "renamed here");
}
