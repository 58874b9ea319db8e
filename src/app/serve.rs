//! The accept loop and the drain. Not `axum::serve`: that has no time limit for a request's head, and a half-sent one
//! would hold the drain for ever.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, Phases};
use super::port;

/// What a failing accept (no file descriptors left) waits before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long idle connections are kept once no new ones are taken: a request that is on its way over one of them is
/// answered, and told that it was the last.
const IDLE_GRACE: Duration = Duration::from_secs(1);
/// The last part of the drain, in which what is cut off is told so.
const FAREWELL: Duration = Duration::from_secs(1);

/// How serving ends.
pub(super) struct Ending {
    /// Take no more connections, and finish what is in flight.
    pub(super) stop: CancellationToken,
    /// How long that may take.
    pub(super) drain: Duration,
    /// Cancelled shortly before what is left is cut off.
    pub(super) closing: CancellationToken,
}

/// Serves at most `max_connections` connections at once, until it is stopped; then finishes what is in flight.
pub(super) async fn serve(listener: TcpListener, router: Router, max_connections: usize, ending: Ending) {
    let phases = Phases { stop: ending.stop.clone(), retire: CancellationToken::new(), cut: CancellationToken::new() };
    let connections = TaskTracker::new();
    let connect = |(stream, peer): (TcpStream, SocketAddr), slot: Option<OwnedSemaphorePermit>| {
        let served = connection::serve(stream, peer, router.clone(), phases.clone());
        connections.spawn(async move {
            let _slot = slot;
            served.await;
        });
    };
    let slots = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
    while let Some(slot) = ending.stop.run_until_cancelled(slots.clone().acquire_owned()).await {
        match ending.stop.run_until_cancelled(listener.accept()).await {
            None => break,
            Some(Ok(accepted)) => connect(accepted, slot.ok()),
            Some(Err(error)) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let since = Instant::now();
    for accepted in port::close(listener).await {
        connect(accepted, None);
    }
    connections.close();
    let farewell = FAREWELL.min(ending.drain / 2);
    let over = since + ending.drain;
    if timeout_at(since + IDLE_GRACE.min(ending.drain / 4), connections.wait()).await.is_ok() {
        return;
    }
    phases.retire.cancel();
    if timeout_at(over - farewell, connections.wait()).await.is_ok() {
        return;
    }
    ending.closing.cancel();
    if timeout_at(over, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "drain_timeout is over; closing what is left");
        phases.cut.cancel();
        connections.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::{Body, Bytes};
    use axum::routing::get;
    use futures_util::stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use super::super::connection::WRITE_TIMEOUT;
    use super::*;

    async fn serving(router: Router, drain: Duration) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let ending = Ending { stop: stop.clone(), drain, closing: CancellationToken::new() };
        (address, stop, tokio::spawn(serve(listener, router, 100, ending)))
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
    async fn half_a_head_is_cut_after_ten_seconds_and_an_idle_connection_kept_for_its_next_request() {
        let router = Router::new().route("/", get(|| async { "served" }));
        let (address, _stop, _serving) = serving(router, Duration::from_secs(5)).await;
        for half in ["", "GET / HTTP/1.1\r\nhos"] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(half.as_bytes()).await.unwrap();
            let since = Instant::now();
            assert_eq!(client.read(&mut [0; 100]).await.unwrap(), 0, "closed without a word");
            assert_eq!(since.elapsed().as_secs(), 10, "{half:?}");
        }
        let mut client = TcpStream::connect(address).await.unwrap();
        for _ in 0..3 {
            client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            assert!(answer(&mut client).await.starts_with("HTTP/1.1 200"));
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
        let since = Instant::now();
        assert_eq!(client.read(&mut [0; 100]).await.unwrap(), 0);
        assert!(since.elapsed() <= Duration::from_secs(15));
        // A byte now and then does not make a head less late.
        let mut client = TcpStream::connect(address).await.unwrap();
        let since = Instant::now();
        while client.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        assert!(since.elapsed() <= Duration::from_secs(15));
    }

    /// What comes in one go.
    async fn answer(client: &mut TcpStream) -> String {
        let mut read = [0; 1_000];
        let length = client.read(&mut read).await.unwrap();
        String::from_utf8_lossy(&read[..length]).into_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_holds_the_drain_for_no_more_than_a_second() {
        let (address, stop, serving) = serving(Router::new(), Duration::from_secs(30)).await;
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET / HTTP/1.1\r\nhos").await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let since = Instant::now();
        stop.cancel();
        serving.await.unwrap();
        assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
        assert_eq!(half.read(&mut [0; 100]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_had_connected_before_the_stop_is_answered_and_told_that_it_was_the_last() {
        let router = Router::new().route("/", get(|| async { "served" }));
        let (address, stop, serving) = serving(router, Duration::from_secs(30)).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(!answer(&mut idle).await.contains("connection: close"));
        // Connected as far as the system is concerned; nobody has accepted it.
        let mut queued = TcpStream::connect(address).await.unwrap();
        stop.cancel();
        for client in [&mut idle, &mut queued] {
            client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let answer = answer(client).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
            assert_eq!(client.read(&mut [0; 100]).await.unwrap(), 0, "closed");
        }
        serving.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "nobody new");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_has_begun_is_finished_within_the_drain_and_cut_after_it() {
        let slow = |seconds| {
            get(move || async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                "served"
            })
        };
        let router = Router::new().route("/slow", slow(5)).route("/slower", slow(50));
        let (address, stop, serving) = serving(router, Duration::from_secs(30)).await;
        let mut clients = Vec::new();
        for path in ["/slow", "/slower"] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
            clients.push(client);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let since = Instant::now();
        stop.cancel();
        assert!(answer(&mut clients[0]).await.ends_with("served"));
        serving.await.unwrap();
        assert_eq!(since.elapsed().as_secs(), 30);
        assert_eq!(clients[1].read(&mut [0; 100]).await.unwrap_or(0), 0, "cut");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_above_the_cap_waits_for_its_turn() {
        let router = Router::new().route("/", get(|| async { "served" }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ending =
            Ending { stop: CancellationToken::new(), drain: Duration::from_secs(5), closing: CancellationToken::new() };
        tokio::spawn(serve(listener, router, 1, ending));
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(answer(&mut first).await.starts_with("HTTP/1.1 200"));
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let early = tokio::time::timeout(Duration::from_secs(5), answer(&mut second)).await;
        assert!(early.is_err(), "served beside the first: {early:?}");
        drop(first);
        assert!(answer(&mut second).await.starts_with("HTTP/1.1 200"));
    }
}
