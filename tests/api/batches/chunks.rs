//! Sizes of the calls that a batch is sent in, and what they cost.

use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::support::{Gateway, GatewayOptions, Reply};

const MEBIBYTE: usize = 1 << 20;

/// A gateway with a quota of 100 requests an hour, before a source that takes all that it is sent.
async fn gateway() -> (Gateway, MockServer) {
    let source = MockServer::start().await;
    let taken = ResponseTemplate::new(200).set_body_json(json!({"errcode": 0, "errmsg": "ok", "fail_list": []}));
    Mock::given(any()).respond_with(taken).mount(&source).await;
    let options = GatewayOptions {
        juzibot_url: Some(source.uri()),
        rate_limit: "default = { requests = 100, window = \"1h\", burst = 100 }".to_owned(),
        ..GatewayOptions::default()
    };
    (Gateway::with(options).await, source)
}

fn note(union_id: &str, content: &str) -> Value {
    json!({"staff_id": "s", "union_id": union_id, "content": content, "occurred_at": "2026-11-22T13:00:00Z"})
}

/// The bodies of the calls that reached the source.
async fn bodies(source: &MockServer) -> Vec<Vec<u8>> {
    source.received_requests().await.unwrap().into_iter().map(|call| call.body).collect()
}

fn remaining(reply: &Reply) -> usize {
    let value = reply.header("ratelimit");
    value.split("r=").nth(1).and_then(|rest| rest.split(';').next()).unwrap().parse().unwrap()
}

#[tokio::test]
async fn calls_hold_at_most_one_mebibyte_and_cost_quota_each() {
    // As JSON, a character takes one byte, two (escaped) or three.
    for (character, count) in [("x", 700), ("\"", 350), ("字", 250)] {
        let (gateway, source) = gateway().await;
        let content = character.repeat(10_000);
        let items: Vec<Value> = (0..count).map(|n| note(&format!("o{n}"), &content)).collect();
        let reply = gateway.post("/v1/follow-ups", &json!({"items": items})).await;
        assert_eq!(reply.ok()["data"]["summary"]["succeeded"], count);
        let mut sizes: Vec<usize> = bodies(&source).await.iter().map(Vec::len).collect();
        sizes.sort_unstable();
        let all: usize = sizes.iter().sum();
        assert!(sizes.iter().all(|size| *size <= MEBIBYTE), "{character}: {sizes:?}");
        assert!(sizes.iter().skip(1).all(|size| *size > MEBIBYTE - 40_000), "calls are filled: {sizes:?}");
        assert_eq!(sizes.len(), all.div_ceil(MEBIBYTE), "{character}: {sizes:?}");
        assert_eq!(remaining(&reply), 100 - sizes.len(), "{character}: a request for each call");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn long_notes_about_one_customer_take_several_calls_and_none_is_lost() {
    let (gateway, source) = gateway().await;
    let content = |n: usize| format!("{n:03}{}", "字".repeat(9_997));
    let items: Vec<Value> = (0..100).map(|n| note("o", &content(n))).collect();
    let reply = gateway.post("/v1/follow-ups", &json!({"items": items})).await.ok();
    assert_eq!(reply["data"]["summary"]["succeeded"], 100);
    let mut sent = Vec::new();
    let bodies = bodies(&source).await;
    for body in &bodies {
        assert!(body.len() <= MEBIBYTE, "{}", body.len());
        let body: Value = serde_json::from_slice(body).unwrap();
        let [entry] = body["follow_list"].as_array().unwrap().as_slice() else { panic!("one entry a call: {body}") };
        let notes: Vec<String> =
            entry["text"].as_array().unwrap().iter().map(|note| note["content"].as_str().unwrap().to_owned()).collect();
        assert!(notes.is_sorted(), "the notes of a call are in order");
        sent.extend(notes);
    }
    sent.sort();
    assert_eq!((bodies.len(), sent), (3, (0..100).map(content).collect()));
    gateway.stop().await;
}
