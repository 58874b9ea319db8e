//! Contract §10: the answers that describe the service itself.

use scrm_gateway::model::CATALOGUE;
use scrm_gateway::sandbox::Source;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use serde_json::{Value, json};

use crate::support::{Gateway, GatewayOptions, Token};

#[tokio::test]
async fn me_tells_who_calls_what_it_may_and_what_is_left() {
    let gateway = Gateway::with(GatewayOptions {
        rate_limit: "default = { requests = 60, window = \"1m\", burst = 10 }".to_owned(),
        ..GatewayOptions::default()
    })
    .await;
    let token = Token::with(&json!({"sub": "app", "scope": "b a", "sources": ["tanma"]})).bearer();
    let me = gateway.get_with("/v1/me", &[("authorization", &token)]).await.ok();
    assert_eq!(
        me["data"],
        json!({
            "issuer": "https://login.test",
            "subject": "app",
            "scopes": ["a", "b"],
            "sources": ["tanma"],
            "quota": {"requests": 60, "window_seconds": 60, "burst": 10, "remaining": 9},
        })
    );
    gateway.stop().await;
}

#[tokio::test]
async fn errors_lists_the_whole_catalogue_to_anybody() {
    let gateway = Gateway::start().await;
    let errors = gateway.get_with("/v1/errors", &[("authorization", "")]).await.ok();
    let rows = errors["data"].as_array().unwrap();
    assert_eq!(rows.len(), CATALOGUE.len());
    let row = rows.iter().find(|row| row["code"] == "source_credentials").unwrap();
    assert_eq!((row["status"].as_u64(), row["retryable"].as_bool()), (Some(502), Some(false)));
    assert_eq!(row["who"], "operator");
    gateway.stop().await;
}

#[tokio::test]
async fn sources_tells_what_each_offers_and_how_it_is() {
    let gateway = Gateway::start().await;
    let before = gateway.get("/v1/sources").await.ok();
    let [juzibot, tanma] = before["data"].as_array().unwrap().as_slice() else { panic!("{before}") };
    assert_eq!((&juzibot["name"], &juzibot["kind"]), (&json!("juzibot"), &json!("juzibot")));
    let operations = &juzibot["operations"];
    assert_eq!(operations["list_customers"]["paging"], "page");
    assert_eq!(operations["set_remarks"]["max_batch"], 50);
    assert_eq!(operations["add_follow_ups"]["max_batch"], 500);
    assert_eq!(tanma["operations"]["list_customers"]["paging"], "cursor");
    assert_eq!(tanma["operations"]["list_customers"]["requires"], json!(["staff_id"]));
    assert_eq!(tanma["operations"]["set_remarks"]["offered"], false);
    assert_eq!(tanma["codes"]["credentials"], json!(["1002", "1003"]));
    assert_eq!(juzibot["codes"]["credentials"], json!(["40001"]));
    let unused = json!({"state": "ok", "breaker": "closed", "last_success_at": null, "last_error": null});
    assert_eq!(juzibot["health"], unused);

    let fault = Effect::Status { status: 500, retry_after: None, body: String::new(), applied: false };
    gateway.sandbox.state().set_faults(vec![Rule::new(Source::Juzibot, fault)]).await.unwrap();
    gateway.get("/v1/customers?source=juzibot").await.problem(503, "source_unavailable");
    let health = gateway.get("/v1/sources").await.ok()["data"][0]["health"].clone();
    assert_eq!(health["state"], "degraded");
    assert_eq!(health["last_error"]["code"], "source_unavailable");
    gateway.stop().await;
}

#[tokio::test]
async fn a_source_offers_what_its_configuration_allows() {
    let gateway = Gateway::with(GatewayOptions {
        juzibot: "operations = [\"list_customers\"]".to_owned(),
        ..GatewayOptions::default()
    })
    .await;
    let sources = gateway.get("/v1/sources").await.ok();
    let offered = |operation: &str| sources["data"][0]["operations"][operation]["offered"].clone();
    assert_eq!(offered("list_customers"), Value::Bool(true));
    assert_eq!(offered("set_remarks"), Value::Bool(false));
    let body = json!({"items": [{"staff_id": "rocky", "union_id": "o", "remark": "r"}]});
    gateway.post("/v1/remarks", &body).await.problem(422, "not_offered");
    gateway.stop().await;
}
