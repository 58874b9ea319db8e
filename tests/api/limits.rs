//! Contract §5, §7: quotas and limits.

use std::time::Duration;

use futures_util::future::join_all;
use scrm_gateway::sandbox::Endpoint;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{Gateway, GatewayOptions, Reply, Token, WireRequest, unread_answer};

const PATH: &str = "/v1/customers?source=juzibot&limit=1";
/// One token in a minute: none comes back while a test runs.
const SLOW: &str = "{ requests = 3, window = \"3m\", burst = 3 }";
/// An answer that no buffer holds.
const WIDE_PAGE: &str = "/v1/customers?source=juzibot&limit=1000";
const PLENTY: &str = "{ requests = 6000000, window = \"1m\", burst = 1000000 }";

async fn limited(default: &str, per_address: &str, extra: &str) -> Gateway {
    Gateway::with(GatewayOptions {
        rate_limit: format!("default = {default}\nper_address = {per_address}"),
        extra: extra.to_owned(),
        ..GatewayOptions::default()
    })
    .await
}

fn bearer(subject: &str) -> String {
    Token::with(&json!({"sub": subject})).bearer()
}

async fn as_caller(gateway: &Gateway, subject: &str) -> Reply {
    as_caller_to(gateway, subject, PATH).await
}

async fn as_caller_to(gateway: &Gateway, subject: &str, path: &str) -> Reply {
    gateway.get_with(path, &[("authorization", &bearer(subject))]).await
}

fn retry_after(reply: &Reply) -> u64 {
    reply.header("retry-after").parse().unwrap()
}

#[tokio::test]
async fn a_caller_spends_its_burst_and_is_told_what_is_left_and_when_to_come_back() {
    let gateway = limited(SLOW, PLENTY, "").await;
    for left in [2, 1, 0] {
        let reply = as_caller(&gateway, "a").await;
        reply.ok();
        // The burst, and the seconds in which all of it comes back.
        assert_eq!(reply.header("ratelimit-policy"), "\"caller\";q=3;w=180");
        let seconds = 60 * (3 - left);
        assert_eq!(reply.header("ratelimit"), format!("\"caller\";r={left};t={seconds}"));
        assert!(reply.headers.get("retry-after").is_none());
    }
    let refused = as_caller(&gateway, "a").await;
    let problem = refused.problem(429, "rate_limited");
    assert_eq!(problem["retryable"], true);
    assert_eq!(problem["source"], json!(null), "it is the gateway's limit");
    assert!((50..=60).contains(&retry_after(&refused)), "{}", retry_after(&refused));
    assert_eq!(refused.header("ratelimit-policy"), "\"caller\";q=3;w=180");
    assert_eq!(refused.header("ratelimit"), "\"caller\";r=0;t=180");
    assert_eq!(gateway.calls_to(Endpoint::JuzibotList), 3, "the source is not asked");
    gateway.stop().await;
}

#[tokio::test]
async fn a_wait_of_less_than_a_second_is_told_as_one() {
    let gateway = limited("{ requests = 2, window = \"1s\", burst = 1 }", PLENTY, "").await;
    let mut refused = as_caller(&gateway, "a").await;
    // Half a second gives one back; a machine under load may take longer than that between two requests.
    for _ in 0..50 {
        if refused.status == 429 {
            break;
        }
        refused = as_caller(&gateway, "a").await;
    }
    refused.problem(429, "rate_limited");
    assert_eq!(retry_after(&refused), 1);
    assert_eq!(refused.header("ratelimit-policy"), "\"caller\";q=1;w=1");
    gateway.stop().await;
}

#[tokio::test]
async fn the_defaults_are_as_documented() {
    let gateway = Gateway::with(GatewayOptions { rate_limit: String::new(), ..GatewayOptions::default() }).await;
    let reply = as_caller(&gateway, "a").await;
    assert_eq!(reply.header("ratelimit-policy"), "\"caller\";q=100;w=10");
    assert_eq!(reply.header("ratelimit"), "\"caller\";r=99;t=1");
    gateway.stop().await;
}

#[tokio::test]
async fn callers_do_not_share_a_quota_and_tokens_of_one_caller_do() {
    let gateway = limited(SLOW, PLENTY, "").await;
    for _ in 0..3 {
        as_caller(&gateway, "a").await.ok();
    }
    as_caller(&gateway, "a").await.problem(429, "rate_limited");
    as_caller(&gateway, "b").await.ok();
    let another_token = Token::with(&json!({"sub": "a", "jti": "2", "scope": "customers:read"})).bearer();
    let reply = gateway.get_with(PATH, &[("authorization", &another_token)]).await;
    reply.problem(429, "rate_limited");
    gateway.stop().await;
}

