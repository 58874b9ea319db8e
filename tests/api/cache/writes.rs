//! Contract §6: after a write, nothing from before it is served.

use std::sync::Arc;

use scrm_gateway::sandbox::Endpoint::JuzibotDetail;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use serde_json::json;
use wiremock::matchers::{method, path as path_is};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{cache_status, in_juzibot, is_hit, remark, set_remark};
use crate::support::{Gateway, GatewayOptions};

#[tokio::test]
async fn a_record_from_before_a_write_does_not_stand_in_after_it() {
    let options = GatewayOptions {
        juzibot: "timeout = \"1s\"\nretry = { attempts = 1 }".to_owned(),
        ..GatewayOptions::default()
    };
    let gateway = Arc::new(Gateway::with(options).await);
    let state = gateway.sandbox.state().clone();
    let path = in_juzibot(&gateway);
    gateway.get(&path).await.ok();
    let silence = Rule::new(JuzibotDetail, Effect::NeverAnswer { applied: false });
    state.set_faults(vec![silence]).await.unwrap();
    let asked = tokio::spawn({
        let (gateway, path) = (gateway.clone(), path.clone());
        async move { gateway.get_with(&path, &[("cache-control", "no-cache")]).await }
    });
    gateway.asked(JuzibotDetail, 2).await;
    assert_eq!(set_remark(&gateway, "new").await, "succeeded");
    asked.await.unwrap().problem(504, "source_timeout");
    state.clear_faults().await;
    assert_eq!(remark(&gateway.get(&path).await.ok()), "new");
}

#[tokio::test]
async fn a_record_asked_by_union_id_is_dropped_though_its_source_does_not_tell_that_id() {
    let source = MockServer::start().await;
    let customer = json!({"errcode": 0, "data": {"externalUserId": "wm1", "name": "n"}});
    Mock::given(method("GET"))
        .and(path_is("/api/v1/customer/detail"))
        .respond_with(ResponseTemplate::new(200).set_body_json(customer))
        .expect(2)
        .mount(&source)
        .await;
    Mock::given(method("POST"))
        .and(path_is("/api/v1/customer/set_remark"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"errcode": 0})))
        .mount(&source)
        .await;
    let options = GatewayOptions { juzibot_url: Some(source.uri()), ..GatewayOptions::default() };
    let gateway = Gateway::with(options).await;
    let path = "/v1/customers/o1?id_type=union_id&source=juzibot";
    gateway.get(path).await.ok();
    gateway.get(path).await.ok();
    let body = json!({"items": [{"staff_id": "s", "union_id": "o1", "remark": "r"}]});
    gateway.post("/v1/remarks", &body).await.ok();
    let after = gateway.get(path).await;
    assert!(after.header("cache-status").contains("fwd=miss"), "{}", after.header("cache-status"));
    gateway.stop().await;
}

/// A source that leaves the union id out of its details, and shows it in its list alone.
#[tokio::test]
async fn record_without_union_id_is_dropped_by_what_a_list_has_shown() {
    let source = MockServer::start().await;
    let answer = |body| ResponseTemplate::new(200).set_body_json(body);
    let detail = json!({"errcode": 0, "data": {"externalUserId": "wm1", "name": "n"}});
    let row = json!({"externalUserId": "wm1", "unionId": "o1"});
    let list = json!({"errcode": 0, "data": [row], "total": 1});
    for (verb, path, body) in [
        ("GET", "/api/v1/customer/detail", detail),
        ("GET", "/api/v1/customer/list", list),
        ("POST", "/api/v1/customer/set_remark", json!({"errcode": 0})),
    ] {
        Mock::given(method(verb)).and(path_is(path)).respond_with(answer(body)).mount(&source).await;
    }
    for form in ["application/json", "application/x-ndjson"] {
        let options = GatewayOptions { juzibot_url: Some(source.uri()), ..GatewayOptions::default() };
        let gateway = Gateway::with(options).await;
        let path = "/v1/customers/wm1?source=juzibot";
        let write = json!({"items": [{"staff_id": "s", "union_id": "o1", "remark": "r"}]});
        gateway.get(path).await.ok();
        gateway.post("/v1/remarks", &write).await.ok();
        is_hit(&gateway.get(path).await, "juzibot");
        let listed = gateway.get_with("/v1/customers?source=juzibot", &[("accept", form)]).await;
        assert!(listed.body.contains("o1"), "{}", listed.body);
        let after = gateway.get(path).await;
        assert_eq!(cache_status(&after, "juzibot"), ["fwd=miss", "stored"], "{form}: it is from before the write");
        gateway.post("/v1/remarks", &write).await.ok();
        let after = gateway.get(path).await;
        assert_eq!(cache_status(&after, "juzibot"), ["fwd=miss", "stored"], "{form}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn write_drops_the_records_of_all_sources() {
    let gateway = Gateway::start().await;
    let path = super::path(&gateway);
    gateway.get(&path).await.ok();
    for source in ["juzibot", "tanma"] {
        is_hit(&gateway.get(&path).await, source);
    }
    assert_eq!(set_remark(&gateway, "new").await, "succeeded");
    let after = gateway.get(&path).await;
    for source in ["juzibot", "tanma"] {
        assert_eq!(cache_status(&after, source), ["fwd=miss", "stored"]);
    }
    gateway.stop().await;
}
