//! Raw reads: one line a source that was asked, or a page that was given out. Others leave none.

use std::sync::Arc;
use std::time::Duration;

use scrm_gateway::sandbox::faults::{Effect, Rule};
use scrm_gateway::sandbox::{Endpoint, Source};
use serde_json::{Value, json};

use super::{ask, hashed, known_to_both, trail, trail_of};
use crate::support::{Gateway, GatewayOptions, Token};

const STREAM: (&str, &str) = ("accept", "application/x-ndjson");

async fn gateway() -> Gateway {
    let mut options = GatewayOptions::default();
    options.sandbox.customers = 500;
    options.tanma = "page_size = 20".to_owned();
    options.juzibot = "timeout = \"10s\"\nretry = { attempts = 1 }".to_owned();
    options.server = "request_timeout = \"10s\"".to_owned();
    Gateway::with(options).await
}

fn one(source: &str, id: &str, outcome: &str) -> Value {
    json!({"operation": "get_by_external_user_id", "source": source, "customer": hashed(id), "outcome": outcome})
}

#[tokio::test]
async fn a_raw_detail_is_told_of_each_source_that_was_asked() {
    let gateway = gateway().await;
    let person = known_to_both(&gateway);
    let id = &person.external_user_id;
    ask(&gateway, "audited-detail", &json!({}), &format!("/v1/customers/{id}?include=raw")).await.ok();
    assert_eq!(trail("audited-detail"), [one("juzibot", id, "found"), one("tanma", id, "found")]);

    let path = "/v1/customers/wmNobody?include=raw&source=juzibot";
    ask(&gateway, "audited-nobody", &json!({}), path).await.problem(404, "not_found");
    assert_eq!(trail("audited-nobody"), [one("juzibot", "wmNobody", "not_found")]);

    gateway
        .sandbox
        .state()
        .set_faults(vec![Rule::new(Source::Juzibot, Effect::Html { applied: false })])
        .await
        .unwrap();
    ask(&gateway, "audited-half", &json!({}), &format!("/v1/customers/{id}?include=raw")).await.ok();
    assert_eq!(trail("audited-half"), [one("juzibot", id, "source_bad_payload"), one("tanma", id, "found")]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_raw_detail_by_union_id_is_told_by_the_id_that_each_source_was_asked_for() {
    let gateway = gateway().await;
    let person = known_to_both(&gateway);
    let (union_id, id) = (&person.union_id, &person.external_user_id);
    let path = format!("/v1/customers/{union_id}?id_type=union_id&include=raw");
    ask(&gateway, "audited-union", &json!({}), &path).await.ok();
    let by_union_id = json!({
        "operation": "get_by_union_id", "source": "juzibot", "customer": hashed(union_id), "outcome": "found",
    });
    assert_eq!(trail("audited-union"), [by_union_id, one("tanma", id, "found")]);
    gateway.stop().await;
}

#[tokio::test]
async fn raw_rows_are_counted_page_by_page() {
    let gateway = gateway().await;
    let told = |rows: usize, staff: Option<&str>| {
        let mut line = json!({"operation": "list_customers", "source": "juzibot", "rows": rows, "outcome": "ok"});
        if let Some(staff) = staff {
            line["staff"] = json!(hashed(staff));
        }
        line
    };
    let page = "/v1/customers?source=juzibot&include=raw&limit=7";
    ask(&gateway, "audited-page", &json!({}), page).await.ok();
    assert_eq!(trail("audited-page"), [told(7, None)]);
    ask(&gateway, "audited-staff", &json!({}), &format!("{page}&staff_id=rocky")).await.ok();
    assert_eq!(trail("audited-staff"), [told(7, Some("rocky"))]);

    let bearer = Token::default().bearer();
    let headers = [STREAM, ("x-request-id", "audited-stream"), ("authorization", &bearer)];
    let all = gateway.get_with("/v1/customers?source=tanma&staff_id=dowen&include=raw", &headers).await;
    let rows = all.body.lines().count() - 1;
    let lines = trail("audited-stream");
    assert!(lines.len() > 1, "a page each");
    assert_eq!(lines.iter().map(|line| line["rows"].as_u64().unwrap()).sum::<u64>(), rows as u64);
    assert!(lines.iter().all(|line| line["outcome"] == "ok" && line["staff"] == hashed("dowen")));

    let fault = Rule::new(Endpoint::JuzibotList, Effect::Html { applied: false });
    gateway.sandbox.state().set_faults(vec![fault]).await.unwrap();
    ask(&gateway, "audited-failed", &json!({}), page).await.problem(502, "source_bad_payload");
    let failed =
        json!({"operation": "list_customers", "source": "juzibot", "rows": 0, "outcome": "source_bad_payload"});
    assert_eq!(trail("audited-failed"), [failed]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_raw_read_whose_caller_has_left_is_told() {
    let gateway = Arc::new(gateway().await);
    let id = known_to_both(&gateway).external_user_id;
    gateway.fault(Rule::new(Source::Juzibot, Effect::NeverAnswer { applied: false })).await;
    for (request_id, path, endpoint) in [
        ("audited-left-list", "/v1/customers?source=juzibot&include=raw".to_owned(), Endpoint::JuzibotList),
        ("audited-left-detail", format!("/v1/customers/{id}?include=raw&source=juzibot"), Endpoint::JuzibotDetail),
    ] {
        let asked = tokio::spawn({
            let gateway = gateway.clone();
            async move { ask(&gateway, request_id, &json!({}), &path).await }
        });
        gateway.asked(endpoint, 1).await;
        asked.abort();
        let lines = tokio::time::timeout(Duration::from_secs(5), trail_of(request_id, 1)).await.unwrap();
        assert_eq!((lines.len(), &lines[0]["outcome"]), (1, &json!("abandoned")), "{lines:?}");
        assert!(asked.await.is_err());
    }
    Arc::into_inner(gateway).unwrap().stop().await;
}

#[tokio::test]
async fn what_is_no_raw_read_and_no_write_leaves_no_line() {
    let gateway = gateway().await;
    let id = known_to_both(&gateway).external_user_id;
    for path in [
        "/v1/customers?source=juzibot".to_owned(),
        format!("/v1/customers/{id}"),
        "/v1/sources".to_owned(),
        "/v1/me".to_owned(),
        "/v1/errors".to_owned(),
        "/v1/customers?source=nobody".to_owned(),
    ] {
        ask(&gateway, "audited-none", &json!({}), &path).await;
    }
    assert_eq!(trail("audited-none"), [] as [Value; 0]);
    gateway.stop().await;
}
