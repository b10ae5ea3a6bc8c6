//! Drives one connection from its first byte to its last: time limits, early hang-ups, and the
//! answers to what is no HTTP.

use std::future::Future;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use warden::Code;

use crate::http::answer;
use crate::http::line::{Line, Phase, Socket, Wire};
use crate::http::lot::Lot;
use crate::http::service::Service;
use crate::readiness;

/// From the first byte of a request to the last of its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may do nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a peer may leave an answer unread.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a connection is looked at that may take as long as it likes.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How long a last answer is given to arrive before the connection closes.
const LINGER: Duration = Duration::from_secs(1);
/// More than hyper reads of a request's head; a larger head is refused with 431.
const MAX_HEAD_BYTES: usize = 32 * 1024;

type Connection = http1::Connection<TokioIo<Wire>, Service>;

/// Why a connection is over.
enum End {
    /// It closed, or broke.
    Closed,
    /// What came was no HTTP, or too much, or too slow: this is to be said.
    Refused(Code, &'static str),
    /// It stays for the program that comes.
    Parked,
}

/// Runs a connection until it ends, or until its current request is answered once `stop` is
/// cancelled; then it is parked, where the lot is open. `unread` was read from it before.
pub(crate) async fn drive(
    socket: Socket,
    unread: Bytes,
    service: Service,
    stop: CancellationToken,
    lot: &Lot,
) {
    let line = Arc::clone(service.line());
    let socket_fd = socket.as_raw_fd();
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(
            TokioIo::new(Wire::new(socket, unread, Arc::clone(&line))),
            service,
        );
    let mut drive = Drive {
        connection,
        line: Arc::clone(&line),
        socket_fd,
        watch: None,
        seen: (Phase::Idle, 0),
        since: Instant::now(),
        timer: Box::pin(sleep(IDLE_TIMEOUT)),
        parking: false,
    };
    let end = tokio::select! {
        biased;
        () = line.hang_up.cancelled() => End::Closed,
        end = run(&mut drive, stop, lot) => end,
    };
    match end {
        End::Refused(code, detail) => {
            let socket = drive.connection.into_parts().io.into_inner().into_socket();
            conclude(socket, &answer::raw(code, detail)).await;
        }
        End::Parked => {
            let parts = drive.connection.into_parts();
            let (socket, unread) = parts.io.into_inner().into_parts(parts.read_buf);
            lot.park(socket, unread, line.take_owed());
        }
        End::Closed => {}
    }
}

async fn run(drive: &mut Drive, stop: CancellationToken, lot: &Lot) -> End {
    let drive = tokio::select! {
        end = &mut *drive => return end,
        () = stop.cancelled() => drive,
    };
    if lot.is_open() {
        drive.parking = true;
    } else {
        Pin::new(&mut drive.connection).graceful_shutdown();
    }
    drive.await
}

/// Gives a last answer. Whoever does not take it in time has none.
pub(crate) async fn conclude(socket: Socket, answer: &[u8]) {
    let _ = timeout(LINGER, last_word(socket, answer)).await;
}

async fn last_word(mut socket: Socket, answer: &[u8]) -> std::io::Result<()> {
    socket.write_all(answer).await?;
    socket.shutdown().await?;
    // Closing with unread bytes would reset the connection and take the answer with it.
    let mut unread = [0; 4096];
    while socket.read(&mut unread).await? > 0 {}
    Ok(())
}

struct Drive {
    connection: Connection,
    line: Arc<Line>,
    /// The connection's socket, open for as long as the connection is here.
    socket_fd: RawFd,
    /// Hears of the peer's hanging up while hyper does not read.
    watch: Option<AsyncFd<OwnedFd>>,
    seen: (Phase, u64),
    since: Instant,
    timer: Pin<Box<Sleep>>,
    /// It ends as soon as it is at rest.
    parking: bool,
}

impl Future for Drive {
    type Output = End;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let this = self.get_mut();
        if let Poll::Ready(done) = this.connection.poll_without_shutdown(cx) {
            return Poll::Ready(match done {
                Ok(()) => End::Closed,
                Err(error) => refusal(&error),
            });
        }
        if this.parking && this.line.is_at_rest() {
            return Poll::Ready(End::Parked);
        }
        if this.line.is_spent() {
            return Poll::Ready(End::Closed);
        }
        if this.line.is_unwatched() && this.poll_hung_up(cx).is_ready() {
            return Poll::Ready(End::Closed);
        }
        this.poll_limits(cx)
    }
}

impl Drive {
    /// Ready once the peer has closed. hyper itself watches for it only while it has no further
    /// bytes to parse, so a pipelined request would blind it.
    fn poll_hung_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.watch.is_none() {
            // SAFETY: `connection`, which is here, owns the socket and so keeps it open.
            let socket = unsafe { BorrowedFd::borrow_raw(self.socket_fd) };
            self.watch = socket
                .try_clone_to_owned()
                .and_then(readiness::of)
                .inspect_err(|error| tracing::warn!(%error, "a connection cannot be watched"))
                .ok();
        }
        let Some(watch) = &self.watch else {
            return Poll::Pending;
        };
        loop {
            match watch.poll_read_ready(cx) {
                Poll::Ready(Ok(mut guard)) => {
                    if guard.ready().is_read_closed() {
                        return Poll::Ready(());
                    }
                    guard.clear_ready();
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Ready once the connection has done for too long what it is doing. The timer is only moved
    /// where it would ring too late, so that a busy connection does not pay for it.
    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let seen = self.line.phase();
        if seen != self.seen {
            self.seen = seen;
            self.since = Instant::now();
        }
        let limit = match seen.0 {
            Phase::Idle => IDLE_TIMEOUT,
            Phase::Incoming => HEADER_TIMEOUT,
            Phase::Unread => UNREAD_TIMEOUT,
            Phase::Answering => LOOK_AGAIN,
        };
        if self.timer.deadline() > self.since + limit {
            self.timer.as_mut().reset(self.since + limit);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if now < self.since + limit {
                self.timer.as_mut().reset(self.since + limit);
                continue;
            }
            match seen.0 {
                Phase::Idle | Phase::Unread => return Poll::Ready(End::Closed),
                Phase::Incoming => {
                    return Poll::Ready(End::Refused(
                        Code::RequestTimeout,
                        "the request's headers did not arrive in time; send it again",
                    ));
                }
                Phase::Answering => {
                    // Nothing to say; the limit runs anew from here.
                    self.since = now;
                    self.timer.as_mut().reset(now + limit);
                }
            }
        }
        Poll::Pending
    }
}

fn refusal(error: &hyper::Error) -> End {
    if error.is_parse_too_large() {
        End::Refused(
            Code::HeadersTooLarge,
            "the request's line and headers are longer, or more, than the broker reads",
        )
    } else if error.is_parse() {
        End::Refused(
            Code::BadRequest,
            "what was sent is not a valid HTTP/1.1 request",
        )
    } else {
        End::Closed
    }
}
