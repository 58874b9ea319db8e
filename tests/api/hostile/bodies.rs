//! Bodies that are larger than they look, or look larger than they are.

use super::{MIB, Process};
use crate::bad_input::wild;
use crate::support::{Token, WireReply, WireRequest, exchange};

/// `server.body_limit` as it is by default.
const LIMIT: usize = 8 * 1024 * 1024;
/// What one request after the other may take: a body, what is made of it, and room for the allocator to be slack.
const ROOM: u64 = 48 * MIB;

/// `{"items":[…]}`, as much of it as the limit allows.
fn items(item: &str) -> Vec<u8> {
    let times = (LIMIT - 20) / (item.len() + 1);
    format!("{{\"items\":[{}{item}]}}", format!("{item},").repeat(times - 1)).into_bytes()
}

/// Small on the wire and, if read as they are, large in memory.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let keys = (0..700_000).map(|n| format!("\"{n:x}\":0")).collect::<Vec<_>>().join(",");
    vec![
        ("4,000,000 numbers", items("0")),
        ("2,700,000 empty lists", items("[]")),
        ("2,700,000 empty objects", items("{}")),
        ("1,000,000 objects", items("{\"a\":1}")),
        ("1,000,000 lists in lists", items("[[[]]]")),
        ("180,000 items", items(r#"{"staff_id":"s","union_id":"o","content":"c"}"#)),
        ("700,000 keys", format!("{{{keys}}}").into_bytes()),
        ("a key 700,000 times", format!("{{{}\"a\":1}}", "\"a\":1,\"b\":2,".repeat(350_000)).into_bytes()),
        ("lists 100,000 deep", [[b'['; 100_000], [b']'; 100_000]].concat()),
        ("lists that never close", vec![b'['; LIMIT]),
        ("objects 100,000 deep", "{\"items\":".repeat(100_000).into_bytes()),
        ("nothing but blanks", vec![b' '; LIMIT]),
    ]
}

#[tokio::test]
async fn a_body_that_is_a_bomb_is_refused_and_takes_no_more_than_its_size() {
    let process = Process::start(&[]).await;
    for (what, body) in bombs() {
        assert!(body.len() <= LIMIT, "{what}");
        for path in ["/v1/remarks", "/v1/follow-ups"] {
            let reply = WireRequest::post(path, body.clone()).send_to(process.address).await.expect("an answer");
            wild::refused(what, &reply);
            assert!(matches!(reply.status, 400 | 413 | 422), "{what}: {}", reply.status);
        }
    }
    process.ends_unharmed(ROOM).await;
}

#[tokio::test]
async fn bombs_at_once_take_no_more_than_their_sizes() {
    let process = Process::start(&[]).await;
    let bombs = bombs();
    let count = bombs.len() as u64;
    let send = bombs.into_iter().map(async |(what, body)| {
        let reply = WireRequest::post("/v1/follow-ups", body).send_to(process.address).await.expect("an answer");
        wild::refused(what, &reply);
    });
    futures_util::future::join_all(send).await;
    process.ends_unharmed(count * 24 * MIB).await;
}

/// A POST with the usual head and these headers, then this body, whatever they say of each other.
fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let bearer = Token::default().bearer();
    let head = format!(
        "POST /v1/follow-ups HTTP/1.1\r\nhost: gateway.test\r\nconnection: close\r\nauthorization: {bearer}\r\n\
         content-type: application/json\r\n{headers}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The body in chunks of so many bytes.
fn chunked(body: &[u8], bytes: usize) -> Vec<u8> {
    let mut chunks = Vec::new();
    for chunk in body.chunks(bytes) {
        chunks.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunks.extend_from_slice(chunk);
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    chunks
}

/// The one answer, a problem of this status.
#[track_caller]
fn only(what: &str, answers: Vec<u8>, status: u16) {
    let replies = WireReply::all(answers);
    assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [status], "{what}");
    wild::refused(what, &replies[0]);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_its_size_is_told() {
    let process = Process::start(&[]).await;
    let over = vec![b' '; LIMIT + 1];
    let chunks = |bytes| post("transfer-encoding: chunked", &chunked(&over, bytes));
    for (what, request) in [
        ("told and sent", post(&format!("content-length: {}", over.len()), &over)),
        ("told and not sent", post(&format!("content-length: {}", over.len()), b"")),
        ("told and hardly begun", post("content-length: 18446744073709551613", b"{")),
        ("told, and asked whether to send it", post("expect: 100-continue\r\ncontent-length: 100000000", b"")),
        ("in chunks", chunks(64 * 1024)),
        ("in one chunk", chunks(LIMIT + 1)),
    ] {
        only(what, exchange(process.address, &request).await, 413);
    }
    process.ends_unharmed(ROOM).await;
}

#[tokio::test]
async fn a_body_in_tiny_chunks_takes_no_more_than_its_size() {
    let process = Process::start(&[]).await;
    // Each byte takes six on the wire, and would take forty if each chunk was kept by itself.
    let request = post("transfer-encoding: chunked", &chunked(&vec![b' '; 512 * 1024], 1));
    only("chunks of a byte", exchange(process.address, &request).await, 400);
    process.ends_unharmed(12 * MIB).await;
}

#[tokio::test]
async fn a_body_that_is_not_what_its_head_says_is_refused() {
    let process = Process::start(&[]).await;
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00";
    for (headers, body, status) in [
        ("content-encoding: gzip\r\ncontent-length: 22", &gzip[..], 415),
        ("content-encoding: gzip\r\ncontent-length: 2", b"{}", 415),
        ("content-encoding: br, identity\r\ncontent-length: 2", b"{}", 415),
        ("content-encoding: identity\r\ncontent-length: 2", b"{}", 422),
        // Packed, and not said to be.
        ("content-length: 22", gzip, 400),
        ("content-length: 1", b"{}", 400),
        ("content-length: 0", b"{}", 400),
        ("transfer-encoding: chunked", b"5\r\n{}\r\n0\r\n\r\n", 400),
        ("transfer-encoding: chunked", b"zz\r\n{}\r\n0\r\n\r\n", 400),
        ("transfer-encoding: chunked", b"-2\r\n{}\r\n0\r\n\r\n", 400),
        ("transfer-encoding: chunked", b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n", 400),
        ("transfer-encoding: chunked", b"2\n{}\n0\n\n", 400),
    ] {
        let what = format!("{headers}: {}", String::from_utf8_lossy(body));
        let answers = exchange(process.address, &post(headers, body)).await;
        let first = WireReply::all(answers).remove(0);
        assert_eq!(first.status, status, "{what}");
        wild::refused(&what, &first);
    }
    for (what, chunks) in [
        ("an extension of a megabyte", [b"2;".as_slice(), &vec![b'a'; 1_000_000], b"\r\n{}\r\n0\r\n\r\n"].concat()),
        ("20,000 trailers", [b"2\r\n{}\r\n0\r\n".as_slice(), &b"x-t: a\r\n".repeat(20_000), b"\r\n"].concat()),
        (
            "a trailer of a megabyte",
            [b"2\r\n{}\r\n0\r\nx-t: ".as_slice(), &vec![b'a'; 1_000_000], b"\r\n\r\n"].concat(),
        ),
    ] {
        only(what, exchange(process.address, &post("transfer-encoding: chunked", &chunks)).await, 400);
    }
    process.ends_unharmed(ROOM).await;
}
