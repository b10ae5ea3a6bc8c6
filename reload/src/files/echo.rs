//! Tells when everything that happened up to now has been heard.
//!
//! Events come a little later than what they tell of. What was just read may be half of what a
//! writer is writing, and the event of that may still be under way. So, after a file was read, its
//! watcher is made to see one more thing that nobody else does; since a watcher tells everything in
//! its order, all that happened before the reading has been heard when that is.

use std::sync::Arc;
use std::time::Duration;

use notify::RecommendedWatcher;

use super::inbox::Inbox;

/// An echo takes some 50 µs; this long it is waited for on a machine that is stuck.
const PATIENCE: Duration = Duration::from_millis(100);

/// Two files without a name, changed in turns: two equal events in a row would be told as one.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) struct Echo {
    files: [std::os::fd::OwnedFd; 2],
    sent: u64,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Echo {
    /// Nothing where the system has no such files, or does not tell of them.
    pub fn start(watcher: &mut RecommendedWatcher, inbox: &Arc<Inbox>) -> Option<Self> {
        use notify::{RecursiveMode, Watcher as _};
        use rustix::fs::{MemfdFlags, memfd_create};
        use std::os::fd::AsRawFd as _;

        let file = || {
            let file = memfd_create("warden-echo", MemfdFlags::CLOEXEC).ok()?;
            let path = format!("{}{}", super::inbox::ECHO_PREFIX, file.as_raw_fd());
            let watched = watcher.watch(path.as_ref(), RecursiveMode::NonRecursive);
            watched.ok().map(|()| file)
        };
        let files: Vec<_> = std::iter::repeat_with(file).take(2).flatten().collect();
        let mut echo = Self {
            files: files.try_into().ok()?,
            sent: inbox.lock().echoes,
        };
        (echo.heard_all(inbox) && echo.heard_all(inbox)).then_some(echo)
    }

    pub fn heard_all(&mut self, inbox: &Inbox) -> bool {
        let which = usize::from(self.sent % 2 == 1);
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        if rustix::fs::fchmod(&self.files[which], mode).is_err() {
            return false;
        }
        self.sent += 1;
        inbox.wait_for_echo(self.sent, PATIENCE)
    }

    /// What was under way when events were lost comes back no more.
    pub fn overflowed(&mut self, inbox: &Inbox) {
        self.sent = inbox.lock().echoes;
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) struct Echo;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Echo {
    pub fn start(_: &mut RecommendedWatcher, _: &Arc<Inbox>) -> Option<Self> {
        None
    }

    pub fn heard_all(&mut self, _: &Inbox) -> bool {
        false
    }

    pub fn overflowed(&mut self, _: &Inbox) {}
}
