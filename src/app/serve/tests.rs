//! Connections over real sockets, with a paused clock.

use std::convert::Infallible;
use std::num::NonZeroU64;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{get, post};
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::connection::{HeadBudget, WRITE_TIMEOUT};
use super::*;
use crate::pace::Pace;
use crate::routes::NDJSON;

/// The default limits with `max_connections`.
fn limits(max_connections: usize) -> Limits {
    let min_rate = NonZeroU64::new(8 * 1024).unwrap();
    Limits {
        max_connections,
        when_full: WhenFull::Wait(AddressConnections::new(1_000, Vec::new())),
        connection: ConnectionLimits {
            head_timeout: Duration::from_secs(10),
            heads: HeadBudget::new(16 * 1024 * 1024),
            pace: Pace { min_rate, timeout: Duration::from_mins(2) },
        },
    }
}

async fn serving(router: Router, drain: Duration) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    serving_with(router, limits(100), drain).await
}

async fn serving_with(
    router: Router,
    limits: Limits,
    drain: Duration,
) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let ending = Ending { stop: stop.clone(), drain, closing: CancellationToken::new() };
    (address, stop, tokio::spawn(serve(listener, router, limits, ending)))
}

#[tokio::test(start_paused = true)]
async fn stream_ends_after_a_minute_without_a_byte_taken() {
    let (held, mut dropped) = mpsc::channel::<()>(1);
    let endless = move || {
        let held = held.clone();
        async move {
            let zeros = stream::repeat_with(move || {
                let _held = &held;
                Ok::<_, Infallible>(Bytes::from_static(&[0; 16_384]))
            });
            ([(CONTENT_TYPE, NDJSON)], Body::from_stream(zeros))
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
    tokio::spawn(serve(listener, router, limits(1), ending));
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

const DRAIN: Duration = Duration::from_secs(5);
const LARGE: usize = 2 * 1024 * 1024;

/// A connection that has asked for an answer of [`LARGE`] bytes, over a receive buffer that does not hide it.
async fn large_answer(path: &str) -> TcpStream {
    let router = Router::new()
        .route("/", get(|| async { vec![b'x'; LARGE] }))
        .route("/huge", get(|| async { vec![b'x'; 64 * LARGE] }));
    let (address, stop, _serving) = serving(router, DRAIN).await;
    // Serves on after the test has dropped its handles.
    drop(stop);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let mut client = socket.connect(address).await.unwrap();
    client.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    client
}

/// Reads `bytes` every `pause` until the connection ends; returns what it got and the time that it took.
async fn drain(mut client: TcpStream, bytes: usize, pause: Duration, enough: usize) -> (usize, Duration) {
    let since = Instant::now();
    let (mut got, mut buffer) = (0, vec![0; bytes]);
    'reading: while got < enough {
        tokio::time::sleep(pause).await;
        let mut left = bytes;
        while left > 0 && got < enough {
            let Ok(read @ 1..) = client.read(&mut buffer[..left]).await else { break 'reading };
            (left, got) = (left - read, got + read);
        }
    }
    (got, since.elapsed())
}

#[tokio::test(start_paused = true)]
async fn answer_drained_below_min_rate_is_cut() {
    let (got, took) = drain(large_answer("/").await, 70 * 1024, Duration::from_secs(45), LARGE).await;
    assert!(got < LARGE / 2, "{got}");
    assert!(took <= Duration::from_secs(100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn answer_to_reader_that_pauses_is_complete() {
    // 17 KiB/s, with pauses of 8 s.
    let (got, took) = drain(large_answer("/").await, 136 * 1024, Duration::from_secs(8), LARGE).await;
    assert!(got >= LARGE, "{got}");
    assert!(took > Duration::from_secs(100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn answer_is_cut_at_response_timeout() {
    let (got, took) = drain(large_answer("/huge").await, 100 * 1024, Duration::from_secs(1), usize::MAX).await;
    assert!((100..=140).contains(&took.as_secs()), "{took:?}");
    assert!(got >= 100 * 100 * 1024, "{got}");
}

/// What comes until the connection is closed; a reset is an error.
async fn whole_answer(client: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("closed, not reset");
    String::from_utf8(answer).unwrap()
}

#[tokio::test(start_paused = true)]
async fn early_answer_reaches_client_that_sends_everything_first() {
    let router = Router::new().route("/", post(|| async { (StatusCode::TOO_MANY_REQUESTS, "refused") }));
    let (address, _stop, _serving) = serving(router, DRAIN).await;
    let body = vec![b'x'; 8 * 1024 * 1024];
    let announced = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    let chunked = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n800000\r\n".to_owned();
    // The last two are refused by hyper itself.
    let long_head = "GET / HTTP/1.1\r\nhost: x\r\nx-long: ".to_owned();
    for (head, status) in [(announced, 429), (chunked, 429), (long_head, 431), ("no HTTP\r\n\r\n".to_owned(), 400)] {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(&body).await.expect("taken to its end");
        let answer = whole_answer(&mut client).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn lingering_close_ends_after_a_second() {
    let router = Router::new().route("/", post(|| async { "refused" }));
    // One connection: the next is served when the first has ended.
    let (address, _stop, _serving) = serving_with(router, limits(1), DRAIN).await;
    let request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n";
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(request).await.unwrap();
    assert!(whole_answer(&mut client).await.ends_with("refused"));
    let since = Instant::now();
    let mut next = TcpStream::connect(address).await.unwrap();
    next.write_all(request).await.unwrap();
    assert!(answer(&mut next).await.ends_with("refused"));
    assert_eq!(since.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn connection_with_small_unread_body_is_kept() {
    let router = Router::new().route("/", post(|| async { "refused" }));
    let (address, _stop, _serving) = serving(router, DRAIN).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        client.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nxxxxx").await.unwrap();
        let answer = answer(&mut client).await;
        assert!(answer.ends_with("refused") && !answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn unfinished_heads_share_a_budget_and_costliest_is_closed() {
    let mut limits = limits(100);
    limits.connection.heads = HeadBudget::new(200 * 1024);
    let (address, _stop, _serving) =
        serving_with(Router::new().route("/", get(|| async { "served" })), limits, DRAIN).await;
    let half = async |bytes: usize| {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-long: ").await.unwrap();
        // In two reads, the second of which is counted.
        tokio::time::sleep(Duration::from_millis(10)).await;
        client.write_all(&vec![b'x'; bytes]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        client
    };
    let mut oldest = half(50_000).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut others = vec![half(50_000).await, half(50_000).await];
    for _ in 0..3 {
        others.push(half(1_000).await);
    }
    let since = Instant::now();
    assert_eq!(oldest.read(&mut [0; 100]).await.unwrap_or(0), 0, "closed");
    assert!(since.elapsed() < Duration::from_secs(1), "by its timeout only: {:?}", since.elapsed());
    for client in &mut others {
        client.write_all(b"\r\n\r\n").await.unwrap();
        assert!(answer(client).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test(start_paused = true)]
async fn large_head_is_the_last_of_its_connection() {
    let router = Router::new().route("/", get(|| async { "served" }));
    let (address, _stop, _serving) = serving(router, DRAIN).await;
    for (bytes, is_last) in [(4_000, false), (20_000, true)] {
        let mut client = TcpStream::connect(address).await.unwrap();
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(bytes));
        client.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(answer(&mut client).await.contains("connection: close"), is_last, "{bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn connection_above_address_limit_is_closed_at_once() {
    let mut limits = limits(100);
    limits.when_full = WhenFull::Wait(AddressConnections::new(2, Vec::new()));
    let (address, _stop, _serving) =
        serving_with(Router::new().route("/", get(|| async { "served" })), limits, DRAIN).await;
    let connect = async || TcpStream::connect(address).await.unwrap();
    let ask = async |client: &mut TcpStream| {
        let _refused = client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut read = [0; 1_000];
        let length = client.read(&mut read).await.unwrap_or(0);
        read[..length].starts_with(b"HTTP/1.1 200")
    };
    let [mut one, mut two, mut three] = [connect().await, connect().await, connect().await];
    assert_eq!([ask(&mut one).await, ask(&mut two).await], [true, true]);
    let since = Instant::now();
    assert!(!ask(&mut three).await);
    assert_eq!(since.elapsed(), Duration::ZERO);
    drop(one);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(ask(&mut connect().await).await);
}

#[tokio::test(start_paused = true)]
async fn new_connection_replaces_oldest_silent_one() {
    let mut limits = limits(10);
    limits.when_full = WhenFull::CloseOldest;
    let never = || async { std::future::pending::<()>().await };
    let router = Router::new().route("/", get(|| async { "served" })).route("/never", get(never));
    let (address, _stop, _serving) = serving_with(router, limits, DRAIN).await;
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let since = Instant::now();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(answer(&mut client).await.starts_with("HTTP/1.1 200"));
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    assert_eq!(silent[0].read(&mut [0; 1]).await.unwrap_or(0), 0, "the oldest is closed");
    let busy = tokio::time::timeout(Duration::from_millis(100), busy.read(&mut [0; 1])).await;
    assert!(busy.is_err(), "a request is not interrupted: {busy:?}");
}
