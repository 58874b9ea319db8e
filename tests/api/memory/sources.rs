//! Answers of sources that do not fit.

use serde_json::{Value, json};

use crate::support::{Behaviour, Gateway, GatewayOptions, RawSource, Reply, Vendor};

use super::{MOST_OF_A_SHARE, bearer, exhausted, options, stalled};

/// One failure of the source would open its breaker, and would be tried again.
const STRICT: &str = "breaker = { min_calls = 1 }";

/// Both sources. JuziBot's answers have a name of so many bytes; Tanma's details are small.
async fn source(bytes: usize) -> RawSource {
    let customer = json!({"externalUserId": "wm-one", "unionId": "o-one", "name": "n".repeat(bytes)});
    let detail = Vendor::Juzibot.ok(customer.clone()).to_string();
    let list = Vendor::Juzibot.ok(json!([customer])).to_string();
    let row = json!({"externalUserId": "wm-one", "unionId": "o-one", "qwUserId": "dowen", "wechatNickname": "n"});
    let tanma = Vendor::Tanma.ok(json!([row])).to_string();
    RawSource::deciding(move |request| {
        let body = match request.lines().next().unwrap() {
            line if line.contains("/qw-details") => &tanma,
            line if line.contains("/customer/list") => &list,
            _ => &detail,
        };
        Behaviour::http("200 OK\nContent-Type: application/json", body)
    })
    .await
}

async fn before(source: &RawSource, cache: &str) -> Gateway {
    let options = GatewayOptions {
        juzibot_url: Some(source.url.clone()),
        tanma_url: Some(source.url.clone()),
        juzibot: STRICT.to_owned(),
        cache: cache.to_owned(),
        ..options()
    };
    Gateway::with(options).await
}

async fn get(gateway: &Gateway, subject: &str, path: &str) -> Reply {
    gateway.get_with(path, &[("authorization", &bearer(subject))]).await
}

/// What `/v1/sources` reports of the source's health.
async fn health(gateway: &Gateway) -> Value {
    let sources = gateway.get("/v1/sources").await.ok();
    let sources = sources["data"].as_array().unwrap().clone();
    sources.into_iter().find(|source| source["name"] == "juzibot").unwrap()["health"].clone()
}

#[tokio::test]
async fn list_without_memory_is_overloaded_and_not_held_against_the_source() {
    let source = source(300_000).await;
    let gateway = before(&source, "").await;
    let held = stalled(&gateway.url, "greedy", MOST_OF_A_SHARE).await;
    let list = "/v1/customers?source=juzibot";
    let refused = get(&gateway, "greedy", list).await;
    let problem = refused.problem(503, "overloaded");
    assert_eq!((&problem["source"], refused.header("retry-after")), (&"juzibot".into(), "1"));
    assert!(problem["detail"].as_str().unwrap().contains("memory"), "{problem}");
    assert_eq!(health(&gateway).await["breaker"], "closed");
    assert_eq!(health(&gateway).await["last_error"], Value::Null);
    get(&gateway, "other", list).await.ok();
    drop(held);
    get(&gateway, "greedy", list).await.ok();
    gateway.stop().await;
}

#[tokio::test]
async fn source_timeout_during_a_wait_for_memory_is_overloaded() {
    let source = source(300_000).await;
    let gateway = Gateway::with(GatewayOptions {
        juzibot_url: Some(source.url.clone()),
        // Shorter than the wait for memory.
        juzibot: format!("{STRICT}\ntimeout = \"300ms\""),
        ..options()
    })
    .await;
    let held = stalled(&gateway.url, "greedy", MOST_OF_A_SHARE).await;
    get(&gateway, "greedy", "/v1/customers?source=juzibot").await.problem(503, "overloaded");
    let health = health(&gateway).await;
    assert_eq!((&health["breaker"], &health["last_error"]), (&"closed".into(), &Value::Null));
    drop(held);
    gateway.stop().await;
}

#[tokio::test]
async fn stream_that_does_not_fit_is_refused_and_one_that_does_is_complete() {
    let source = source(300_000).await;
    let gateway = before(&source, "").await;
    let held = stalled(&gateway.url, "greedy", MOST_OF_A_SHARE).await;
    let (path, ndjson) = ("/v1/customers?source=juzibot", ("accept", "application/x-ndjson"));
    let refused = gateway.get_with(path, &[("authorization", &bearer("greedy")), ndjson]).await;
    refused.problem(503, "overloaded");
    drop(held);
    let stream = gateway.get_with(path, &[("authorization", &bearer("greedy")), ndjson]).await;
    assert_eq!(stream.status, 200);
    let last: Value = serde_json::from_str(stream.body.lines().last().unwrap()).unwrap();
    assert_eq!(last["end"]["count"], 1, "{last}");
    gateway.stop().await;
}

#[tokio::test]
async fn list_that_can_never_fit_is_a_bad_payload() {
    let source = source(1_100_000).await;
    let gateway = before(&source, "").await;
    let problem = gateway.get("/v1/customers?source=juzibot").await.problem(502, "source_bad_payload");
    assert!(problem["detail"].as_str().unwrap().contains("more memory than one request may use"), "{problem}");
    assert_eq!(health(&gateway).await["breaker"], "closed");
    gateway.stop().await;
}

#[tokio::test]
async fn detail_without_memory_is_reported_in_the_merge_and_replaced_by_a_stale_record() {
    let source = source(250_000).await;
    let gateway = before(&source, "fresh = \"0s\"\nstale = \"0s\"").await;
    let held = exhausted(&gateway.url).await;
    let (merged, alone) = ("/v1/customers/wm-one", "/v1/customers/wm-one?source=juzibot");
    let answer = get(&gateway, "reader", merged).await.ok();
    let reports = answer["meta"]["sources"].as_array().unwrap();
    assert_eq!((&reports[0]["status"], &reports[1]["status"]), (&"failed".into(), &"ok".into()), "{reports:?}");
    assert_eq!(reports[0]["problem"]["code"], "overloaded");
    get(&gateway, "reader", alone).await.problem(503, "overloaded");
    drop(held);
    get(&gateway, "reader", alone).await.ok();
    let held = exhausted(&gateway.url).await;
    let stale = get(&gateway, "reader", alone).await.ok();
    assert_eq!(stale["meta"]["sources"][0]["status"], "stale");
    assert_eq!(stale["meta"]["sources"][0]["problem"]["code"], "overloaded");
    drop(held);
    let health = health(&gateway).await;
    assert_eq!(
        (&health["breaker"], &health["state"], &health["last_error"]),
        (&"closed".into(), &"ok".into(), &Value::Null)
    );
    gateway.stop().await;
}
