//! What is sent to Tanma.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wiremock::Request;

use super::{TANMA, row};
use crate::support::{APP_KEY, GatewayOptions, Stage};

fn header<'a>(call: &'a Request, name: &str) -> Option<&'a str> {
    call.headers.get(name).map(|value| value.to_str().unwrap())
}

fn body(call: &Request) -> Value {
    serde_json::from_slice(&call.body).unwrap()
}

fn millis_now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

#[tokio::test]
async fn a_call_is_signed_over_the_very_bytes_of_its_body_with_the_time_of_sending() {
    let app_id = GatewayOptions::default().sandbox.tanma.app_id;
    let stage = Stage::answering(TANMA, &TANMA.ok(json!([]))).await;
    let before = millis_now();
    stage.detail().await.problem(404, "not_found");
    let after = millis_now();

    let call = stage.call().await;
    assert_eq!(header(&call, "appId"), Some(app_id.as_str()));
    assert_eq!(header(&call, "Content-Type"), Some("application/json"));
    let timestamp = header(&call, "timestamp").unwrap();
    assert!((before..=after).contains(&timestamp.parse().unwrap()), "{timestamp}");
    let mut signed = format!("{app_id}{timestamp}").into_bytes();
    signed.extend_from_slice(&call.body);
    signed.extend_from_slice(APP_KEY.as_bytes());
    let digest = base16ct::lower::encode_string(&Sha256::digest(&signed));
    assert_eq!(header(&call, "sign"), Some(digest.as_str()));
    assert_eq!(call.url.query(), None);
}

#[tokio::test]
async fn the_signing_key_stays_at_home_unless_asked_for() {
    let none = TANMA.ok(json!([]));
    let stage = Stage::answering(TANMA, &none).await;
    stage.detail().await;
    assert_eq!(header(&stage.call().await, "appKey"), None);

    let stage = Stage::with(TANMA, "send_app_key_header = true", &none).await;
    stage.detail().await;
    assert_eq!(header(&stage.call().await, "appKey"), Some(APP_KEY));
}

#[tokio::test]
async fn the_first_page_is_asked_without_a_cursor_and_without_a_type() {
    let stage = Stage::answering(TANMA, &TANMA.ok(json!({"list": []}))).await;
    stage.list().await.ok();
    let call = stage.call().await;
    assert_eq!(call.method.as_str(), "POST");
    assert_eq!(call.url.path(), "/api/v3/customer-relation/list-by-qw-user-id");
    assert_eq!(body(&call), json!({"qwUserId": "dowen", "size": 100}));
}

#[tokio::test]
async fn the_type_is_sent_only_where_it_is_configured() {
    let stage = Stage::with(TANMA, "list_type = 2", &TANMA.ok(json!({"list": []}))).await;
    stage.list().await.ok();
    assert_eq!(body(&stage.call().await), json!({"qwUserId": "dowen", "size": 100, "type": 2}));
}

#[tokio::test]
async fn the_next_page_is_asked_with_the_sources_cursor_as_it_came_and_the_size_of_the_first() {
    let page = TANMA.ok(json!({"list": [row(&json!({}))], "nextCursor": "AAA+//A=="}));
    let stage = Stage::with(TANMA, "page_size = 50", &page).await;
    let first = stage.gateway.get(&format!("{}&limit=20", TANMA.list_path())).await.ok();
    let cursor = first["page"]["next_cursor"].as_str().unwrap();
    let path = format!("{}&limit=1000&cursor={cursor}", TANMA.list_path());
    stage.gateway.get(&path).await.ok();
    let sent: Vec<Value> = stage.calls().await.iter().take(2).map(body).collect();
    assert_eq!(
        sent,
        [json!({"qwUserId": "dowen", "size": 20}), json!({"qwUserId": "dowen", "size": 20, "cursor": "AAA+//A=="}),]
    );
}

#[tokio::test]
async fn a_page_is_never_larger_than_the_configured_size() {
    let stage = Stage::with(TANMA, "page_size = 50", &TANMA.ok(json!({"list": []}))).await;
    stage.gateway.get(&format!("{}&limit=1000", TANMA.list_path())).await.ok();
    assert_eq!(body(&stage.call().await)["size"], 50);
}

#[tokio::test]
async fn a_list_without_a_staff_id_is_refused_before_anything_is_sent() {
    let stage = Stage::answering(TANMA, &TANMA.ok(json!({"list": []}))).await;
    let problem = stage.gateway.get("/v1/customers?source=tanma").await.problem(400, "invalid_request");
    assert_eq!(problem["errors"][0]["parameter"], "staff_id");
    assert_eq!(stage.calls().await.len(), 0);
}

#[tokio::test]
async fn a_detail_is_asked_whole_though_the_answer_is_narrowed() {
    let data = json!([super::detail_row("one", Value::Null), super::detail_row("two", Value::Null)]);
    let stage = Stage::answering(TANMA, &TANMA.ok(data)).await;
    let path = format!("{}&staff_id=two", TANMA.detail_path());
    let answer = stage.gateway.get(&path).await.ok();
    assert_eq!(answer["data"]["relations"].as_array().unwrap().len(), 1);
    assert_eq!(answer["data"]["relations"][0]["staff_id"], "two");
    let call = stage.call().await;
    assert_eq!(call.url.path(), "/api/v2/customer/qw-details");
    assert_eq!(body(&call), json!({"externalUserId": "wm-one"}));
}

#[tokio::test]
async fn a_detail_is_asked_with_the_staff_id_where_the_source_must_have_it() {
    let data = json!([super::detail_row("two", Value::Null)]);
    let stage = Stage::with(TANMA, "detail_requires_staff_id = true", &TANMA.ok(data)).await;
    let problem = stage.detail().await.problem(422, "not_offered");
    assert!(problem["detail"].as_str().unwrap().contains("staff_id"), "{problem}");
    let path = format!("{}&staff_id=two", TANMA.detail_path());
    stage.gateway.get(&path).await.ok();
    assert_eq!(body(&stage.call().await), json!({"externalUserId": "wm-one", "qwUserId": "two"}));
}

#[tokio::test]
async fn paths_are_below_the_path_of_the_base_url() {
    let stage = Stage::answering(TANMA, &TANMA.ok(json!([]))).await;
    let base = format!("{}/apiServer/", stage.source.uri());
    let gateway = TANMA.gateway(&base, "", "").await;
    gateway.get(TANMA.detail_path()).await.problem(404, "not_found");
    assert_eq!(stage.call().await.url.path(), "/apiServer/api/v2/customer/qw-details");
}
