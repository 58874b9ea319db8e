//! Stopping under load, again and again: nothing that was begun is cut, nobody is reset, the exit code is 0.
//!
//! `SCRM_STOPS=200 cargo test --test api stopping -- --nocapture` does it as often as that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use scrm_gateway::sandbox::Endpoint;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Running, addresses, command, folder_for, sandbox};
use crate::support::Token;

/// Stops of an ordinary run.
const STOPS: u64 = 3;
/// Connections that ask without a pause.
const CALLERS: usize = 16;

/// What callers saw of one stop.
#[derive(Debug, Default)]
struct Seen {
    answered: u64,
    /// After the port was closed, or before it was open.
    refused: u64,
    /// Everything that should not be: whom and how.
    wrong: Vec<String>,
}

/// One caller's requests: reads that are quick and slow, a whole list as a stream, a write.
fn request(number: usize, host: SocketAddr, bearer: &str, write: &str) -> Request<Full<Bytes>> {
    let builder = Request::builder().header("host", host.to_string()).header("authorization", bearer);
    let request = match number % 8 {
        0 => builder.uri("/v1/customers?source=juzibot").header("accept", "application/x-ndjson").body(Full::default()),
        1 | 2 => builder.uri("/v1/customers?source=juzibot&limit=100").body(Full::default()),
        3 => builder
            .method("POST")
            .uri("/v1/follow-ups")
            .header("content-type", "application/json")
            .body(Full::from(write.to_owned())),
        4 => builder.uri(format!("/v1/customers/wm_nobody{number}")).body(Full::default()),
        _ => builder.uri("/v1/me").body(Full::default()),
    };
    request.unwrap()
}

/// Asks over one connection after the other until nobody listens any more. Some callers keep a connection for as long as it
/// is kept for them, some take a new one for each request.
async fn caller(
    first: usize,
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    bearer: Arc<str>,
    write: Arc<str>,
) -> Seen {
    let mut seen = Seen::default();
    let mut number = first;
    loop {
        let stream = match TcpStream::connect(address).await {
            Ok(stream) => stream,
            Err(error) => {
                if error.kind() == std::io::ErrorKind::ConnectionRefused && stopping.load(Ordering::Acquire) {
                    seen.refused += 1;
                } else {
                    seen.wrong.push(format!("connect: {error}"));
                }
                return seen;
            }
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let driver = tokio::spawn(connection);
        let mut answers = 0;
        loop {
            number += 1;
            let mut request = request(number, address, &bearer, &write);
            if first % 200 == 0 {
                request.headers_mut().insert("connection", HeaderValue::from_static("close"));
            }
            let response = match sender.send_request(request).await {
                Ok(response) => response,
                Err(error) => {
                    seen.wrong.push(format!("no answer to request {answers} of a connection: {error:?}"));
                    break;
                }
            };
            let last = response.headers().get("connection").is_some_and(|value| value == "close");
            let (status, stream) = (response.status(), response.headers().get("content-type").cloned());
            match response.into_body().collect().await {
                Err(error) => seen.wrong.push(format!("{status}, cut: {error:?}")),
                Ok(body) => {
                    seen.answered += 1;
                    let body = body.to_bytes();
                    let is_stream = stream.is_some_and(|value| value == "application/x-ndjson");
                    let text = std::str::from_utf8(&body).unwrap();
                    if is_stream && !text.ends_with("\"warnings\":[]}}\n") && !text.contains("\"resume_cursor\"") {
                        seen.wrong.push("a stream without its last line".to_owned());
                    }
                    if ![StatusCode::OK, StatusCode::NOT_FOUND].contains(&status) {
                        seen.wrong.push(format!("{status}: {text}"));
                    }
                }
            }
            answers += 1;
            if last || sender.ready().await.is_err() {
                break;
            }
        }
        drop(sender);
        let _closed = driver.await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_under_load_cuts_nothing_resets_nobody_and_exits_with_0() {
    let stops = std::env::var("SCRM_STOPS").ok().and_then(|text| text.parse().ok()).unwrap_or(STOPS);
    let sandbox = sandbox().await;
    let slow = Effect::Delay { min: Duration::from_millis(5), max: Some(Duration::from_millis(60)), applied: false };
    for endpoint in [Endpoint::JuzibotList, Endpoint::JuzibotDetail] {
        sandbox.state().add_fault(Rule::new(endpoint, slow.clone())).await.unwrap();
    }
    let person = sandbox.state().people().featured();
    let write = serde_json::json!({"items": [{"staff_id": "rocky", "union_id": person.union_id, "content": "seen"}]});
    let write: Arc<str> = write.to_string().into();
    let bearer: Arc<str> = Token::default().bearer().into();
    let (folder, _) = folder_for(&sandbox);
    let mut all = Seen::default();
    let mut longest = Duration::ZERO;
    for stop in 0..stops {
        let mut serve = command(folder.path(), &["serve", "--config", "gateway.toml"]);
        serve.env("SCRM_GATEWAY__RATE_LIMIT__DEFAULT__REQUESTS", "6000000");
        serve.env("SCRM_GATEWAY__RATE_LIMIT__DEFAULT__WINDOW", "1m");
        serve.env("SCRM_GATEWAY__RATE_LIMIT__DEFAULT__BURST", "1000000");
        serve.env("SCRM_GATEWAY__RATE_LIMIT__PER_ADDRESS__REQUESTS", "6000000");
        serve.env("SCRM_GATEWAY__RATE_LIMIT__PER_ADDRESS__WINDOW", "1m");
        serve.env("SCRM_GATEWAY__SERVER__MAX_STREAMS_PER_CALLER", "32");
        serve.env("SCRM_GATEWAY__LOG__LEVEL", "warn,scrm_gateway::app=info");
        let mut gateway = Running::start(serve);
        let (url, _) = addresses(&mut gateway).await;
        let address: SocketAddr = url.trim_start_matches("http://").parse().unwrap();
        let stopping = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for first in 0..CALLERS {
            callers.spawn(caller(first * 100, address, stopping.clone(), bearer.clone(), write.clone()));
        }
        // Not a wait for anything: the stop is to come at any point of what the callers do.
        tokio::time::sleep(Duration::from_millis(100 + stop * 37 % 400)).await;
        stopping.store(true, Ordering::Release);
        let since = tokio::time::Instant::now();
        gateway.terminate().await;
        let (code, lines) = gateway.ended().await;
        longest = longest.max(since.elapsed());
        assert_eq!(code, Some(0), "stop {stop}: {lines:?}");
        while let Some(seen) = callers.join_next().await {
            let seen = seen.unwrap();
            all.answered += seen.answered;
            all.refused += seen.refused;
            all.wrong.extend(seen.wrong.into_iter().map(|wrong| format!("stop {stop}: {wrong}")));
        }
    }
    println!("{stops} stops: {} answered, {} refused, longest stop {longest:?}", all.answered, all.refused);
    assert!(all.wrong.is_empty(), "{} of {}: {:#?}", all.wrong.len(), all.answered, all.wrong);
    assert!(all.answered > stops * CALLERS as u64, "too little to tell: {all:?}");
    assert_eq!(
        sandbox.state().calls_to(Endpoint::JuzibotAddFollow) as usize,
        sandbox.state().applied_follow_ups().len()
    );
    sandbox.stop().await;
}
