//! The accept loop. Not `axum::serve`: that has no time limit for a request's head, and a half-sent one would hold the
//! drain for ever.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// The time a client has for a request's head, and an idle connection until the next: above the idle timeout of the
/// load balancers in front (60 s is usual), so that none of them picks up a connection as it is closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// What a failing accept (no file descriptors left) waits before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The last part of the drain, in which what is cut off is told so.
const FAREWELL: Duration = Duration::from_secs(1);
/// A connection that takes no byte of its answer for this long is closed.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

/// How serving ends.
pub(super) struct Ending {
    /// Take no more connections, and finish what is in flight.
    pub(super) stop: CancellationToken,
    /// How long that may take.
    pub(super) drain: Duration,
    /// Cancelled shortly before what is left is cut off.
    pub(super) closing: CancellationToken,
}

/// Serves until it is stopped, then finishes what is in flight.
pub(super) async fn serve(listener: TcpListener, router: Router, ending: Ending) {
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ending.stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => connect(stream, peer, router.clone(), &connections),
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let mut draining = std::pin::pin!(connections.shutdown());
    let farewell = FAREWELL.min(ending.drain / 2);
    if tokio::time::timeout(ending.drain.saturating_sub(farewell), &mut draining).await.is_ok() {
        return;
    }
    ending.closing.cancel();
    if tokio::time::timeout(farewell, draining).await.is_err() {
        tracing::warn!("drain_timeout is over; closing what is left");
    }
}

fn connect(stream: TcpStream, peer: SocketAddr, router: Router, connections: &GracefulShutdown) {
    // Without it small answers wait for the client's acknowledgement; a socket that refuses is served all the same.
    let _refused = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let watched = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = watched.await {
            tracing::debug!(%error, "connection ended");
        }
    });
}
