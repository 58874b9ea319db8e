//! Stopping under load, again and again: nothing that was begun is cut, nobody is reset, the exit code is 0.
//!
//! `SCRM_STOPS=200 cargo test --test api stopping -- --nocapture` does it as often as that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
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
/// Connections that ask without a pause, or read without haste.
const CALLERS: usize = 16;
/// Connections that ask once and are kept after that.
const IDLE: usize = 8;

/// What a caller does with its connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// One request after the other.
    Keeps,
    /// A new connection for each.
    Closes,
    /// Waits before each part of an answer.
    ReadsSlowly,
    /// One request, and then it keeps the connection and says no more.
    Idles,
}

impl Habit {
    fn of(caller: usize) -> Self {
        match caller {
            CALLERS.. => Self::Idles,
            caller if caller % 8 == 5 => Self::ReadsSlowly,
            caller if caller % 2 == 0 => Self::Closes,
            _ => Self::Keeps,
        }
    }
}

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

/// All of a body, as quickly as this caller reads.
async fn read(mut body: Incoming, habit: Habit) -> hyper::Result<Vec<u8>> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        read.extend_from_slice(frame?.data_ref().map_or(&[], |data| data));
        if habit == Habit::ReadsSlowly {
            // Not a wait for anything: this is how slowly it reads.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(read)
}

/// Asks over one connection after the other until nobody listens any more.
async fn caller(
    caller: usize,
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    bearer: Arc<str>,
    write: Arc<str>,
) -> Seen {
    let habit = Habit::of(caller);
    let mut seen = Seen::default();
    // A slow reader asks for streams alone.
    let (mut number, step) = if habit == Habit::ReadsSlowly { (0, 8) } else { (caller * 100, 1) };
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
            number += step;
            let mut request = request(number, address, &bearer, &write);
            if habit == Habit::Closes {
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
            match read(response.into_body(), habit).await {
                Err(error) => seen.wrong.push(format!("{status}, cut: {error:?}")),
                Ok(body) => {
                    seen.answered += 1;
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
            if last || sender.ready().await.is_err() || habit == Habit::Idles {
                break;
            }
        }
        if habit != Habit::Idles {
            drop(sender);
        }
        if let Err(error) = driver.await.unwrap() {
            seen.wrong.push(format!("an idle connection was not closed but broken: {error:?}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_under_load_cuts_nothing_resets_nobody_and_exits_with_0() {
    let stops = std::env::var_os("SCRM_STOPS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(STOPS);
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
        for number in 0..CALLERS + IDLE {
            callers.spawn(caller(number, address, stopping.clone(), bearer.clone(), write.clone()));
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
    assert_eq!(sandbox.state().calls_to(Endpoint::JuzibotAddFollow), sandbox.state().applied_follow_ups().len() as u64);
    sandbox.stop().await;
}
