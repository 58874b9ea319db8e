//! The content of one row or one customer says nothing about the state of the source: no retry, no breaker, no health.

use serde_json::{Value, json};
use wiremock::matchers::path_regex;
use wiremock::{Mock, ResponseTemplate};

use super::{Damaged, JUZIBOT, case, expected, warnings};
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
    let detail = |request: &wiremock::Request| {
        let id = request.url.query_pairs().find(|(name, _)| name == "externalUserId").unwrap().1.into_owned();
        let mut detail: Value = serde_json::from_slice(&case("juzibot-detail-good.json")).unwrap();
        detail["data"]["externalUserId"] = Value::from(id);
        ResponseTemplate::new(200).set_body_json(detail)
    };
    Mock::given(path_regex("/detail$")).respond_with(detail).with_priority(1).mount(&stage.source).await;
    for n in 0..30 {
        stage.list().await.ok();
        assert_eq!(stage.detail(&format!("wmHealthy{n}")).await.ok()["data"]["name"], "好");
    }
    assert_eq!(stage.calls().await, 60, "nothing is retried");
}

#[tokio::test]
async fn ambiguous_envelope_is_neutral() {
    let twice = r#"{"errcode": 0, "data": [], "data": [{"externalUserId": "wm1"}]}"#;
    let stage = stage(twice).await;
    stage.and_at("/detail$", JUZIBOT.ok(json!(null)).to_string()).await;
    for n in 0..30 {
        stage.list().await.problem(502, "source_bad_data");
        stage.detail(&format!("wm{n}")).await.problem(404, "not_found");
    }
    // Of a message or a total the last one counts.
    stage.now_answer(r#"{"errcode": 0, "errmsg": "a", "errmsg": "b", "total": 7, "total": 1, "data": []}"#).await;
    assert_eq!(stage.list().await.ok()["page"]["total"], 1);
}

#[tokio::test]
async fn name_in_another_encoding_does_not_open_the_breaker() {
    let name = [&b"{\"externalUserId\": \"wmGbk\", \"name\": \""[..], b"\xd5\xc5\xc8\xfd", b"\"}"].concat();
    let mut rows: Vec<Vec<u8>> =
        (0..99).map(|n| format!("{{\"externalUserId\": \"wm{n}\", \"name\": \"Ann\"}}").into_bytes()).collect();
    rows.push(name);
    let page = [&b"{\"errcode\": 0, \"data\": ["[..], &rows.join(&b","[..]), b"]}"].concat();
    let stage = stage(page).await;
    let answer = stage.list().await.ok();
    assert_eq!(answer["data"].as_array().unwrap().len(), 100);
    assert_eq!(warnings(&answer), expected(&[("repaired_text", "/data/99")]));
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
