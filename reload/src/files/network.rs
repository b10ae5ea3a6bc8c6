//! File systems whose changes the system does not tell, since another machine or another program
//! makes them.

use std::path::Path;

/// What the folder lies on, if it is such a file system.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn remote(folder: &Path) -> Option<&'static str> {
    // From statfs(2).
    const REMOTE: [(u32, &str); 11] = [
        (0x6969, "NFS"),
        (0xFF53_4D42, "CIFS"),
        (0xFE53_4D42, "SMB"),
        (0x517B, "SMB"),
        (0x0102_1997, "9p"),
        (0x6573_5546, "FUSE"),
        (0x00C3_6400, "Ceph"),
        (0x7375_7245, "Coda"),
        (0x5346_414F, "AFS"),
        (0x0BD0_0BD0, "Lustre"),
        (0x786F_4256, "a shared folder of VirtualBox"),
    ];
    // 32 bits that mean something, in fields of several kinds.
    let magic = rustix::fs::statfs(folder).ok()?.f_type as u32;
    let found = REMOTE.iter().find(|(number, _)| *number == magic);
    found.map(|(_, name)| *name)
}

/// What the folder lies on: unknown here, and so taken as of this machine.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn remote(_: &Path) -> Option<&'static str> {
    None
}
