//! One connection of a caller: how long it may take over a request's head, and how it ends.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tower::ServiceExt;

use crate::clock;
use crate::edge::Held;
use crate::routes::Stopping;

/// From a request's first byte to the end of its head; also from a connection's start to its first byte.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The same once the service is stopping.
const LAST_HEAD_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a connection may lie idle between requests: above the idle timeout of the load balancers in front (60 s is
/// usual), so that none of them picks up a connection as it is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// A connection that takes no byte of its answer for this long is closed.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// The most bytes of a request's head; hyper answers 431 above it, and above its 100 headers.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// When connections end.
#[derive(Clone)]
pub(super) struct Phases {
    /// Every answer from now on is its connection's last.
    pub(super) stop: CancellationToken,
    /// Idle connections are closed.
    pub(super) retire: CancellationToken,
    /// What is left is cut off.
    pub(super) cut: CancellationToken,
}

/// Serves one connection to its end.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, phases: Phases) {
    // Without it small answers wait for the client's acknowledgement; a socket that refuses is served all the same.
    let _refused = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let requests = Arc::new(Requests::default());
    let stop = phases.stop.clone();
    let reader = HeadReader::new(Box::pin(stream), requests.clone(), stop.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = Answering::begin(&requests);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(Stopping(stop.clone()));
        let (router, stop) = (router.clone(), stop.clone());
        async move {
            let mut response = router.oneshot(request).await?;
            complete_head(&mut response);
            if stop.is_cancelled() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<Response<_>, Infallible>(response.map(|body| Held::new(body, answering)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Ours are shorter; this one holds for a head that arrived in part behind another request. It counts idleness too.
        .header_read_timeout(IDLE_TIMEOUT + HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(reader), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = phases.cut.cancelled() => return,
        () = phases.retire.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = phases.cut.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Sets what hyper and axum get wrong in the head of a response.
fn complete_head<B>(response: &mut Response<B>) {
    // hyper formats a date once a second, and after a step back of the clock not until it has caught up.
    response.headers_mut().insert(DATE, clock::http_date());
    if response.status() == StatusCode::NOT_MODIFIED {
        // axum sets it to the length of the empty body; it would be that of the 200 (RFC 9110 §8.6).
        response.headers_mut().remove(CONTENT_LENGTH);
    }
}

/// The requests of a connection, counted as their heads are read and as their answers end.
#[derive(Default)]
struct Requests {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Requests {
    fn begun(&self) -> usize {
        self.begun.load(Ordering::Acquire)
    }

    fn answering(&self) -> bool {
        self.begun() != self.ended.load(Ordering::Acquire)
    }
}

/// A request that is being answered.
struct Answering(Arc<Requests>);

impl Answering {
    fn begin(requests: &Arc<Requests>) -> Self {
        requests.begun.fetch_add(1, Ordering::AcqRel);
        Self(requests.clone())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::AcqRel);
    }
}

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

/// Reads a connection, and ends it when a head takes too long.
struct HeadReader {
    stream: Pin<Box<TimeoutStream<TcpStream>>>,
    requests: Arc<Requests>,
    /// The request last seen to have begun.
    seen: usize,
    awaited: Awaited,
    timer: Pin<Box<Sleep>>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    stopping: bool,
}

impl HeadReader {
    fn new(stream: Pin<Box<TimeoutStream<TcpStream>>>, requests: Arc<Requests>, stop: CancellationToken) -> Self {
        Self {
            stream,
            requests,
            seen: 0,
            awaited: Awaited::First,
            timer: Box::pin(tokio::time::sleep(HEAD_TIMEOUT)),
            stop: Box::pin(stop.cancelled_owned()),
            stopping: false,
        }
    }

    fn await_next(&mut self, awaited: Awaited) {
        self.awaited = awaited;
        let allowed = match awaited {
            Awaited::Next => IDLE_TIMEOUT,
            Awaited::Head if self.stopping => LAST_HEAD_TIMEOUT,
            Awaited::First | Awaited::Head => HEAD_TIMEOUT,
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
}

impl AsyncRead for HeadReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let answering = self.requests.answering();
        let begun = self.requests.begun();
        if !answering && begun != self.seen {
            self.seen = begun;
            self.await_next(Awaited::Next);
        }
        let before = buf.filled().len();
        match self.stream.as_mut().poll_read(cx, buf) {
            Poll::Pending if !answering => {
                ready!(self.poll_late(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Ready(Ok(())) if !answering && self.awaited != Awaited::Head && buf.filled().len() > before => {
                self.await_next(Awaited::Head);
                Poll::Ready(Ok(()))
            }
            read => read,
        }
    }
}

impl AsyncWrite for HeadReader {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }
}
