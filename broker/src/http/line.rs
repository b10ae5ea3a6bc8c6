//! One connection's bytes, and what is known of them.
//!
//! hyper neither tells when an answer was written whole, nor lets a server word its own answer to
//! malformed HTTP, nor watches a connection on which the next request is already waiting. All
//! three are seen here, below it, where the bytes pass.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::engine::Delivery;
use crate::http::lot::Owed;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Anybody on this host.
    Tcp,
    /// A process that the kernel vouches for.
    Socket {
        /// Its effective user when it connected.
        uid: u32,
    },
}

/// What is known of one connection. Shared by its socket, its service and its driver, which all
/// run on one task: the atomics are for the compiler, not for speed.
#[derive(Debug)]
pub(crate) struct Line {
    /// Who is at the other end.
    pub(crate) peer: Peer,
    /// Cancelled when the connection is to be dropped at once.
    pub(crate) hang_up: CancellationToken,
    /// Requests that reached the service.
    turns: AtomicU64,
    /// A request is with the service, or its answer is not yet written whole.
    answering: AtomicBool,
    /// hyper has taken the whole answer into its buffer.
    taken: AtomicBool,
    /// Bytes came that no request was made of yet.
    partial: AtomicBool,
    /// The rest of a request is not read: what comes next cannot be told from it.
    broken_off: AtomicBool,
    /// hyper waits for bytes to read, and so would see the connection close.
    listening: AtomicBool,
    /// The peer does not take what is written.
    blocked: AtomicBool,
    /// What is to be told once the answer is written whole, or is lost.
    delivery: Mutex<Option<Delivery>>,
    /// Before that answer is written, the peer has to be there.
    look_first: AtomicBool,
    /// The answer that the program has to give which comes after this one.
    owed: Mutex<Option<Owed>>,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing.
    Idle,
    /// A request is coming in.
    Incoming,
    /// A request is being answered, or its answer is a stream.
    Answering,
    /// The peer does not read its whole answer.
    Unread,
}

impl Line {
    pub(crate) fn new(peer: Peer, hang_up: CancellationToken) -> Self {
        Self {
            peer,
            hang_up,
            turns: AtomicU64::new(0),
            answering: AtomicBool::new(false),
            taken: AtomicBool::new(false),
            partial: AtomicBool::new(false),
            broken_off: AtomicBool::new(false),
            listening: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            delivery: Mutex::new(None),
            look_first: AtomicBool::new(false),
            owed: Mutex::new(None),
        }
    }

    /// The request that is being answered will be by the program that comes after this one.
    pub(crate) fn owe(&self, owed: Owed) {
        *self.owed() = Some(owed);
    }

    /// What it is owed; nothing after this.
    pub(crate) fn take_owed(&self) -> Option<Owed> {
        self.owed().take()
    }

    /// Nothing goes on here that another program could not begin anew.
    pub(crate) fn is_at_rest(&self) -> bool {
        let is_idle = matches!(self.phase().0, Phase::Idle | Phase::Incoming);
        !self.broken_off.load(Ordering::Relaxed) && (is_idle || self.owed().is_some())
    }

    /// It is idle, and nothing more can be made of what comes.
    pub(crate) fn is_spent(&self) -> bool {
        self.broken_off.load(Ordering::Relaxed) && self.phase().0 == Phase::Idle
    }

    /// The request that is being answered was not read to its end, and never will be.
    pub(crate) fn break_off(&self) {
        self.broken_off.store(true, Ordering::Relaxed);
    }

    fn owed(&self) -> MutexGuard<'_, Option<Owed>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has come in whole and goes to the service.
    pub(crate) fn called(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.taken.store(false, Ordering::Relaxed);
        self.partial.store(false, Ordering::Relaxed);
        self.answering.store(true, Ordering::Relaxed);
    }

    /// hyper has taken the last of the answer.
    pub(crate) fn answer_taken(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }

    /// The answer that is being given hands something over.
    pub(crate) fn deliver(&self, delivery: Delivery) {
        *self.delivery() = Some(delivery);
        self.look_first.store(true, Ordering::Relaxed);
    }

