//! Input that no schema thinks of. The answer is a refusal or the end of the connection, soon, and never a 5xx.

use super::nothing_was_written;
use crate::support::{Gateway, WireReply, WireRequest};

/// Where one request is bad in a way of its own.
pub fn targets() -> Vec<(&'static str, Vec<u8>)> {
    let parameters = (0..100_000).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&");
    let same = "limit=1&".repeat(100_000);
    vec![
        ("100,000 parameters", format!("/v1/customers?{parameters}").into_bytes()),
        ("a parameter 100,000 times", format!("/v1/customers?{same}").into_bytes()),
        ("8,000 parameters", format!("/v1/customers?{}", "a=1&".repeat(8_000)).into_bytes()),
        ("a huge number", format!("/v1/customers?source=juzibot&limit={}", "9".repeat(50_000)).into_bytes()),
        ("a long id", format!("/v1/customers/{}", "a".repeat(60_000)).into_bytes()),
        ("a longer id", format!("/v1/customers/{}", "a".repeat(1_000_000)).into_bytes()),
        ("many segments", format!("/v1/customers{}", "/a".repeat(30_000)).into_bytes()),
        ("a raw NUL", b"/v1/customers/a\0b".to_vec()),
        ("a raw control character", b"/v1/customers?source=\x01".to_vec()),
        ("a raw line break", b"/v1/customers?source=a\nb".to_vec()),
        ("raw bytes that are no UTF-8", b"/v1/customers?staff_id=\xff\xfe".to_vec()),
        ("raw UTF-8", "/v1/customers?source=juzibot&staff_id=张".as_bytes().to_vec()),
        ("half an encoding", b"/v1/customers?source=juzi%bot".to_vec()),
        ("an encoding of nothing", b"/v1/customers?source=juzibot&limit=%zz".to_vec()),
        ("an encoded slash", b"/v1/customers/..%2f..%2fetc%2fpasswd".to_vec()),
        ("a way up", b"/v1/customers/../../etc/passwd".to_vec()),
        ("a surrogate", b"/v1/customers/%ED%A0%80".to_vec()),
        ("an overlong encoding", b"/v1/customers/%C0%AF".to_vec()),
        ("an overlong encoding in the query", b"/v1/customers?source=juzibot&staff_id=%C0%AF".to_vec()),
        ("an encoded NUL", b"/v1/customers/a%00b".to_vec()),
        ("an encoded NUL in the query", b"/v1/customers?source=juzibot&staff_id=a%00b".to_vec()),
        ("encoded bytes that are no UTF-8", b"/v1/customers/%FF%FE".to_vec()),
        ("encoded bytes that are no UTF-8 in a name", b"/v1/customers?source=juzibot&%FF=1".to_vec()),
        ("a fragment", b"/v1/customers#source=juzibot".to_vec()),
        ("no slash", b"v1/customers".to_vec()),
        ("a star", b"*".to_vec()),
        ("another host", b"http://elsewhere.example/v1/nothing".to_vec()),
    ]
}

