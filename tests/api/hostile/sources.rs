//! Answers of a source that are bombs: what is made of them is bounded, not their bytes alone.

use std::io::Write;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{MIB, Process};
use crate::support::{Behaviour, RawSource, WireRequest};

/// `max_response` as it is by default.
const LIMIT: usize = 16 * 1024 * 1024;
/// What one answer may take: its bytes, twice while they are gathered, what is made of half a million values, in the raw form too,
/// and as an answer of ours. Without a bound on the values it was more than a gigabyte.
const ROOM: u64 = 400 * MIB;

/// A list with this element in it so many times.
fn times(element: &str, times: usize) -> String {
    format!("[{}{element}]", format!("{element},").repeat(times - 1))
}

fn page(rows: &str) -> Vec<u8> {
    format!("{{\"code\": 0, \"data\": {{\"list\": {rows}}}}}").into_bytes()
}

/// As many of these as fit.
fn full(element: &str) -> String {
    times(element, (LIMIT - 100) / (element.len() + 1))
}

/// Bodies of a page of Tanma's, each within `max_response`, and what is answered to them.
fn bombs() -> Vec<(&'static str, Vec<u8>, u16)> {
    let row = |member: &str, list: &str| format!("{{\"customerId\": 1, \"{member}\": {list}}}");
    let rows = |member: &str, list: &str| times(&row(member, list), (LIMIT - 100) / (list.len() + 60));
    let texts: Vec<String> = (0..10_000).map(|n| format!("\\\"{n}\\\"")).collect();
    let field = format!("[{{\"field\": \"mobile\", \"type\": 8, \"valueAsText\": \"[{}]\"}}]", texts.join(","));
    vec![
        ("fields without members", page(&rows("fields", &times("{}", 9_999))), 502),
        ("tags of nothing", page(&rows("tagIds", &times("\"\"", 9_999))), 502),
        ("an unknown list of objects", page(&format!("[{}]", row("unknown", &full("{\"a\":1}")))), 502),
        ("as many fields as are taken", page(&times(&row("fields", &times("{}", 9_999)), 24)), 200),
        ("as many objects as are taken", page(&format!("[{}]", row("unknown", &times("{\"a\":1}", 249_000)))), 200),
        ("lists in texts", page(&rows("fields", &field)), 502),
        ("as many texts in texts as are taken", page(&times(&row("fields", &field), 49)), 200),
        ("one long text", page(&format!("[{{\"wechatNickname\": \"{}\"}}]", "n".repeat(LIMIT - 200))), 200),
        ("escapes", page(&format!("[{{\"wechatNickname\": \"{}\"}}]", "\\u0001".repeat((LIMIT - 200) / 6))), 200),
        ("blanks", [page("[]"), vec![b' '; LIMIT - 100]].concat(), 200),
        ("lists that never close", vec![b'['; LIMIT], 502),
    ]
}

fn answer(body: &[u8], headers: &str) -> Behaviour {
    let head = format!("HTTP/1.1 200 OK\r\n{headers}connection: close\r\n\r\n");
    Behaviour::Answer([head.as_bytes(), body].concat())
}

#[tokio::test]
async fn answers_that_are_bombs_take_no_more_than_their_size_and_what_half_a_million_values_are() {
    let now = Arc::new(Mutex::new(Behaviour::Silence));
    let does = now.clone();
    let source = RawSource::deciding(move |_request| does.lock().unwrap().clone()).await;
    let settings = [
        ("SOURCES__TANMA__BASE_URL", source.url.as_str()),
        ("SOURCES__TANMA__TIMEOUT", "60s"),
        ("SOURCES__TANMA__RETRY__ATTEMPTS", "1"),
        ("SOURCES__TANMA__BREAKER__MIN_CALLS", "1000000"),
        ("SERVER__REQUEST_TIMEOUT", "60s"),
        // One caller's share holds half a million objects in the raw form too: this is about what they take, not about the budget.
        ("SERVER__MEMORY_LIMIT", "8GiB"),
    ];
    let process = Process::start(&settings).await;
    let ask = async |what: &str, status: u16| {
        for more in ["", "&include=raw"] {
            let request = WireRequest::get(format!("/v1/customers?source=tanma&staff_id=dowen&limit=1{more}"));
            let reply = request.send_to(process.address).await.expect("an answer");
            let first: String = reply.body.chars().take(300).collect();
            assert_eq!(reply.status, status, "{what}{more}: {first}");
        }
    };
    for (what, body, status) in bombs() {
        assert!(body.len() <= LIMIT, "{what}: {}", body.len());
        *now.lock().unwrap() = answer(&body, "");
        ask(what, status).await;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b' '; 256 << 20]).unwrap();
    *now.lock().unwrap() = answer(&encoder.finish().unwrap(), "content-encoding: gzip\r\n");
    ask("256 MiB in a quarter of one", 502).await;
    *now.lock().unwrap() = Behaviour::Forever {
        begin: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".into(),
        again: [b"10000\r\n", &vec![b' '; 1 << 16][..], b"\r\n"].concat(),
    };
    ask("chunks without an end", 502).await;
    process.ends_unharmed(ROOM).await;
}
