//! Bodies of requests.

use reqwest::Method;
use scrm_gateway::sandbox::Endpoint;
use serde_json::{Value, json};

use crate::support::{Gateway, Reply, WireRequest};

use super::{MOST_OF_A_SHARE, bearer, exhausted, options, stalled};

/// A batch of one item whose body has this length.
fn body(length: usize) -> Vec<u8> {
    let mut body = br#"{"items": [{"staff_id": "rocky", "union_id": "o-one", "remark": "x"}]}"#.to_vec();
    body.resize(length, b' ');
    body
}

async fn post(gateway: &Gateway, subject: &str, length: usize) -> Reply {
    let headers = [("authorization", &*bearer(subject)), ("content-type", "application/json")];
    gateway.send(Method::POST, "/v1/remarks?source=juzibot", &headers, Some(body(length))).await
}

#[tokio::test]
async fn caller_that_holds_its_share_is_refused_and_others_are_served() {
    let gateway = Gateway::with(options()).await;
    let held = stalled(&gateway.url, "greedy", MOST_OF_A_SHARE).await;
    let refused = post(&gateway, "greedy", 2_000_000).await;
    let problem = refused.problem(429, "rate_limited");
    assert_eq!(problem["detail"], "the caller's other requests use its share of the gateway's memory");
    assert_eq!(refused.header("retry-after"), "1");
    post(&gateway, "other", 2_000_000).await.ok();
    // Small requests of the same caller are served.
    let headers = [("authorization", &*bearer("greedy"))];
    gateway.get_with("/v1/customers?source=juzibot&limit=2", &headers).await.ok();
    // The caller leaves, and its share is free.
    drop(held);
    post(&gateway, "greedy", 2_000_000).await.ok();
    gateway.stop().await;
}

#[tokio::test]
async fn body_is_refused_unread_when_memory_is_exhausted() {
    let gateway = Gateway::with(options()).await;
    let held = exhausted(&gateway.url).await;
    // The body is announced and not sent: the answer comes without it.
    let mut request = WireRequest::post("/v1/remarks?source=juzibot", "");
    request.body = None;
    let reply = request.with("content-length", "1000000").send(&gateway).await.unwrap();
    assert_eq!((reply.status, &reply.problem()["code"]), (503, &"overloaded".into()));
    assert!(reply.head.contains("\r\nretry-after: 1"), "{}", reply.head);
    drop(held);
    post(&gateway, "tester", 2_000_000).await.ok();
    gateway.stop().await;
}

#[tokio::test]
async fn batch_without_memory_for_the_answer_sends_nothing() {
    let gateway = Gateway::with(options()).await;
    let held = exhausted(&gateway.url).await;
    let rest = stalled(&gateway.url, "filler-5", 200_000).await;
    post(&gateway, "tester", 100).await.problem(503, "overloaded");
    assert_eq!(gateway.calls_to(Endpoint::JuzibotSetRemark), 0);
    drop((held, rest));
    post(&gateway, "tester", 100).await.ok();
    assert_eq!(gateway.calls_to(Endpoint::JuzibotSetRemark), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn body_larger_than_a_share_is_too_large() {
    let gateway = Gateway::with(options()).await;
    let problem = post(&gateway, "tester", 7_000_000).await.problem(413, "payload_too_large");
    assert_eq!(problem["detail"], "the body needs more memory than the gateway has for one caller");
    gateway.stop().await;
}

/// 1,000 notes, with contents of this length.
fn notes(content: usize) -> Value {
    let note = |n: usize| json!({"staff_id": "rocky", "union_id": format!("o-{n}"), "content": "x".repeat(content)});
    json!({"items": (0..1_000).map(note).collect::<Vec<_>>()})
}

#[tokio::test]
async fn batch_that_can_never_fit_is_too_large() {
    let gateway = Gateway::with(options()).await;
    // Its body alone would fit.
    let batch = notes(6_900);
    let problem = gateway.post("/v1/follow-ups?source=juzibot", &batch).await.problem(413, "payload_too_large");
    assert_eq!(problem["retryable"], false);
    assert_eq!(gateway.calls_to(Endpoint::JuzibotAddFollow), 0);
    let batch = gateway.post("/v1/follow-ups?source=juzibot", &notes(6_560)).await.ok();
    assert_eq!(batch["data"]["results"].as_array().unwrap().len(), 1_000);
    gateway.stop().await;
}

#[tokio::test]
async fn chunked_body_is_reserved_as_it_grows() {
    let gateway = Gateway::with(options()).await;
    let held = stalled(&gateway.url, "tester", 6_000_000).await;
    let chunked = |length| {
        let mut request = WireRequest::post("/v1/remarks?source=juzibot", "");
        let body = body(length);
        request.body = None;
        let chunks = [format!("{length:x}\r\n").as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        (request.with("transfer-encoding", "chunked"), chunks)
    };
    let (request, chunks) = chunked(1_000);
    assert_eq!(request.send_with(&gateway, &chunks).await.unwrap().status, 200);
    let (request, chunks) = chunked(2_500_000);
    let reply = request.send_with(&gateway, &chunks).await.unwrap();
    assert_eq!((reply.status, &reply.problem()["code"]), (429, &"rate_limited".into()));
    drop(held);
    gateway.stop().await;
}