    /// Fails where the answer hands something over and nobody is there any more to take it. Asked
    /// before the first byte: whoever has read the answer may close at once.
    fn check_peer(&self, socket: &Socket) -> io::Result<()> {
        let look = self.look_first.load(Ordering::Relaxed);
        if look {
            self.look_first.store(false, Ordering::Relaxed);
        }
        if look && socket.is_closed_by_peer() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    /// A request is with the service and hyper would not notice that its sender left.
    pub(crate) fn is_unwatched(&self) -> bool {
        self.answering.load(Ordering::Relaxed)
            && !self.taken.load(Ordering::Relaxed)
            && !self.listening.load(Ordering::Relaxed)
    }

    /// What the connection is doing, and with which request.
    pub(crate) fn phase(&self) -> (Phase, u64) {
        let phase = if self.answering.load(Ordering::Relaxed) {
            let unread = self.taken.load(Ordering::Relaxed) && self.blocked.load(Ordering::Relaxed);
            if unread {
                Phase::Unread
            } else {
                Phase::Answering
            }
        } else if self.partial.load(Ordering::Relaxed) {
            Phase::Incoming
        } else {
            Phase::Idle
        };
        (phase, self.turns.load(Ordering::Relaxed))
    }

    fn delivery(&self) -> MutexGuard<'_, Option<Delivery>> {
        // Nothing panics while it holds the lock, and an `Option` has no broken state.
        self.delivery.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that hyper had to write is with the kernel.
    fn flushed(&self) {
        self.blocked.store(false, Ordering::Relaxed);
        if !self.answering.load(Ordering::Relaxed) || !self.taken.load(Ordering::Relaxed) {
            return;
        }
        self.answering.store(false, Ordering::Relaxed);
        if let Some(delivery) = self.delivery().take() {
            delivery.delivered();
        }
    }
}

/// A connected socket of either kind.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Writes what the kernel takes at once, and forgets the rest.
    pub(crate) fn try_say(&self, bytes: &[u8]) {
        let _ = match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        };
    }

    /// Whether the peer has closed, or shut down its sending side: asked of the kernel, since the
    /// reactor may not have heard of it yet.
    fn is_closed_by_peer(&self) -> bool {
        let mut fds = [PollFd::new(self, PollFlags::RDHUP)];
        match poll(&mut fds, Some(&Timespec::default())) {
            Ok(_) => !fds[0].revents().is_empty(),
            Err(_) => false,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// A socket whose traffic its [`Line`] knows of.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: Socket,
    /// Came before this program did, and is read before what comes now.
    unread: Bytes,
    line: Arc<Line>,
}

impl Wire {
    pub(crate) fn new(socket: Socket, unread: Bytes, line: Arc<Line>) -> Self {
        Self {
            socket,
            unread,
            line,
        }
    }

    /// The bare socket, to say a last word on it.
    pub(crate) fn into_socket(self) -> Socket {
        self.socket
    }

    /// The bare socket, and what was read from it behind `read`.
    pub(crate) fn into_parts(self, read: Bytes) -> (Socket, Bytes) {
        if self.unread.is_empty() {
            return (self.socket, read);
        }
        let mut all = BytesMut::from(&read[..]);
        all.extend_from_slice(&self.unread);
        (self.socket, all.freeze())
    }

    fn socket(self: Pin<&mut Self>) -> (Pin<&mut Socket>, &Line) {
        let this = self.get_mut();
        (Pin::new(&mut this.socket), &this.line)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let this = self.get_mut();
        let line = &this.line;
        let read = if this.unread.is_empty() {
            Pin::new(&mut this.socket).poll_read(cx, buf)
        } else {
            let taken = this.unread.len().min(buf.remaining());
            buf.put_slice(&this.unread[..taken]);
            this.unread.advance(taken);
            Poll::Ready(Ok(()))
        };
        line.listening.store(read.is_pending(), Ordering::Relaxed);
        if buf.filled().len() > before && !line.answering.load(Ordering::Relaxed) {
            line.partial.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (socket, line) = self.socket();
        if !line.answering.load(Ordering::Relaxed) {
            // hyper's own bare answer to what it could not parse: the driver words a better one.
            return Poll::Ready(Ok(buf.len()));
        }
        line.check_peer(&socket)?;
        let written = socket.poll_write(cx, buf);
        line.blocked.store(written.is_pending(), Ordering::Relaxed);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (socket, line) = self.socket();
        if !line.answering.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        line.check_peer(&socket)?;
        let written = socket.poll_write_vectored(cx, bufs);
        line.blocked.store(written.is_pending(), Ordering::Relaxed);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.socket).poll_flush(cx);
        if let Poll::Ready(Ok(())) = flushed {
            this.line.flushed();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().0.poll_shutdown(cx)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
