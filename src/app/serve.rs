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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Bytes;
    use axum::routing::get;
    use futures_util::stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use super::*;

    async fn serving(router: Router, drain: Duration) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let ending = Ending { stop: stop.clone(), drain, closing: CancellationToken::new() };
        (address, stop, tokio::spawn(serve(listener, router, ending)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_for_a_minute_is_cut_off() {
        let (held, mut dropped) = mpsc::channel::<()>(1);
        let endless = move || {
            let held = held.clone();
            async move {
                let zeros = stream::repeat_with(move || {
                    let _held = &held;
                    Ok::<_, Infallible>(Bytes::from_static(&[0; 16_384]))
                });
                Body::from_stream(zeros)
            }
        };
        let router = Router::new().route("/", get(endless));
        let (address, _stop, _serving) = serving(router, Duration::from_secs(5)).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 1];
        client.read_exact(&mut first).await.unwrap();
        let since = Instant::now();
        // The route keeps one sender, each stream another: a message would mean that a stream spoke, and none does.
        let alive = |dropped: &mpsc::Receiver<()>| dropped.sender_strong_count() > 1;
        assert!(alive(&dropped));
        while alive(&dropped) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(since.elapsed() < Duration::from_mins(2), "the stream is still held");
        }
        assert!(since.elapsed() >= WRITE_TIMEOUT.saturating_sub(Duration::from_secs(1)));
        dropped.close();
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_sent_request_and_an_idle_connection_do_not_hold_the_drain() {
        let (address, stop, serving) = serving(Router::new(), Duration::from_secs(5)).await;
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET / HTTP/1.1\r\nhos").await.unwrap();
        let idle = TcpStream::connect(address).await.unwrap();
        let since = Instant::now();
        stop.cancel();
        serving.await.unwrap();
        assert!(since.elapsed() <= Duration::from_secs(5));
        drop((half, idle));
    }
}
