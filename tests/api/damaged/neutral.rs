//! The content of one row or one customer says nothing about the state of the source: no retry, no breaker, no health.

use serde_json::{Value, json};

use super::{Damaged, JUZIBOT, case};
use crate::support::Vendor;

async fn health(stage: &Damaged) -> Value {
    stage.gateway.get("/v1/sources").await.ok()["data"][0]["health"].clone()
}

/// With the default settings of breaker and retry.
async fn stage(body: impl Into<Vec<u8>>) -> Damaged {
    Damaged::answering(JUZIBOT, body).await
}

#[tokio::test]
async fn damaged_page_leaves_other_customers_alone() {
    let stage = stage(case("juzibot-list-control-char.json")).await;
    stage.and_at("/detail$", case("juzibot-detail-good.json")).await;
    for _ in 0..30 {
        stage.list().await.ok();
        let answer = stage.gateway.get_with("/v1/customers/wm9?source=juzibot", &[("cache-control", "no-cache")]).await;
        assert_eq!(answer.ok()["data"]["name"], "好");
    }
    assert_eq!(stage.calls().await, 60, "nothing is retried");
}

#[tokio::test]
async fn unusable_content_does_not_open_the_breaker() {
    let strangers = JUZIBOT.ok(json!({"externalUserId": "wmSomebody", "name": "n"})).to_string();
    let stage = stage(strangers).await;
    stage.and_at("/list$", JUZIBOT.ok(vec![json!({"renamed": 1}); 20]).to_string()).await;
    for n in 0..30 {
        stage.list().await.problem(502, "source_bad_data");
        stage.detail(&format!("wm{n}")).await.problem(502, "source_bad_data");
    }
    assert_eq!(stage.calls().await, 60, "nothing is retried, everything is asked");
    let health = health(&stage).await;
    assert_eq!((&health["state"], &health["breaker"]), (&json!("ok"), &json!("closed")));
    stage.now_answer(case("juzibot-detail-good.json")).await;
    stage.detail("wm9").await.ok();
}

#[tokio::test]
async fn oversized_answer_does_not_open_the_breaker() {
    let oversized = JUZIBOT.ok(json!({"externalUserId": "wm1", "name": "x".repeat(2_000)})).to_string();
    let stage = Damaged::with(JUZIBOT, "max_response = \"1KiB\"", oversized).await;
    for n in 0..30 {
        stage.detail(&format!("wm{n}")).await.problem(502, "source_bad_payload");
    }
    assert_eq!(stage.calls().await, 30);
    assert_eq!(health(&stage).await["breaker"], "closed");
}

#[tokio::test]
async fn answers_that_are_no_envelope_open_the_breaker() {
    for body in ["<html>login</html>", "{\"errcode\": 0, \"data\": [", "", "{\"ok\": true}"] {
        let stage = Damaged::answering(Vendor::Juzibot, body).await;
        for n in 0..30 {
            assert!(stage.detail(&format!("wm{n}")).await.status.is_server_error());
        }
        assert_eq!(health(&stage).await["breaker"], "open", "{body}");
    }
}
