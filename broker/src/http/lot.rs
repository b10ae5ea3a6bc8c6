//! Connections that stay while the broker becomes another program.
//!
//! Between two requests a connection is no more than a socket and bytes that nobody has read yet:
//! so it goes over, and its client notices nothing. Whoever asked for the reload is answered by the
//! program that comes, since only that one knows whether it came.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use warden::wire::reload::ReloadResult;

use crate::http::line::Socket;

/// More than this, in bytes, is not taken over of requests that are still coming in. Anybody who can
/// connect can send it, and it must not weigh on what comes next.
const UNREAD_MAX: usize = 4 << 20;

/// A connection without a program.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) socket: OwnedFd,
    /// What its client has sent of the next request.
    pub(crate) unread: Bytes,
    /// It waits for this answer.
    pub(crate) owed: Option<Owed>,
}

/// The answer to a reload that came to the program itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owed {
    /// What came of the modules before it.
    pub(crate) results: Vec<ReloadResult>,
    /// The page that asked and may read the answer.
    pub(crate) origin: Option<String>,
}

/// Where connections stand meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Lot {
    open: AtomicBool,
    parked: Mutex<Vec<Parked>>,
}

impl Lot {
    /// From here on connections that are at rest come here, rather than to an end.
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Puts one down.
    pub(crate) fn park(&self, socket: Socket, unread: Bytes, owed: Option<Owed>) {
        match into_fd(socket) {
            Ok(socket) => self.lock().push(Parked {
                socket,
                unread,
                owed,
            }),
            Err(error) => tracing::warn!(%error, "a connection cannot be taken over"),
        }
    }

    /// All of them but for those that have sent too much: then who has sent the most is hung up on.
    pub(crate) fn clear(&self) -> Vec<Parked> {
        let mut parked = std::mem::take(&mut *self.lock());
        for line in &mut parked {
            if line.owed.is_some() {
                // Its answer is the last one on it.
                line.unread = Bytes::new();
            }
        }
        parked.sort_by_key(|line| line.unread.len());
        let mut unread = 0;
        let fits = |line: &&Parked| {
            unread += line.unread.len();
            unread <= UNREAD_MAX
        };
        let stay = parked.iter().take_while(fits).count();
        if stay < parked.len() {
            let connections = parked.len() - stay;
            tracing::warn!(
                connections,
                "hung up on, since together they have sent too much of requests that they did not finish"
            );
            parked.truncate(stay);
        }
        parked
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Parked>> {
        // Nothing panics while it holds this lock.
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn into_fd(socket: Socket) -> io::Result<OwnedFd> {
    match socket {
        Socket::Tcp(stream) => stream.into_std().map(OwnedFd::from),
        Socket::Unix(stream) => stream.into_std().map(OwnedFd::from),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn who_has_sent_the_most_goes_first_and_who_is_owed_an_answer_stays() {
        let lot = Lot::default();
        let park = |length: usize, owed: Option<Owed>| {
            lot.lock().push(Parked {
                socket: File::open("/dev/null").unwrap().into(),
                unread: vec![0; length].into(),
                owed,
            });
        };
        let owed = Owed {
            results: Vec::new(),
            origin: None,
        };
        park(UNREAD_MAX - 10, None);
        park(UNREAD_MAX, Some(owed));
        for length in [9, 0, 11] {
            park(length, None);
        }
        let lengths: Vec<_> = lot.clear().iter().map(|line| line.unread.len()).collect();
        assert_eq!(lengths, [0, 0, 9, 11]);
        park(UNREAD_MAX, None);
        assert_eq!(lot.clear().len(), 1);
    }
}