pub fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let item = |content: &str| {
        format!(r#"{{"items": [{{"staff_id": "s", "union_id": "o", "content": {content}}}]}}"#).into_bytes()
    };
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    vec![
        ("lists 100,000 deep", deep("[", "]").into_bytes()),
        ("objects 100,000 deep", deep("{\"items\":", "}").into_bytes()),
        ("depth in a field", item(&deep("[", "]"))),
        ("depth that never ends", "[".repeat(1_000_000).into_bytes()),
        ("a number too large", item("1e999999")),
        ("a number of 401 digits", item(&format!("1{}", "0".repeat(400)))),
        ("a number of 100,000 digits", item(&"9".repeat(100_000))),
        ("minus nothing", item("-")),
        ("not a number", item("NaN")),
        ("a NUL after the body", b"{\"items\": []}\0".to_vec()),
        ("a raw NUL in a text", item("\"a\0b\"")),
        ("an escaped NUL", item(r#""a\u0000b""#)),
        ("half a surrogate", item(r#""\ud800""#)),
        ("two lower halves", item(r#""\udc00\udc00""#)),
        ("UTF-16", "{\"items\": []}".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("a byte order mark", b"\xef\xbb\xbf{\"items\": []}".to_vec()),
        ("a million keys", format!("{{{}\"z\":1}}", "\"a\":1,".repeat(1_000_000)).into_bytes()),
        ("a key of a megabyte", format!("{{\"{}\": 1}}", "k".repeat(1_000_000)).into_bytes()),
        ("a key of control characters", br#"{"items": [], "\u0000\u001b[2J": 1}"#.to_vec()),
        ("10,000 bad items", format!("{{\"items\": [{}7]}}", "7,".repeat(9_999)).into_bytes()),
        ("1,000 bad items", format!("{{\"items\": [{}7]}}", "7,".repeat(999)).into_bytes()),
        ("a comment", b"{\"items\": [] /* none */}".to_vec()),
        ("nothing but blanks", b" ".repeat(100_000)),
    ]
}

pub fn headers() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let megabyte = vec![b'a'; 1_000_000];
    vec![
        ("a header of a megabyte", "x-filler", megabyte.clone()),
        ("an id of a megabyte", "x-request-id", megabyte.clone()),
        ("a key of a megabyte", "idempotency-key", megabyte.clone()),
        ("a token of a megabyte", "authorization", [b"Bearer ", megabyte.as_slice()].concat()),
        ("a raw NUL", "idempotency-key", b"0123\x004567".to_vec()),
        ("a raw control character", "prefer", b"wait=\x01".to_vec()),
        ("a lone line break", "prefer", b"wait=1\nx-injected: 1".to_vec()),
        ("a length that is none", "content-length", b"many".to_vec()),
        ("a negative length", "content-length", b"-1".to_vec()),
        ("another encoding", "transfer-encoding", b"gzip".to_vec()),
    ]
}

async fn check(gateway: &Gateway, what: &str, request: &WireRequest) {
    // Nothing said and the connection closed is an end too.
    let Some(reply) = request.send(gateway).await else { return };
    refused(what, &reply);
}

/// What may be answered to a request that is bad beyond its parts.
#[track_caller]
pub fn refused(what: &str, reply: &WireReply) {
    assert!((400..500).contains(&reply.status), "{what}: {} {}", reply.status, reply.body);
    assert!(reply.body.len() < 1_000_000, "{what}: an answer of {} bytes", reply.body.len());
    assert!(!reply.head.contains("x-injected"), "{what}");
    if !reply.body.is_empty() {
        let problem = reply.problem();
        assert!(!problem["detail"].as_str().unwrap().contains(char::is_control), "{what}: {problem}");
        assert!(problem["detail"].as_str().unwrap().len() < 2_000, "{what}");
    }
}

#[tokio::test]
async fn wild_targets_are_refused() {
    let gateway = Gateway::start().await;
    for (what, target) in targets() {
        check(&gateway, what, &WireRequest::get(target)).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn wild_bodies_are_refused_and_nothing_is_sent() {
    let gateway = Gateway::start().await;
    for (what, body) in bodies() {
        for path in ["/v1/remarks", "/v1/follow-ups"] {
            check(&gateway, &format!("{path}: {what}"), &WireRequest::post(path, body.clone())).await;
        }
    }
    nothing_was_written(&gateway);
    gateway.stop().await;
}

#[tokio::test]
async fn wild_headers_are_refused() {
    let gateway = Gateway::start().await;
    for (what, name, value) in headers() {
        // A body that is refused anyway: a header that is passed over must not look like one that is taken.
        check(&gateway, what, &WireRequest::post("/v1/remarks", "{}").with(name, value)).await;
    }
    let many: Vec<_> = (0..10_000).map(|_| ("x-filler", b"a".to_vec())).collect();
    let mut request = WireRequest::post("/v1/remarks", "{}");
    request.headers.extend(many);
    check(&gateway, "10,000 headers", &request).await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_service_serves_on_after_all_of_it() {
    let gateway = Gateway::start().await;
    let all = targets().into_iter().map(|(what, target)| (what, WireRequest::get(target)));
    futures_util::future::join_all(all.map(async |(what, request)| check(&gateway, what, &request).await)).await;
    gateway.get("/v1/me").await.ok();
    gateway.stop().await;
}
