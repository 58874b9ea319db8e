//! Codes whose meaning depends on the operation.

use serde_json::{Value, json};

use super::{Damaged, JUZIBOT, case};

const REMARKS: &str = "/v1/remarks?source=juzibot";
const FOLLOW_UPS: &str = "/v1/follow-ups?source=juzibot";

fn remark() -> Value {
    json!({"items": [{"staff_id": "rocky", "union_id": "o1", "remark": "张总"}]})
}

fn note() -> Value {
    json!({"items": [{"staff_id": "rocky", "union_id": "o1", "content": "called"}]})
}

#[tokio::test]
async fn system_busy_is_retryable_but_for_remarks() {
    let stage = Damaged::answering(JUZIBOT, case("juzibot-system-busy.json")).await;
    let problem = stage.list().await.problem(503, "source_unavailable");
    assert_eq!((&problem["retryable"], &problem["upstream"]["code"]), (&json!(true), &json!("-1")));
    assert_eq!(stage.calls().await, 2, "a read is retried");
    stage.detail("wm1").await.problem(503, "source_unavailable");
    let item = stage.gateway.post(FOLLOW_UPS, &note()).await.ok()["data"]["results"][0].clone();
    assert_eq!((&item["status"], &item["problem"]["code"]), (&json!("unconfirmed"), &json!("source_unavailable")));
    stage.gateway.post(REMARKS, &remark()).await.problem(422, "validation_failed");
}

#[tokio::test]
async fn description_too_long_is_invalid_for_remarks_only() {
    let stage = Damaged::answering(JUZIBOT, JUZIBOT.envelope(-2, "too long", &json!({})).to_string()).await;
    stage.gateway.post(REMARKS, &remark()).await.problem(422, "validation_failed");
    stage.list().await.problem(502, "source_rejected");
}

#[tokio::test]
async fn configured_code_is_limited_to_its_operation() {
    let busy = JUZIBOT.envelope(45_009, "limit", &json!({})).to_string();
    let stage = Damaged::answering(JUZIBOT, busy.clone()).await;
    stage.list().await.problem(502, "source_rejected");
    let source = &stage.source;
    let codes = "rate_limited = [45009]\nlist_customers = { retryable = [\"45009\"] }\nset_remarks = { invalid = [7] }";
    let gateway = JUZIBOT.gateway(&source.uri(), "", codes).await;
    gateway.get(JUZIBOT.list_path()).await.problem(503, "source_unavailable");
    gateway.get(JUZIBOT.detail_path()).await.problem(503, "source_rate_limited");
    let info = gateway.get("/v1/sources").await.ok()["data"][0].clone();
    assert_eq!(info["codes"]["rate_limited"], json!(["45009"]));
    assert_eq!(info["codes"]["retryable"], json!(["-1"]));
    assert_eq!(info["operations"]["list_customers"]["codes"], json!({"retryable": ["45009"]}));
    assert_eq!(info["operations"]["set_remarks"]["codes"], json!({"invalid": ["-1", "-2", "7"]}));
    assert_eq!(info["operations"]["get_by_union_id"]["codes"], json!({}));
}
