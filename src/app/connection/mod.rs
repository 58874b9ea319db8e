//! One connection of a caller: how long it may take over a request's head and an answer, and how it ends.

mod heads;
mod io;
mod linger;
mod request_body;
mod requests;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::clock;
use crate::edge::Held;
use crate::pace::Pace;
use crate::routes::{NDJSON, Stopping};

use heads::HeadShare;
use io::ConnectionIo;
use request_body::RequestBody;
use requests::Answering;

pub(super) use heads::HeadBudget;
pub(super) use requests::Requests;

/// The same once the service is stopping.
const LAST_HEAD_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a connection may lie idle between requests: above the idle timeout of the load balancers in front (60 s is
/// usual), so that none of them picks up a connection as it is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// A connection that takes no byte of its answer for this long is closed.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// What the system may hold of an answer that it has not sent yet. Bytes that the socket accepts count as drained, so what it
/// accepts ahead of the peer must be little; sent bytes are not limited, for a fast connection over a long way needs them.
const UNSENT_BYTES: u32 = 64 * 1024;
/// The most bytes of a request's head; hyper answers 431 above it, and above its 100 headers.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// A head that needs a larger buffer is its connection's last. hyper begins with a buffer of this size.
const LARGE_HEAD_BYTES: usize = 8 * 1024;

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

/// Limits of a listener's connections.
#[derive(Clone)]
pub(super) struct ConnectionLimits {
    /// From a request's first byte to the end of its head; also from a connection's start to its first byte.
    pub(super) head_timeout: Duration,
    pub(super) heads: Arc<HeadBudget>,
    /// The slowest answer.
    pub(super) pace: Pace,
}

/// A connection that was accepted.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) requests: Arc<Requests>,
}

/// Serves one connection to its end.
pub(super) async fn serve(accepted: Accepted, router: Router, limits: ConnectionLimits, phases: Phases) {
    let Accepted { stream, peer, requests } = accepted;
    // Without it small answers wait for the client's acknowledgement; a socket that refuses is served all the same.
    let _refused = stream.set_nodelay(true);
    limit_unsent(&stream);
    let head = Arc::new(HeadShare::new(limits.heads));
    let pace = limits.pace;
    let io = ConnectionIo::new(stream, requests.clone(), head.clone(), limits.head_timeout, phases.stop.clone());
    let stop = phases.stop.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        // What follows in its buffer would keep all of it, uncounted, for as long as the connection is idle.
        let has_large_buffer = head.release() > LARGE_HEAD_BYTES;
        let answering = Answering::begin(&requests);
        let (mut request, unread) = RequestBody::track(request);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(Stopping(stop.clone()));
        let (router, stop, requests) = (router.clone(), stop.clone(), requests.clone());
        async move {
            let mut response = router.oneshot(request).await?;
            complete_head(&mut response);
            if stop.is_cancelled() || unread.must_close() || has_large_buffer {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            requests.set_unread_body(unread.is_left());
            let is_stream = response.headers().get(CONTENT_TYPE).is_some_and(|value| value == NDJSON);
            requests.begin_answer(is_stream, &pace);
            Ok::<Response<_>, Infallible>(response.map(|body| Held::new(body, answering)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Ours are shorter; this one holds for a head that arrived in part behind another request. It counts idleness too.
        .header_read_timeout(IDLE_TIMEOUT + limits.head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(io), service);
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

#[cfg(target_os = "linux")]
fn limit_unsent(stream: &TcpStream) {
    // A socket that refuses is served all the same: its buffer then hides more from the limit of slow readers.
    let _refused = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES);
}

#[cfg(not(target_os = "linux"))]
fn limit_unsent(stream: &TcpStream) {
    let _refused = SockRef::from(stream).set_send_buffer_size(UNSENT_BYTES as usize);
}
