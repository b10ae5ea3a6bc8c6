//! What others could have written is refused where that matters.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use warden_reload::files::{Env, EnvMap, FaultKind, Files, Format as _, load};

use crate::{folder, save};

const NOBODY: u32 = 65_534;
const SOMEBODY: u32 = 12_345;

/// Goes on as a user who may not do everything, and who owns this folder and what is in it. The
/// calls go to the system itself, so that this thread alone changes, and those that it starts.
pub fn as_nobody(folder: &Path) -> bool {
    // SAFETY: numbers go in, a number comes out.
    if unsafe { libc::geteuid() } != 0 {
        return true;
    }
    for entry in fs::read_dir(folder).unwrap() {
        chown(entry.unwrap().path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    // SAFETY: as above.
    let changed = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
    if changed != 0 {
        eprintln!("skipped: this process cannot become another user");
    }
    changed == 0
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_everybody_may_write_is_refused_and_the_last_good_stays() {
    let folder = folder();
    let path = folder.path().join("shared.env");
    fs::write(&path, "A=1\n").unwrap();
    mode(&path, 0o600);
    let file = Files::start().open(&path, EnvMap::default(), Env.trusted());
    assert_eq!(file.get().get("A"), Some("1"));
    let (teller, states) = std::sync::mpsc::channel();
    let _told = file.on_state(move |state| drop(teller.send(state.clone())));
    let next = || states.recv_timeout(crate::PATIENCE).unwrap();

    mode(&path, 0o666);
    let fault = next().fault.unwrap();
    assert_eq!(fault.kind, FaultKind::Untrusted);
    assert_eq!(
        fault.message,
        "everybody may write the file; take that right away with `chmod go-w`"
    );
    assert_eq!(file.get().len(), 1);
    mode(&path, 0o644);
    assert_eq!(next().fault, None);

    mode(folder.path(), 0o777);
    save(&path, "A=2\n");
    let fault = next().fault.unwrap();
    assert!(fault.message.contains("put another file there"), "{fault}");
    assert_eq!(file.get().get("A"), Some("1"));
    // In a sticky folder nobody replaces another's file.
    mode(folder.path(), 0o1777);
    file.force_reload().unwrap();
    assert_eq!(file.get().get("A"), Some("2"));
}

#[test]
fn what_another_user_owns_is_refused() {
    let (folder, theirs) = (folder(), folder());
    let path = folder.path().join("shared.env");
    fs::write(&path, "A=1\n").unwrap();
    if chown(&path, Some(SOMEBODY), None).is_err() {
        eprintln!("skipped: only root gives files away");
        return;
    }
    let refused = |path: &Path| load(path, &Env.trusted()).unwrap_err();
    let fault = refused(&path);
    assert_eq!(fault.kind, FaultKind::Untrusted);
    assert!(
        fault.message.starts_with("the file belongs to user 12345"),
        "{fault}"
    );
    assert!(
        load(&path, &Env).is_ok(),
        "where it does not matter it is read"
    );

    // A file of ours in a folder of theirs, and through a link of theirs.
    let target = theirs.path().join("shared.env");
    fs::write(&target, "A=1\n").unwrap();
    chown(theirs.path(), Some(SOMEBODY), None).unwrap();
    mode(theirs.path(), 0o755);
    let fault = refused(&target);
    assert!(fault.message.starts_with("its folder "), "{fault}");
    fs::remove_file(&path).unwrap();
    symlink(&target, &path).unwrap();
    assert_eq!(
        refused(&path),
        warden_reload::files::Fault { path, ..fault }
    );
}

#[test]
fn its_group_may_write_it_only_where_the_group_is_the_owner_alone() {
    let folder = folder();
    let path = folder.path().join("shared.env");
    fs::write(&path, "A=1\n").unwrap();
    mode(&path, 0o660);
    let private = |path: &Path| {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = fs::metadata(path).unwrap();
        metadata.uid() == metadata.gid()
    };
    assert_eq!(load(&path, &Env.trusted()).is_ok(), private(&path));
    if chown(&path, None, Some(SOMEBODY)).is_ok() {
        let fault = load(&path, &Env.trusted()).unwrap_err();
        assert!(
            fault.message.starts_with("its group may write the file"),
            "{fault}"
        );
    }
}
