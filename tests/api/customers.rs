//! Contract §3.3: one customer over many sources.

use std::sync::Arc;
use std::time::Duration;

use scrm_gateway::sandbox::faults::{Effect, Rule};
use scrm_gateway::sandbox::{Endpoint, Source};
use serde_json::Value;

use crate::support::{Gateway, GatewayOptions};

const JUZIBOT: Source = Source::Juzibot;
const TANMA: Source = Source::Tanma;

/// The path of a customer that both sources know.
fn featured(gateway: &Gateway) -> String {
    format!("/v1/customers/{}", gateway.sandbox.state().people().featured().external_user_id)
}

/// `source: status` of each source of an answer.
fn statuses(body: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("null").to_owned();
    let sources = body["meta"]["sources"].as_array().unwrap();
    sources.iter().map(|report| format!("{}: {}", text(&report["source"]), text(&report["status"]))).collect()
}

fn relation_sources(body: &Value) -> Vec<&str> {
    body["data"]["relations"].as_array().unwrap().iter().map(|relation| relation["source"].as_str().unwrap()).collect()
}

fn status(source: Source, status: u16) -> Rule {
    Rule::new(source, Effect::Status { status, retry_after: None, body: String::new(), applied: false })
}

fn code(source: Source, code: i64) -> Rule {
    Rule::new(source, Effect::Code { code, message: "no".to_owned(), applied: false })
}