#[tokio::test]
async fn a_callers_entry_stands_over_the_default() {
    let entry = "[callers.big]\nissuer = \"test\"\nsubject = \"big\"\nquota = { requests = 10, window = \"10s\", burst = 7 }\n\
                 [callers.plain]\nissuer = \"test\"\nsubject = \"plain\"\nsources = [\"juzibot\"]\n";
    let gateway = limited(SLOW, PLENTY, entry).await;
    let reply = as_caller(&gateway, "big").await;
    assert_eq!(reply.header("ratelimit-policy"), "\"caller\";q=7;w=7");
    assert_eq!(reply.header("ratelimit"), "\"caller\";r=6;t=1");
    for subject in ["plain", "other"] {
        let reply = as_caller(&gateway, subject).await;
        assert_eq!(reply.header("ratelimit-policy"), "\"caller\";q=3;w=180", "{subject}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn every_answer_to_a_caller_tells_its_quota() {
    let gateway = limited(SLOW, PLENTY, "").await;
    let reader = Token::with(&json!({"sub": "reader", "scope": "customers:read"})).bearer();
    let headers = [("authorization", reader.as_str())];
    let bad = gateway.get_with("/v1/customers?limit=0", &headers).await;
    bad.problem(400, "invalid_request");
    assert_eq!(bad.header("ratelimit"), "\"caller\";r=2;t=60");
    let forbidden = gateway.get_with("/v1/customers?include=raw", &headers).await;
    forbidden.problem(403, "forbidden");
    assert_eq!(forbidden.header("ratelimit"), "\"caller\";r=1;t=120");
    gateway.stop().await;
}

#[tokio::test]
async fn an_address_is_limited_before_anybody_asks_for_its_token() {
    let gateway = limited(PLENTY, SLOW, "").await;
    for _ in 0..3 {
        gateway.get_with(PATH, &[("authorization", "")]).await.problem(401, "unauthenticated");
    }
    for authorization in ["", "Bearer nonsense"] {
        let reply = gateway.get_with(PATH, &[("authorization", authorization)]).await;
        reply.problem(429, "rate_limited");
        assert!((1..=61).contains(&retry_after(&reply)), "{}", retry_after(&reply));
        assert!(reply.headers.get("ratelimit").is_none(), "it is no caller's quota");
        assert!(reply.headers.get("www-authenticate").is_none());
    }
    // Nor does a good token, or another claimed address, get round it.
    gateway.get(PATH).await.problem(429, "rate_limited");
    let forwarded = gateway.get_with(PATH, &[("x-forwarded-for", "198.51.100.7")]).await;
    forwarded.problem(429, "rate_limited");
    gateway.stop().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_address_it_names_is_limited() {
    let gateway = Gateway::with(GatewayOptions {
        server: "trusted_proxies = [\"127.0.0.0/8\"]".to_owned(),
        rate_limit: format!("default = {PLENTY}\nper_address = {SLOW}"),
        ..GatewayOptions::default()
    })
    .await;
    let from = async |forwarded: &str| gateway.get_with(PATH, &[("x-forwarded-for", forwarded)]).await;
    for n in 0..3 {
        // What stands to the left of the proxy's own word is the client's invention.
        from(&format!("203.0.113.{n}, 198.51.100.7")).await.ok();
    }
    from("198.51.100.7").await.problem(429, "rate_limited");
    from("198.51.100.8").await.ok();
    gateway.stop().await;
}

/// A gateway whose source does not answer lists.
async fn hanging(max_in_flight: usize) -> Gateway {
    let server = format!("max_in_flight = {max_in_flight}");
    let gateway = Gateway::with(GatewayOptions { server, ..GatewayOptions::default() }).await;
    gateway.fault(Rule::new(Endpoint::JuzibotList, Effect::NeverAnswer { applied: false })).await;
    gateway
}

#[tokio::test]
async fn requests_above_max_in_flight_are_shed_after_authentication() {
    let gateway = hanging(1).await;
    let holder = bearer("holder");
    let headers = [("prefer", "wait=2"), ("authorization", holder.as_str())];
    let mut held = Box::pin(gateway.get_with(PATH, &headers));
    tokio::select! {
        reply = &mut held => panic!("answered at once: {reply:?}"),
        () = gateway.asked(Endpoint::JuzibotList, 1) => {}
    }
    let shed = gateway.get("/v1/customers/x").await;
    let problem = shed.problem(503, "overloaded");
    assert_eq!(problem["retryable"], true);
    assert_eq!(retry_after(&shed), 1);
    gateway.get_with("/v1/customers/x", &[("authorization", "")]).await.problem(401, "unauthenticated");
    gateway.get_with("/v1/errors", &[("authorization", "")]).await.ok();
    held.as_mut().await.problem(504, "source_timeout");
    drop(held);
    gateway.sandbox.state().clear_faults().await;
    gateway.get(PATH).await.ok();
    gateway.stop().await;
}

#[tokio::test]
async fn caller_holds_a_quarter_of_max_in_flight() {
    let gateway = hanging(8).await;
    let greedy = bearer("greedy");
    let headers = [("authorization", greedy.as_str()), ("prefer", "wait=3")];
    let mut held = Box::pin(join_all((0..2).map(|_| gateway.get_with(PATH, &headers))));
    tokio::select! {
        replies = &mut held => panic!("answered at once: {replies:?}"),
        () = gateway.asked(Endpoint::JuzibotList, 2) => {}
    }
    let refused = gateway.get_with("/v1/me", &headers).await;
    assert_eq!(refused.problem(429, "rate_limited")["detail"], "the caller has too many requests in flight");
    assert_eq!(retry_after(&refused), 1);
    assert!(refused.headers.contains_key("ratelimit"));
    // Before its body is read: none of it is sent.
    let mut write = WireRequest::post("/v1/remarks", "").with("content-length", "100000");
    write.body = None;
    write.authorization = Some(greedy.clone());
    let reply = write.send(&gateway).await.unwrap();
    assert_eq!((reply.status, &reply.problem()["code"]), (429, &json!("rate_limited")));
    assert!(reply.head.contains("\r\nconnection: close"), "{}", reply.head);
    as_caller_to(&gateway, "other", "/v1/me").await.ok();
    for reply in held.as_mut().await {
        reply.problem(504, "source_timeout");
    }
    drop(held);
    gateway.get_with("/v1/me", &headers).await.ok();
    gateway.stop().await;
}

#[tokio::test]
async fn caller_share_is_held_until_answers_and_streams_are_read() {
    let options = GatewayOptions { server: "max_in_flight = 8".to_owned(), ..GatewayOptions::default() };
    let gateway = Gateway::with(options).await;
    let page = WireRequest::get(WIDE_PAGE);
    let stream = WireRequest::get("/v1/customers?source=juzibot").with("accept", "application/x-ndjson");
    for (subject, mut request) in [("reader", page), ("exporter", stream)] {
        request.authorization = Some(bearer(subject));
        let unread = [request.send_unread(&gateway.url).await, request.send_unread(&gateway.url).await];
        as_caller_to(&gateway, subject, "/v1/me").await.problem(429, "rate_limited");
        as_caller_to(&gateway, "other", "/v1/me").await.ok();
        drop(unread);
        served_again(&gateway, subject).await;
    }
    gateway.stop().await;
}

/// Waits until a caller is no longer refused.
async fn served_again(gateway: &Gateway, subject: &str) {
    let freed = async { while as_caller_to(gateway, subject, "/v1/me").await.status == 429 {} };
    tokio::time::timeout(Duration::from_secs(20), freed).await.expect("freed when the reader leaves");
}

#[tokio::test]
async fn unread_validation_errors_hold_a_permit() {
    let options = GatewayOptions { server: "max_in_flight = 4".to_owned(), ..GatewayOptions::default() };
    let gateway = Gateway::with(options).await;
    let keys: Vec<_> = (0..5_000).map(|key| format!("\"{}{key:04}\":0", "k".repeat(46))).collect();
    let mut batch = WireRequest::post("/v1/remarks?source=juzibot", format!("{{{}}}", keys.join(",")));
    batch.authorization = Some(bearer("slow"));
    let unread = batch.send_unread(&gateway.url).await;
    as_caller_to(&gateway, "slow", "/v1/me").await.problem(429, "rate_limited");
    as_caller_to(&gateway, "other", "/v1/me").await.ok();
    drop(unread);
    served_again(&gateway, "slow").await;
    gateway.stop().await;
}

#[tokio::test]
async fn reader_that_takes_too_long_is_disconnected() {
    // One caller has one of them.
    let server = "max_in_flight = 4\nresponse_timeout = \"1s\"".to_owned();
    let gateway = Gateway::with(GatewayOptions { server, ..GatewayOptions::default() }).await;
    let mut unread = unread_answer(&gateway, WIDE_PAGE, &bearer("slow")).await;
    served_again(&gateway, "slow").await;
    // What is left of the answer is not sent.
    let mut rest = Vec::new();
    let _reset = unread.read_to_end(&mut rest).await;
    let whole = as_caller_to(&gateway, "other", WIDE_PAGE).await;
    assert!(rest.len() < whole.body.len(), "{} bytes", rest.len());
    gateway.stop().await;
}

#[tokio::test]
async fn connections_of_one_address_are_limited() {
    let server = "max_connections_per_address = 2".to_owned();
    let gateway = Gateway::with(GatewayOptions { server, ..GatewayOptions::default() }).await;
    let address = gateway.url.trim_start_matches("http://").to_owned();
    let answered = async || {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let sent = stream.write_all(b"GET /v1/errors HTTP/1.1\r\nhost: gateway.test\r\n\r\n").await;
        let mut start = [0; 12];
        let read = stream.read_exact(&mut start).await;
        (sent.is_ok() && read.is_ok() && start == *b"HTTP/1.1 200").then_some(stream)
    };
    let [first, second] = [answered().await.unwrap(), answered().await.unwrap()];
    assert!(answered().await.is_none(), "the third is closed without an answer");
    drop(first);
    let freed = async { while answered().await.is_none() {} };
    tokio::time::timeout(Duration::from_secs(20), freed).await.expect("one may follow one that has ended");
    drop(second);
    gateway.stop().await;
}

#[tokio::test]
async fn strangers_that_read_slowly_hold_no_permit_of_callers() {
    let options = GatewayOptions { server: "max_in_flight = 1".to_owned(), ..GatewayOptions::default() };
    let gateway = Gateway::with(options).await;
    let mut readers = Vec::new();
    for _ in 0..80 {
        readers.push(unread_answer(&gateway, "/docs/swagger-ui-bundle.js", "").await);
    }
    gateway.get("/v1/me").await.ok();
    gateway.get_with("/v1/me", &[("authorization", "")]).await.problem(401, "unauthenticated");
    // Nor do they take the documentation from others.
    for path in ["/v1/errors", "/openapi.json", "/docs/", "/docs/swagger-ui-bundle.js"] {
        let reply = gateway.get_with(path, &[("authorization", "")]).await;
        assert_eq!(reply.status, 200, "{path}");
    }
    drop(readers);
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let gateway =
        Gateway::with(GatewayOptions { server: "body_limit = \"1KiB\"".to_owned(), ..GatewayOptions::default() }).await;
    let body_of = |bytes: usize| {
        let body = json!({"items": [{"staff_id": "s", "union_id": "o", "content": ""}]}).to_string();
        body.replace("\"content\":\"\"", &format!("\"content\":\"{}\"", "x".repeat(bytes - body.len())))
    };
    for path in ["/v1/remarks", "/v1/follow-ups"] {
        let ask = async |bytes: usize| {
            let headers = [("content-type", "application/json")];
            let body = body_of(bytes);
            assert_eq!(body.len(), bytes);
            gateway.send(reqwest::Method::POST, path, &headers, Some(body.into_bytes())).await
        };
        ask(1_025).await.problem(413, "payload_too_large");
        ask(20_000).await.problem(413, "payload_too_large");
        assert_ne!(ask(1_024).await.status, 413);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_caller_that_prefers_not_to_wait_is_answered_in_time() {
    let gateway = Gateway::start().await;
    for endpoint in [Endpoint::JuzibotList, Endpoint::JuzibotDetail, Endpoint::TanmaDetails] {
        let wait = Effect::NeverAnswer { applied: false };
        gateway.fault(Rule::new(endpoint, wait)).await;
    }
    let paths = [PATH, "/v1/customers/x", "/v1/customers/x?include=raw"];
    let preferences = [("wait=1", 1), ("respond-async, wait=1", 1), ("wait=0", 0)];
    let asked = paths.iter().flat_map(|path| preferences.map(|preference| (path, preference)));
    let gateway = &gateway;
    let answered = asked.map(async |(path, (prefer, least))| {
        let started = Instant::now();
        let reply = gateway.get_with(path, &[("prefer", prefer)]).await;
        let took = started.elapsed();
        let problem = reply.problem(504, "source_timeout");
        assert_eq!(problem["retryable"], true);
        // The sources' own timeout is 3 s.
        let bounds = Duration::from_secs(least)..Duration::from_millis(least * 1_000 + 1_500);
        assert!(bounds.contains(&took), "{path} {prefer}: {took:?}");
    });
    futures_util::future::join_all(answered).await;
}

#[tokio::test]
async fn a_preference_does_not_lengthen_the_servers_own_time() {
    let gateway =
        Gateway::with(GatewayOptions { server: "request_timeout = \"500ms\"".to_owned(), ..GatewayOptions::default() })
            .await;
    let wait = Effect::NeverAnswer { applied: false };
    gateway.fault(Rule::new(Endpoint::JuzibotList, wait)).await;
    for prefer in ["wait=2", "wait=86400", "wait=soon", "wait=-1", ";;;"] {
        let started = Instant::now();
        let reply = gateway.get_with(PATH, &[("prefer", prefer)]).await;
        reply.problem(504, "source_timeout");
        assert!(started.elapsed() < Duration::from_millis(1_900), "{prefer}: {:?}", started.elapsed());
    }
    gateway.stop().await;
}
