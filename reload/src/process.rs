//! Processes that the reload thread waits for, and another thread may end.

use std::io::{self, Read};
use std::process::Child;
use std::sync::{Mutex, PoisonError};

/// The most that is kept of what a process says, in bytes.
pub(crate) const MESSAGE_MAX: usize = 64 * 1024;

/// The process that runs, if one does, so that another thread can end it.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Leads a process group of its own; not reaped while it stands here.
    group: Option<i32>,
    cancelled: bool,
}

impl Running {
    /// Ends the process that runs, and what it started. Without one, does nothing.
    pub fn cancel(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = state.group {
            state.cancelled = true;
            // SAFETY: `kill` takes two numbers. The group's leader is not reaped before it is
            // taken out of `state`, so the number cannot stand for another process by now.
            unsafe { libc::kill(-group, libc::SIGTERM) };
        }
    }

    /// From now on it can be cancelled; and is, where `unwanted` says that it was already.
    pub fn started(&self, child: &Child, unwanted: impl FnOnce() -> bool) {
        let group = i32::try_from(child.id()).ok();
        {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *state = State {
                group,
                cancelled: false,
            };
        }
        // Not under the lock: whoever cancels holds the lock that this takes.
        if unwanted() {
            self.cancel();
        }
    }

    /// To be called before the process is reaped. Whether it was cancelled.
    pub fn ended(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.group = None;
        state.cancelled
    }
}

/// Kills a process that leads a group of its own, and what is left of the group.
pub(crate) fn kill_group(child: &Child) {
    if let Ok(group) = i32::try_from(child.id()) {
        // SAFETY: `kill` takes two numbers; the leader is not reaped yet, since `child` is there.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
}

/// The last [`MESSAGE_MAX`] bytes that come out of a pipe; `heard` is told of all as it comes.
pub(crate) fn tail(mut pipe: impl Read, mut heard: impl FnMut(&[u8])) -> String {
    let (mut kept, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match pipe.read(&mut chunk) {
            Ok(len @ 1..) => {
                heard(&chunk[..len]);
                kept.extend_from_slice(&chunk[..len]);
                kept.drain(..kept.len().saturating_sub(MESSAGE_MAX));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => return String::from_utf8_lossy(&kept).into_owned(),
        }
    }
}
