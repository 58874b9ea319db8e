//! An idempotency key is its caller's alone.

use std::sync::Arc;
use std::time::Duration;

use scrm_gateway::sandbox::Endpoint;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use serde_json::{Value, json};

use super::{gateway, options, others, post, tester};
use crate::support::Gateway;

const PATH: &str = "/v1/follow-ups?source=juzibot";
const KEY: (&str, &str) = ("idempotency-key", "the-same-key");

fn note(gateway: &Gateway, content: &str) -> Value {
    let union_id = gateway.sandbox.state().people().featured().union_id;
    json!({"items": [{"staff_id": "rocky", "union_id": union_id, "content": content}]})
}

fn applied(gateway: &Gateway, content: &str) -> usize {
    gateway.sandbox.state().applied_follow_ups().iter().filter(|note| note.content == content).count()
}

#[tokio::test]
async fn the_same_request_under_anothers_key_is_run_for_its_own_caller() {
    let gateway = gateway().await;
    let body = note(&gateway, "same");
    post(&gateway, &tester(), PATH, &body, &[KEY]).await.ok();
    for (number, (who, claims)) in others().into_iter().enumerate() {
        let first = post(&gateway, &claims, PATH, &body, &[KEY]).await;
        assert_eq!(first.ok()["data"]["summary"]["succeeded"], 1, "{who}");
        assert_eq!(first.header("idempotent-replayed"), "", "{who}");
        assert_eq!(applied(&gateway, "same"), number + 2, "{who}");
        let again = post(&gateway, &claims, PATH, &body, &[KEY]).await;
        assert_eq!(again.header("idempotent-replayed"), "true", "{who}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn another_request_under_anothers_key_is_no_conflict() {
    let gateway = gateway().await;
    post(&gateway, &tester(), PATH, &note(&gateway, "first"), &[KEY]).await.ok();
    for (who, claims) in others() {
        post(&gateway, &claims, PATH, &note(&gateway, who), &[KEY]).await.ok();
        assert_eq!(applied(&gateway, who), 1);
    }
    let reused = post(&gateway, &tester(), PATH, &note(&gateway, "other"), &[KEY]).await;
    reused.problem(422, "idempotency_key_reused");
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_in_use_is_free_for_others() {
    let gateway = Arc::new(gateway().await);
    let body = note(&gateway, "slow");
    let wait = Effect::Delay { min: Duration::from_secs(1), max: None, applied: false };
    gateway.fault(Rule::new(Endpoint::JuzibotAddFollow, wait)).await;
    let first = tokio::spawn({
        let (gateway, body) = (gateway.clone(), body.clone());
        async move { post(&gateway, &tester(), PATH, &body, &[KEY]).await }
    });
    gateway.asked(Endpoint::JuzibotAddFollow, 1).await;
    gateway.sandbox.state().clear_faults().await;
    post(&gateway, &tester(), PATH, &body, &[KEY]).await.problem(409, "idempotency_in_progress");
    for (who, claims) in others() {
        let reply = post(&gateway, &claims, PATH, &note(&gateway, who), &[KEY]).await;
        assert_eq!(reply.ok()["data"]["summary"]["succeeded"], 1, "{who}");
    }
    first.await.unwrap().ok();
    Arc::into_inner(gateway).unwrap().stop().await;
}

#[tokio::test]
async fn a_caller_that_fills_its_share_of_the_store_takes_nothing_from_others() {
    let gateway = Gateway::with(options("[idempotency]\nmax_bytes_per_caller = \"3KiB\"\n")).await;
    let with_key = async |claims: &Value, key: &str| {
        post(&gateway, claims, PATH, &note(&gateway, key), &[("idempotency-key", key)]).await
    };
    with_key(&tester(), "first-of-all").await.ok();
    let mut refused = None;
    for n in 0..10 {
        let reply = with_key(&tester(), &format!("key-{n:05}")).await;
        if reply.status != 200 {
            refused = Some((reply, format!("key-{n:05}")));
            break;
        }
    }
    let (refused, key) = refused.expect("a share has an end");
    refused.problem(429, "rate_limited");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((86_000..=86_400).contains(&wait), "until the oldest entry expires: {wait}");
    assert_eq!(applied(&gateway, &key), 0, "nothing was sent");
    assert_eq!(with_key(&tester(), "first-of-all").await.header("idempotent-replayed"), "true", "nothing is forgotten");
    for (who, claims) in others() {
        assert_eq!(with_key(&claims, &key).await.status, 200, "{who}");
    }
    // Without a key it may still write.
    post(&gateway, &tester(), PATH, &note(&gateway, "no key"), &[]).await.ok();
    gateway.stop().await;
}
