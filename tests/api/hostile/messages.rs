//! Messages that are no HTTP, nearly HTTP, or HTTP that two readers could take for two things.

use super::{MIB, Process};
use crate::bad_input::wild;
use crate::support::{Token, WireReply, exchange};

/// What may come of a message.
enum Outcome {
    /// One refusal, or the connection closed without a word; then nothing more on it.
    Refused,
    /// These statuses, in this order, and then the connection is closed.
    Answered(&'static [u16]),
}

use Outcome::{Answered, Refused};

/// A request without a body, its first line and further headers as they are given.
fn get(line: &str, headers: &str) -> Vec<u8> {
    head(line, &format!("host: gateway.test\r\nconnection: close\r\n{headers}"), b"")
}

/// A POST of two bytes, on a connection that may go on.
fn post(headers: &str, rest: &[u8]) -> Vec<u8> {
    head(
        "POST /v1/remarks HTTP/1.1",
        &format!("host: gateway.test\r\ncontent-type: application/json\r\n{headers}"),
        rest,
    )
}

fn head(line: &str, headers: &str, rest: &[u8]) -> Vec<u8> {
    let bearer = Token::default().bearer();
    [format!("{line}\r\nauthorization: {bearer}\r\n{headers}\r\n").as_bytes(), rest].concat()
}

/// A request hidden behind another one's body.
fn hidden() -> Vec<u8> {
    get("GET /v1/errors HTTP/1.1", "")
}

fn lines() -> Vec<(&'static str, Vec<u8>, Outcome)> {
    let long = |bytes: usize| "a".repeat(bytes);
    vec![
        ("HTTP/1.0", get("GET /v1/me HTTP/1.0", ""), Answered(&[200])),
        ("HTTP/0.9", b"GET /v1/me\r\n\r\n".to_vec(), Refused),
        ("HTTP/1.2", get("GET /v1/me HTTP/1.2", ""), Refused),
        ("HTTP/2 by a line", get("GET /v1/me HTTP/2.0", ""), Refused),
        ("HTTP/2 by knowledge", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0".to_vec(), Refused),
        ("another protocol", get("GET /v1/me ICY/1.1", ""), Refused),
        ("its name in small letters", get("GET /v1/me http/1.1", ""), Refused),
        ("TLS", [b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03".as_slice(), &[0; 160]].concat(), Refused),
        ("nothing but zeros", vec![0; 100_000], Refused),
        ("nothing but line breaks", b"\r\n".repeat(100_000), Refused),
        ("nothing but letters", vec![b'A'; 1_000_000], Refused),
        ("an absolute target", get("GET http://elsewhere.example/v1/me HTTP/1.1", ""), Answered(&[200])),
        ("an absolute target of another kind", get("GET ftp://elsewhere.example/v1/nope HTTP/1.1", ""), Refused),
        ("an authority", get("GET elsewhere.example:443 HTTP/1.1", ""), Refused),
        ("CONNECT", get("CONNECT elsewhere.example:443 HTTP/1.1", ""), Refused),
        ("CONNECT to a path", get("CONNECT /v1/me HTTP/1.1", ""), Answered(&[405])),
        ("OPTIONS of all", get("OPTIONS * HTTP/1.1", ""), Refused),
        ("TRACE", get("TRACE /v1/me HTTP/1.1", ""), Answered(&[405])),
        ("no target", get("GET  HTTP/1.1", ""), Refused),
        ("two targets", get("GET /v1/me /v1/errors HTTP/1.1", ""), Refused),
        ("tabs for blanks", get("GET\t/v1/me\tHTTP/1.1", ""), Refused),
        ("a long method", get(&format!("{} /v1/me HTTP/1.1", long(60_000)), ""), Answered(&[405])),
        ("a path of 60,000 bytes", get(&format!("GET /{} HTTP/1.1", long(60_000)), ""), Answered(&[404])),
        ("a path of 64 KiB", get(&format!("GET /{} HTTP/1.1", long(65_536)), ""), Refused),
        ("a query of 64 KiB", get(&format!("GET /v1/me?{} HTTP/1.1", long(65_536)), ""), Refused),
        ("an upgrade", get("GET /v1/me HTTP/1.1", "connection: upgrade\r\nupgrade: websocket\r\n"), Answered(&[200])),
        (
            "an upgrade to HTTP/2",
            get(
                "GET /v1/me HTTP/1.1",
                "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAM\r\n",
            ),
            Answered(&[200]),
        ),
        (
            "four in one go",
            [head("GET /v1/errors HTTP/1.1", "host: x\r\n", b"").repeat(3), get("GET /v1/me HTTP/1.1", "")].concat(),
            Answered(&[200, 200, 200, 200]),
        ),
        (
            "a bad one in a row",
            [head("GET /v1/errors HTTP/1.1", "host: x\r\n", b""), b"\0\r\n\r\n".to_vec(), hidden()].concat(),
            Answered(&[200, 400]),
        ),
    ]
}

fn headers() -> Vec<(&'static str, Vec<u8>, Outcome)> {
    let me = |headers: &str| get("GET /v1/me HTTP/1.1", headers);
    let hosts = |headers: &str| head("GET /v1/me HTTP/1.1", &format!("{headers}connection: close\r\n"), b"");
    let raw = |header: &[u8]| {
        let request = me("x-here: 1\r\n");
        let at = request.windows(9).position(|bytes| bytes == b"x-here: 1").unwrap();
        [&request[..at], header, &request[at + 9..]].concat()
    };
    vec![
        ("no host", hosts(""), Answered(&[400])),
        ("no host in HTTP/1.0", head("GET /v1/me HTTP/1.0", "", b""), Answered(&[200])),
        ("two hosts", hosts("host: a\r\nhost: a\r\n"), Answered(&[400])),
        ("an empty host", hosts("host:\r\n"), Answered(&[400])),
        ("a host with a user", hosts("host: user@gateway.test\r\n"), Answered(&[400])),
        ("a host that is a path", hosts("host: gateway.test/v1\r\n"), Answered(&[400])),
        ("a host with a blank", hosts("host: gateway test\r\n"), Answered(&[400])),
        ("a list of hosts", hosts("host: a, b\r\n"), Answered(&[400])),
        ("a host with a port", hosts("host: [2001:db8::1]:8080\r\n"), Answered(&[200])),
        ("a host of another's", hosts("host: elsewhere.example\r\n"), Answered(&[200])),
        ("a folded line", raw(b"x-a: b\r\n c"), Refused),
        ("a line that is folded from the start", raw(b" x-a: b"), Refused),
        ("a blank before the colon", raw(b"x-a : b"), Refused),
        ("no colon", raw(b"x-a"), Refused),
        ("no name", raw(b": b"), Refused),
        ("a lone carriage return", raw(b"x-a: b\rc: d"), Refused),
        ("a NUL in a value", raw(b"x-a: b\0c"), Refused),
        ("a NUL in a name", raw(b"x\0a: b"), Refused),
        ("a name of other letters", raw("x-ä: b".as_bytes()), Refused),
        ("a name with brackets", raw(b"x(a): b"), Refused),
        ("a value that is no text", raw(b"x-a: \xff\xfe"), Answered(&[200])),
        ("a token that is no text", raw(b"authorization: Bearer \xff"), Answered(&[401])),
        ("an id that is no text", raw(b"x-request-id: \xff"), Answered(&[200])),
        ("a megabyte of a header", raw(&[b"x-a: ".as_slice(), &vec![b'a'; 1_000_000]].concat()), Refused),
        ("a megabyte of a name", raw(&[vec![b'a'; 1_000_000].as_slice(), b": a"].concat()), Refused),
        ("101 headers", raw(b"x-a: b\r\n".repeat(101).trim_ascii_end()), Refused),
        ("10,000 headers", raw(b"x-a: b\r\n".repeat(10_000).trim_ascii_end()), Refused),
        ("a body that nobody asked for", [me("content-length: 5\r\n"), b"hello".to_vec()].concat(), Answered(&[200])),
    ]
}

/// Two readers who go by different headers see different ends of such a body, and so another request behind it. Ours sees
/// one end or none, and closes the connection; what is hidden is never answered.
fn bodies() -> Vec<(&'static str, Vec<u8>, Outcome)> {
    let smuggled = |headers: &str, body: &str| post(headers, &[body.as_bytes(), &hidden()].concat());
    let chunks = "2\r\n{}\r\n0\r\n\r\n";
    vec![
        ("two lengths", smuggled("content-length: 2\r\ncontent-length: 3\r\n", "{}"), Refused),
        ("a list of lengths", smuggled("content-length: 2, 2\r\n", "{}"), Refused),
        ("a length with a sign", smuggled("content-length: +2\r\n", "{}"), Refused),
        ("a length with a blank", smuggled("content-length: 2 2\r\n", "{}"), Refused),
        ("a length in hexadecimal", smuggled("content-length: 0x2\r\n", "{}"), Refused),
        ("a negative length", smuggled("content-length: -1\r\n", "{}"), Refused),
        ("a length beyond all numbers", smuggled("content-length: 99999999999999999999\r\n", "{}"), Refused),
        (
            "a length and chunks",
            smuggled("content-length: 4\r\ntransfer-encoding: chunked\r\n", chunks),
            Answered(&[422]),
        ),
        (
            "chunks and a length",
            smuggled("transfer-encoding: chunked\r\ncontent-length: 4\r\n", chunks),
            Answered(&[422]),
        ),
        ("chunks twice", smuggled("transfer-encoding: chunked, chunked\r\n", chunks), Answered(&[400])),
        (
            "chunks on two lines",
            smuggled("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", chunks),
            Answered(&[400]),
        ),
        ("gzip and chunks", smuggled("transfer-encoding: gzip, chunked\r\n", chunks), Answered(&[400])),
        ("chunks and identity", smuggled("transfer-encoding: chunked, identity\r\n", chunks), Refused),
        ("an encoding that ends like chunks", smuggled("transfer-encoding: xchunked\r\n", chunks), Refused),
        (
            "chunks after a tab",
            smuggled("transfer-encoding:\tchunked\r\ncontent-length: 2\r\n", chunks),
            Answered(&[422]),
        ),
        ("quoted chunks", smuggled("transfer-encoding: \"chunked\"\r\n", chunks), Refused),
        ("an empty encoding", smuggled("transfer-encoding:\r\ncontent-length: 2\r\n", "{}"), Refused),
        (
            "chunks in HTTP/1.0",
            head(
                "POST /v1/remarks HTTP/1.0",
                "content-type: application/json\r\ntransfer-encoding: chunked\r\n",
                chunks.as_bytes(),
            ),
            Refused,
        ),
        // These have one meaning: the second request is one, and is answered as one.
        ("the same length twice", smuggled("content-length: 2\r\ncontent-length: 2\r\n", "{}"), Answered(&[422, 200])),
        ("chunks", smuggled("transfer-encoding: Chunked\r\n", chunks), Answered(&[422, 200])),
        (
            "a trailer that would be a token",
            head(
                "POST /v1/remarks HTTP/1.1",
                "authorization:\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n",
                format!("2\r\n{{}}\r\n0\r\nauthorization: {}\r\n\r\n", Token::default().bearer()).as_bytes(),
            ),
            Answered(&[401]),
        ),
        (
            "asked whether to send it",
            post("connection: close\r\nexpect: 100-continue\r\ncontent-length: 2\r\n", b"{}"),
            Answered(&[100, 422]),
        ),
        (
            "an expectation of another kind",
            post("connection: close\r\nexpect: cake\r\ncontent-length: 2\r\n", b"{}"),
            Answered(&[422]),
        ),
        (
            "asked without a token",
            b"POST /v1/remarks HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\n\
          content-type: application/json\r\ncontent-length: 2\r\n\r\n"
                .to_vec(),
            Answered(&[401]),
        ),
    ]
}

#[tokio::test]
async fn a_message_with_two_meanings_is_refused_and_one_with_a_meaning_read_and_neither_is_answered_twice() {
    let process = Process::start(&[]).await;
    for (what, message, outcome) in [lines(), headers(), bodies()].into_iter().flatten() {
        let replies = WireReply::all(exchange(process.address, &message).await);
        let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
        match outcome {
            Answered(expected) => assert_eq!(statuses, expected, "{what}"),
            Refused => assert!(
                statuses.len() <= 1 && statuses.iter().all(|status| (400..500).contains(status)),
                "{what}: {statuses:?}"
            ),
        }
        for reply in replies.iter().filter(|reply| reply.status >= 400) {
            wild::refused(what, reply);
        }
    }
    process.ends_unharmed(24 * MIB).await;
}
