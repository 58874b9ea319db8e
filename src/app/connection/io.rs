//! The socket of one connection, as hyper reads and writes it: time limits of heads and answers, the memory of heads, and a
//! lingering close.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::telemetry::metrics;

use super::heads::HeadShare;
use super::linger::Linger;
use super::requests::Requests;
use super::{IDLE_TIMEOUT, LAST_HEAD_TIMEOUT, WRITE_TIMEOUT};

/// The most bytes of one read. hyper doubles its buffer when a read fills it, so less than its first 8 KiB keeps it small.
const READ_BYTES: usize = 8 * 1024 - 1;

/// What is being waited for while nothing is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// The first byte of a connection.
    First,
    /// The rest of a head.
    Head,
    /// The first byte of another request.
    Next,
}

/// Reads and writes a connection, and ends it when a head or an answer takes too long.
pub(super) struct ConnectionIo {
    stream: Pin<Box<TimeoutStream<TcpStream>>>,
    requests: Arc<Requests>,
    head_timeout: Duration,
    head: Arc<HeadShare>,
    /// Bytes since the last complete head.
    head_bytes: usize,
    /// The request last seen to have begun.
    seen: usize,
    awaited: Awaited,
    timer: Pin<Box<Sleep>>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    stopping: bool,
    /// Of the answer; made when the socket first takes no more.
    answer_timer: Option<Pin<Box<Sleep>>>,
    /// Once the write side is shut.
    linger: Option<Linger>,
}

impl ConnectionIo {
    pub(super) fn new(
        stream: TcpStream,
        requests: Arc<Requests>,
        head: Arc<HeadShare>,
        head_timeout: Duration,
        stop: CancellationToken,
    ) -> Self {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIMEOUT));
        Self {
            stream: Box::pin(stream),
            requests,
            head_timeout,
            head,
            head_bytes: 0,
            seen: 0,
            awaited: Awaited::First,
            timer: Box::pin(tokio::time::sleep(head_timeout)),
            stop: Box::pin(stop.cancelled_owned()),
            stopping: false,
            answer_timer: None,
            linger: None,
        }
    }

    fn await_next(&mut self, awaited: Awaited) {
        self.awaited = awaited;
        let allowed = match awaited {
            Awaited::Next => IDLE_TIMEOUT,
            Awaited::Head if self.stopping => LAST_HEAD_TIMEOUT.min(self.head_timeout),
            Awaited::First | Awaited::Head => self.head_timeout,
        };
        self.timer.as_mut().reset(Instant::now() + allowed);
    }

    /// Ready when what is awaited has taken too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.stopping && self.stop.as_mut().poll(cx).is_ready() {
            self.stopping = true;
            let last = Instant::now() + LAST_HEAD_TIMEOUT;
            if self.awaited == Awaited::Head && self.timer.deadline() > last {
                self.timer.as_mut().reset(last);
            }
        }
        self.timer.as_mut().poll(cx)
    }

    /// Counts the buffer of an unfinished head, of which hyper offers the `spare` part. Returns whether the connection has to close.
    fn exceeds_head_budget(&self, cx: &mut Context<'_>, spare: usize) -> bool {
        self.awaited == Awaited::Head && self.head.count(cx, self.head_bytes + spare)
    }

    /// Reads through a small buffer of the stack: [`READ_BYTES`] at most, whatever hyper offers.
    fn poll_read_some(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [MaybeUninit::uninit(); READ_BYTES];
        let mut bytes = ReadBuf::uninit(&mut bytes[..READ_BYTES.min(buf.remaining())]);
        ready!(self.stream.as_mut().poll_read(cx, &mut bytes))?;
        buf.put_slice(bytes.filled());
        Poll::Ready(Ok(bytes.filled().len()))
    }

    /// Notes what the socket took of an answer; ends the connection if it takes too little.
    fn follow(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => self.requests.add_written(*bytes),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => self.give_up("idle_response"),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                ready!(self.poll_slow_answer(cx));
                self.give_up("slow_response");
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        written
    }

    /// Ready when the answer is slower than the pace.
    fn poll_slow_answer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.requests.answer_deadline() else { return Poll::Pending };
        let timer = self.answer_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }

    /// The peer does not read, so the system is not left with what it has not taken either.
    fn give_up(&self, reason: &'static str) {
        metrics::connection_closed(reason);
        let _refused = self.stream.get_ref().set_zero_linger();
    }

    /// Whether the peer has nothing to send: it is between requests.
    fn is_idle(&self) -> bool {
        self.awaited != Awaited::Head && self.seen == self.requests.begun() && !self.requests.has_unread_body()
    }
}

impl AsyncRead for ConnectionIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let answering = self.requests.answering();
        let begun = self.requests.begun();
        if !answering && begun != self.seen {
            self.seen = begun;
            self.head_bytes = 0;
            self.await_next(Awaited::Next);
        }
        if !answering && self.exceeds_head_budget(cx, buf.remaining()) {
            metrics::connection_closed("head_budget");
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        match self.poll_read_some(cx, buf) {
            Poll::Pending if !answering => {
                ready!(self.poll_late(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Ready(Ok(bytes @ 1..)) if !answering => {
                self.head_bytes += bytes;
                if self.awaited != Awaited::Head {
                    self.await_next(Awaited::Head);
                }
                Poll::Ready(Ok(()))
            }
            read => read.map_ok(|_bytes| ()),
        }
    }
}

impl AsyncWrite for ConnectionIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream.as_mut().poll_write(cx, buf);
        self.follow(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream.as_mut().poll_write_vectored(cx, bufs);
        self.follow(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(this.stream.as_mut().poll_shutdown(cx))?;
            if this.is_idle() {
                return Poll::Ready(Ok(()));
            }
        }
        this.linger.get_or_insert_with(Linger::begin).poll(cx, this.stream.as_mut())
    }
}