#[tokio::test]
async fn a_customer_known_to_both_sources_has_relations_from_both() {
    let gateway = Gateway::start().await;
    let body = gateway.get(&featured(&gateway)).await.ok();
    let sources = relation_sources(&body);
    assert!(sources.contains(&"juzibot") && sources.contains(&"tanma"), "{sources:?}");
    assert!(sources.is_sorted(), "in source order: {sources:?}");
    assert_eq!(statuses(&body), ["juzibot: ok", "tanma: ok"]);
    assert_eq!(body["data"]["records"].as_array().unwrap().len(), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn a_thousand_requests_for_one_cold_detail_make_one_call_to_each_source() {
    // One caller has a quarter of them.
    let server = "max_in_flight = 4000".to_owned();
    let gateway = Arc::new(Gateway::with(GatewayOptions { server, ..GatewayOptions::default() }).await);
    let path = featured(&gateway);
    gateway.sandbox.state().reset_calls();
    let asked: Vec<_> = (0..1000)
        .map(|_| {
            let (gateway, path) = (gateway.clone(), path.clone());
            tokio::spawn(async move { gateway.get(&path).await.ok() })
        })
        .collect();
    for reply in asked {
        assert_eq!(reply.await.unwrap()["data"]["external_user_id"], path.rsplit('/').next().unwrap());
    }
    assert_eq!(gateway.sandbox.state().calls_to(Endpoint::JuzibotDetail), 1);
    assert_eq!(gateway.sandbox.state().calls_to(Endpoint::TanmaDetails), 1);
}

#[tokio::test]
async fn one_failing_source_leaves_the_others_answer_and_is_named_in_meta() {
    let gateway = Gateway::start().await;
    gateway.sandbox.state().set_faults(vec![status(TANMA, 500)]).await.unwrap();
    let body = gateway.get(&featured(&gateway)).await.ok();
    assert_eq!(statuses(&body), ["juzibot: ok", "tanma: failed"]);
    assert_eq!(body["meta"]["sources"][1]["problem"]["code"], "source_unavailable");
    assert_eq!(body["meta"]["sources"][1]["problem"]["retryable"], true);
    assert!(!relation_sources(&body).contains(&"tanma"));
    gateway.stop().await;
}

#[tokio::test]
async fn on_partial_fail_answers_with_the_failure() {
    let gateway = Gateway::start().await;
    gateway.sandbox.state().set_faults(vec![status(TANMA, 500)]).await.unwrap();
    let problem =
        gateway.get(&format!("{}?on_partial=fail", featured(&gateway))).await.problem(503, "source_unavailable");
    assert_eq!(problem["source"], "tanma");
    gateway.stop().await;
}

#[tokio::test]
async fn nobody_knows_it_is_404() {
    let gateway = Gateway::start().await;
    gateway.get("/v1/customers/wm_nobody").await.problem(404, "not_found");
    gateway.stop().await;
}

#[tokio::test]
async fn not_found_and_failed_is_the_failure() {
    let gateway = Gateway::start().await;
    gateway.sandbox.state().set_faults(vec![status(TANMA, 500)]).await.unwrap();
    gateway.get("/v1/customers/wm_nobody").await.problem(503, "source_unavailable");
    gateway.stop().await;
}

#[tokio::test]
async fn of_several_failures_the_one_that_says_most_is_told() {
    let gateway = Gateway::start().await;
    let state = gateway.sandbox.state();
    let path = featured(&gateway);
    for (juzibot, tanma, told) in [
        (status(JUZIBOT, 500), code(TANMA, 1002), (502, "source_credentials")),
        (code(JUZIBOT, 99_999), status(TANMA, 500), (502, "source_rejected")),
        (Rule::new(JUZIBOT, Effect::Html { applied: false }), status(TANMA, 429), (502, "source_bad_payload")),
        (status(JUZIBOT, 429), status(TANMA, 503), (503, "source_unavailable")),
        (code(JUZIBOT, -1), status(TANMA, 429), (503, "source_unavailable")),
        (code(JUZIBOT, 40_058), code(TANMA, 1003), (422, "validation_failed")),
        (Rule::new(JUZIBOT, Effect::OtherCustomer), status(TANMA, 500), (502, "source_bad_data")),
        (Rule::new(JUZIBOT, Effect::OtherCustomer), code(TANMA, 99_999), (502, "source_rejected")),
    ] {
        state.set_faults(vec![juzibot, tanma]).await.unwrap();
        gateway.get(&path).await.problem(told.0, told.1);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn by_union_id_the_sources_that_know_union_ids_are_asked_first_and_the_others_by_what_they_told() {
    let gateway = Gateway::start().await;
    let state = gateway.sandbox.state();
    let union_id = state.people().featured().union_id;
    let body = gateway.get(&format!("/v1/customers/{union_id}?id_type=union_id")).await.ok();
    assert_eq!(statuses(&body), ["juzibot: ok", "tanma: ok"]);
    assert!(relation_sources(&body).contains(&"tanma"));

    let body = gateway.get("/v1/customers/o_nobody?id_type=union_id").await;
    body.problem(404, "not_found");
    gateway.get(&format!("/v1/customers/{union_id}?id_type=union_id&source=tanma")).await.problem(422, "not_offered");
    gateway.stop().await;
}

#[tokio::test]
async fn a_source_that_cannot_be_asked_is_skipped_with_the_reason() {
    let gateway = Gateway::with(GatewayOptions {
        tanma: "detail_requires_staff_id = true".to_owned(),
        ..GatewayOptions::default()
    })
    .await;
    let body = gateway.get(&featured(&gateway)).await.ok();
    assert_eq!(statuses(&body), ["juzibot: ok", "tanma: skipped"]);
    assert_eq!(body["meta"]["sources"][1]["problem"]["code"], "not_offered");
    let body = gateway.get(&format!("{}?staff_id=dowen", featured(&gateway))).await.ok();
    assert_eq!(statuses(&body), ["juzibot: ok", "tanma: ok"]);
    gateway.stop().await;
}

#[tokio::test]
async fn source_narrows_who_is_asked_and_staff_id_what_is_told() {
    let gateway = Gateway::start().await;
    let path = featured(&gateway);
    let body = gateway.get(&format!("{path}?source=tanma")).await.ok();
    assert_eq!(statuses(&body), ["tanma: ok"]);

    let whole = gateway.get(&path).await.ok();
    let narrowed = gateway.get(&format!("{path}?staff_id=rocky")).await.ok();
    let theirs: Vec<_> =
        whole["data"]["relations"].as_array().unwrap().iter().filter(|r| r["staff_id"] == "rocky").cloned().collect();
    assert_eq!(narrowed["data"]["relations"], Value::Array(theirs));
    assert_eq!(narrowed["data"]["mobiles"], whole["data"]["mobiles"]);
    let nobody = gateway.get(&format!("{path}?staff_id=nobody")).await.ok();
    assert_eq!(nobody["data"]["relations"], Value::Array(Vec::new()));
    gateway.stop().await;
}

#[tokio::test]
async fn after_the_first_answer_the_rest_is_waited_for_no_longer_than_the_grace_and_then_fills_the_cache() {
    let gateway =
        Gateway::with(GatewayOptions { server: "merge_grace = \"50ms\"".to_owned(), ..GatewayOptions::default() })
            .await;
    let state = gateway.sandbox.state();
    let path = featured(&gateway);
    let slow = Duration::from_secs(1);
    state
        .set_faults(vec![Rule::new(TANMA, Effect::Delay { min: slow, max: Some(slow), applied: false })])
        .await
        .unwrap();
    let body = gateway.get(&path).await.ok();
    assert_eq!(statuses(&body), ["juzibot: ok", "tanma: failed"]);
    assert_eq!(body["meta"]["sources"][1]["problem"]["code"], "source_timeout");

    // The load goes on: whoever asks the slow source alone joins it, and from then on it is in the cache.
    let joined = gateway.get(&format!("{path}?source=tanma")).await;
    assert_eq!(statuses(&joined.ok()), ["tanma: ok"]);
    assert_eq!(statuses(&gateway.get(&path).await.ok()), ["juzibot: ok", "tanma: ok"]);
    assert_eq!(state.calls_to(Endpoint::TanmaDetails), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_record_that_is_kept_stands_in_for_a_source_past_the_grace() {
    let gateway = Gateway::with(GatewayOptions {
        server: "merge_grace = \"50ms\"".to_owned(),
        cache: "fresh = \"0s\"\nstale = \"0s\"".to_owned(),
        ..GatewayOptions::default()
    })
    .await;
    let path = featured(&gateway);
    gateway.get(&path).await.ok();
    gateway.sandbox.state().set_faults(vec![Rule::new(TANMA, Effect::NeverAnswer { applied: false })]).await.unwrap();
    let body = gateway.get(&path).await.ok();
    assert_eq!(statuses(&body), ["juzibot: ok", "tanma: stale"]);
    assert!(relation_sources(&body).contains(&"tanma"));
    gateway.stop().await;
}

#[tokio::test]
async fn on_partial_fail_waits_for_a_source_that_is_slower_than_the_grace() {
    let gateway =
        Gateway::with(GatewayOptions { server: "merge_grace = \"50ms\"".to_owned(), ..GatewayOptions::default() })
            .await;
    let slow = Duration::from_secs(1);
    let delay = Effect::Delay { min: slow, max: Some(slow), applied: false };
    gateway.sandbox.state().set_faults(vec![Rule::new(TANMA, delay)]).await.unwrap();
    let path = featured(&gateway);
    for query in ["on_partial=fail&include=raw", "on_partial=fail"] {
        let body = gateway.get(&format!("{path}?{query}")).await.ok();
        assert_eq!(statuses(&body), ["juzibot: ok", "tanma: ok"], "{query}");
    }
    gateway.stop().await;
}

/// Two JuziBot accounts of which the second one knows another person under the id.
#[tokio::test]
async fn sources_that_disagree_on_the_union_id_are_not_merged() {
    let other = wiremock::MockServer::start().await;
    let id = "wm-disagreed";
    let answer = |union_id: &str, name: &str| {
        let data = serde_json::json!({"externalUserId": id, "unionId": union_id, "name": name});
        let body = serde_json::json!({"errcode": 0, "data": data});
        wiremock::Mock::given(wiremock::matchers::any())
            .respond_with(wiremock::ResponseTemplate::new(200).set_body_json(body))
    };
    let first = wiremock::MockServer::start().await;
    answer("union-of-one", "李四").mount(&first).await;
    answer("union-of-another", "王五").mount(&other).await;
    let gateway = Gateway::with(GatewayOptions {
        order: r#"["juzibot", "second"]"#.to_owned(),
        with_tanma: false,
        juzibot_url: Some(first.uri()),
        extra: format!(
            "[sources.second]\nkind = \"juzibot\"\nbase_url = \"{}\"\ntoken = \"another-token-of-a-test\"\n",
            other.uri()
        ),
        ..GatewayOptions::default()
    })
    .await;
    let body = gateway.get(&format!("/v1/customers/{id}")).await.ok();
    assert_eq!(statuses(&body), ["juzibot: ok", "second: failed"]);
    assert_eq!((&body["data"]["name"], &body["data"]["union_id"]), (&"李四".into(), &"union-of-one".into()));
    assert_eq!(body["data"]["records"].as_array().unwrap().len(), 1);
    let problem = &body["meta"]["sources"][1]["problem"];
    assert_eq!((&problem["code"], &problem["retryable"]), (&"source_bad_data".into(), &false.into()));
    let warnings = &body["meta"]["warnings"];
    assert_eq!((&warnings[0]["code"], &warnings[0]["source"]), (&"identity_mismatch".into(), &"second".into()));
    assert!(!body.to_string().contains("王五") && !body.to_string().contains("union-of-another"), "{body}");
    let problem = gateway.get(&format!("/v1/customers/{id}?on_partial=fail")).await.problem(502, "source_bad_data");
    assert_eq!(problem["source"], "second");
    // Each alone is believed.
    let alone = gateway.get(&format!("/v1/customers/{id}?source=second")).await.ok();
    assert_eq!(alone["data"]["name"], "王五");
    gateway.stop().await;
}
