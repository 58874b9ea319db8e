//! Contract §3.5: `Idempotency-Key`.

use reqwest::Method;
use scrm_gateway::sandbox::faults::{Effect, Rule, When};
use scrm_gateway::sandbox::{Endpoint, Source};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

use crate::support::{Gateway, GatewayOptions, Reply, Token};

const PATH: &str = "/v1/follow-ups?source=juzibot";

fn body(gateway: &Gateway, content: &str) -> Value {
    let union_id = gateway.sandbox.state().people().featured().union_id;
    json!({"items": [{"staff_id": "rocky", "union_id": union_id, "content": content}]})
}

async fn post(gateway: &Gateway, path: &str, key: &str, body: &Value) -> Reply {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    gateway.send(Method::POST, path, &headers, Some(body.to_string().into_bytes())).await
}

fn applied(gateway: &Gateway) -> usize {
    gateway.sandbox.state().applied_follow_ups().len()
}

#[tokio::test]
async fn the_same_request_under_the_same_key_is_run_once_and_answered_alike() {
    let gateway = Gateway::start().await;
    let note = body(&gateway, "once");
    let first = post(&gateway, PATH, "key-00000001", &note).await;
    let second = post(&gateway, PATH, "key-00000001", &note).await;
    assert_eq!(first.ok(), second.ok());
    assert_eq!(first.header("idempotent-replayed"), "");
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!(applied(&gateway), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn another_body_path_or_query_under_the_key_is_refused_and_another_caller_has_its_own() {
    let gateway = Gateway::start().await;
    let note = body(&gateway, "first");
    post(&gateway, PATH, "key-00000002", &note).await.ok();
    let other = body(&gateway, "other");
    post(&gateway, PATH, "key-00000002", &other).await.problem(422, "idempotency_key_reused");
    post(&gateway, "/v1/follow-ups", "key-00000002", &note).await.problem(422, "idempotency_key_reused");

    let token = Token::with(&json!({"sub": "somebody-else"})).bearer();
    let headers =
        [("content-type", "application/json"), ("idempotency-key", "key-00000002"), ("authorization", &token)];
    let reply = gateway.send(Method::POST, PATH, &headers, Some(other.to_string().into_bytes())).await;
    assert_eq!(reply.ok()["data"]["summary"]["succeeded"], 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_request_that_sent_nothing_leaves_its_key_free() {
    let gateway = Gateway::start().await;
    let state = gateway.sandbox.state();
    let note = body(&gateway, "later");
    state.set_faults(vec![Rule::new(Source::Juzibot, Effect::RefuseConnections)]).await.unwrap();
    post(&gateway, PATH, "key-00000003", &note).await.problem(503, "source_unavailable");
    state.clear_faults().await;
    assert_eq!(post(&gateway, PATH, "key-00000003", &note).await.ok()["data"]["summary"]["succeeded"], 1);
    assert_eq!(applied(&gateway), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn an_unconfirmed_write_is_replayed_not_sent_again() {
    let gateway = Gateway::start().await;
    let state = gateway.sandbox.state();
    let note = body(&gateway, "maybe");
    state.set_faults(vec![Rule::new(Source::Juzibot, Effect::Reset { applied: true })]).await.unwrap();
    let first = post(&gateway, PATH, "key-00000004", &note).await;
    assert_eq!(first.ok()["data"]["summary"]["unconfirmed"], 1);
    state.clear_faults().await;
    let second = post(&gateway, PATH, "key-00000004", &note).await;
    assert_eq!(second.ok(), first.ok());
    assert_eq!(applied(&gateway), 1);
    gateway.stop().await;
}

fn status(status: u16, body: &str) -> Effect {
    Effect::Status { status, retry_after: None, body: body.to_owned(), applied: false }
}

#[tokio::test]
async fn refusal_by_a_proxy_releases_the_key() {
    let gateway = Gateway::start().await;
    let state = gateway.sandbox.state();
    for (number, refusal) in [400_u16, 401, 403, 404, 405, 413, 418, 429, 431].into_iter().enumerate() {
        let note = body(&gateway, &format!("refused {refusal}"));
        let key = format!("key-refused-{refusal}");
        let html = status(refusal, "<html>no such page</html>");
        state.set_faults(vec![Rule::new(Endpoint::JuzibotAddFollow, html)]).await.unwrap();
        let first = post(&gateway, PATH, &key, &note).await;
        assert!(first.status.is_server_error(), "{refusal}: {}", first.status);
        state.clear_faults().await;
        let second = post(&gateway, PATH, &key, &note).await;
        assert_eq!(second.ok()["data"]["summary"]["succeeded"], 1, "{refusal}");
        assert_eq!(second.header("idempotent-replayed"), "");
        assert_eq!(applied(&gateway), number + 1);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn refusal_by_the_source_itself_is_replayed() {
    let gateway = Gateway::start().await;
    let state = gateway.sandbox.state();
    let union_id = state.people().featured().union_id;
    let remark = json!({"items": [{"staff_id": "rocky", "union_id": union_id, "remark": "refused"}]});
    let refusals = [
        ("key-decoded-200", Effect::Code { code: -1, message: "no".to_owned(), applied: false }),
        ("key-decoded-400", status(400, r#"{"errcode": -1, "errmsg": "no"}"#)),
    ];
    for (key, refusal) in refusals {
        state.set_faults(vec![Rule::new(Endpoint::JuzibotSetRemark, refusal)]).await.unwrap();
        let first = post(&gateway, "/v1/remarks", key, &remark).await;
        first.problem(422, "validation_failed");
        state.clear_faults().await;
        let second = post(&gateway, "/v1/remarks", key, &remark).await;
        second.problem(422, "validation_failed");
        assert_eq!(second.header("idempotent-replayed"), "true", "{key}");
        let without_id = |reply: &Reply| {
            let mut body = reply.json();
            body.as_object_mut().unwrap().remove("request_id");
            body
        };
        assert_eq!(without_id(&second), without_id(&first));
    }
    assert!(state.applied_remarks().is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn unconfirmed_write_after_http_408_is_replayed() {
    let gateway = Gateway::start().await;
    let state = gateway.sandbox.state();
    let note = body(&gateway, "perhaps");
    let timeout = Effect::Status { status: 408, retry_after: None, body: String::new(), applied: true };
    state.set_faults(vec![Rule::new(Endpoint::JuzibotAddFollow, timeout)]).await.unwrap();
    let first = post(&gateway, PATH, "key-408-00001", &note).await;
    let result = &first.ok()["data"]["results"][0];
    assert_eq!((&result["status"], &result["problem"]["retryable"]), (&json!("unconfirmed"), &json!(false)));
    state.clear_faults().await;
    let second = post(&gateway, PATH, "key-408-00001", &note).await;
    assert_eq!((second.header("idempotent-replayed"), &second.body), ("true", &first.body));
    assert_eq!(applied(&gateway), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn replayed_answer_is_the_first_one_byte_for_byte() {
    let gateway = Gateway::start().await;
    let state = gateway.sandbox.state();
    let pairs: Vec<_> = crate::support::people::writable(state).take(120).collect();
    let items: Vec<Value> = pairs
        .iter()
        .map(|(staff_id, union_id)| json!({"staff_id": staff_id, "union_id": union_id, "remark": "r"}))
        .collect();
    let batch = json!({"items": items});
    let some_fail = Effect::FailItems { items: 7, code: 77_001, item_code: 40_035 };
    let first_chunk = Rule::new(Endpoint::JuzibotSetRemark, some_fail).when(When::First(1));
    state.set_faults(vec![first_chunk]).await.unwrap();
    let first = post(&gateway, "/v1/remarks", "key-bytes-0001", &batch).await;
    let summary = &first.ok()["data"]["summary"];
    assert_eq!(summary["failed"], 7, "{summary}");
    assert!(summary["unconfirmed"].as_u64() > Some(0) && summary["succeeded"].as_u64() > Some(0), "{summary}");
    let second = post(&gateway, "/v1/remarks", "key-bytes-0001", &batch).await;
    assert_eq!((second.header("idempotent-replayed"), &second.body), ("true", &first.body));
    gateway.stop().await;
}

#[tokio::test]
async fn while_the_first_runs_the_second_is_told_so_and_a_caller_that_leaves_does_not_end_it() {
    let gateway = Arc::new(Gateway::start().await);
    let state = gateway.sandbox.state();
    let note = body(&gateway, "slow");
    let slow = Duration::from_millis(1_500);
    let delay = Effect::Delay { min: slow, max: Some(slow), applied: false };
    state.set_faults(vec![Rule::new(Endpoint::JuzibotAddFollow, delay)]).await.unwrap();
    let first = tokio::spawn({
        let (gateway, note) = (gateway.clone(), note.clone());
        async move { post(&gateway, PATH, "key-00000005", &note).await }
    });
    gateway.asked(Endpoint::JuzibotAddFollow, 1).await;
    first.abort();
    let refusal = post(&gateway, PATH, "key-00000005", &note).await;
    refusal.problem(409, "idempotency_in_progress");
    assert!(refusal.header("retry-after").parse::<u64>().unwrap() >= 1);
    let answer = loop {
        let reply = post(&gateway, PATH, "key-00000005", &note).await;
        if reply.status == 200 {
            break reply;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(answer.header("idempotent-replayed"), "true");
    assert_eq!(answer.ok()["data"]["summary"]["succeeded"], 1);
    assert_eq!(applied(&gateway), 1);
}

#[tokio::test]
async fn a_key_is_8_to_255_visible_characters() {
    let gateway = Gateway::start().await;
    let note = body(&gateway, "bad key");
    for key in ["short", &"k".repeat(256), "with space"] {
        let problem = post(&gateway, PATH, key, &note).await.problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["parameter"], "Idempotency-Key");
    }
    assert_eq!(applied(&gateway), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_full_store_refuses_new_keys() {
    let options = GatewayOptions {
        extra: "[idempotency]\nmax_bytes = \"3KiB\"\nmax_bytes_per_caller = \"16MiB\"".to_owned(),
        ..GatewayOptions::default()
    };
    let gateway = Gateway::with(options).await;
    let note = body(&gateway, "room");
    let mut last = post(&gateway, PATH, "key-10000000", &note).await;
    last.ok();
    for n in 1..10 {
        last = post(&gateway, PATH, &format!("key-1000000{n}"), &note).await;
        if last.status != 200 {
            break;
        }
    }
    last.problem(503, "overloaded");
    let wait: u64 = last.header("retry-after").parse().unwrap();
    assert!((86_000..=86_400).contains(&wait), "until the oldest entry expires: {wait}");
    assert_eq!(post(&gateway, PATH, "key-10000000", &note).await.header("idempotent-replayed"), "true");
    gateway.stop().await;
}

#[tokio::test]
async fn a_stopping_gateway_waits_for_a_write_whose_caller_has_left() {
    let gateway = Arc::new(Gateway::start().await);
    let state = gateway.sandbox.state().clone();
    let note = body(&gateway, "kept");
    let slow = Duration::from_millis(600);
    let delay = Effect::Delay { min: slow, max: Some(slow), applied: false };
    state.set_faults(vec![Rule::new(Endpoint::JuzibotAddFollow, delay)]).await.unwrap();
    let asked = tokio::spawn({
        let (gateway, note) = (gateway.clone(), note.clone());
        async move { post(&gateway, PATH, "key-00000006", &note).await }
    });
    gateway.asked(Endpoint::JuzibotAddFollow, 1).await;
    asked.abort();
    assert!(asked.await.is_err());
    let gateway = Arc::into_inner(gateway).expect("nobody else holds it");
    gateway.stop().await;
    assert_eq!(state.applied_follow_ups().len(), 1);
}
