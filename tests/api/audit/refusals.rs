//! What was refused before it came to a source, and the trail of a process whose log says nothing.

use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};

use super::{ask, known_to_both, post, trail};
use crate::cli::{Running, addresses, command, folder_for, http, sandbox};
use crate::support::{Gateway, GatewayOptions, JWT_SECRET, Token};

const READ_ONLY: &str = "customers:read";

#[tokio::test]
async fn a_refused_write_is_told_with_its_code_and_without_a_source() {
    let gateway = Gateway::start().await;
    let union_id = known_to_both(&gateway).union_id;
    let good = json!({"items": [{"staff_id": "rocky", "union_id": union_id, "remark": "said"}]}).to_string();
    let bad = json!({"items": [{"staff_id": "rocky", "union_id": union_id, "remark": "x".repeat(21)}]}).to_string();
    let path = "/v1/remarks?source=juzibot";
    for (id, claims, path, body, status, code) in [
        ("audited-scope", json!({"scope": READ_ONLY}), path, &good, 403, "forbidden"),
        ("audited-invalid", json!({}), path, &bad, 422, "validation_failed"),
        ("audited-no-json", json!({}), path, &"{".to_owned(), 400, "invalid_request"),
        ("audited-source", json!({"sources": ["tanma"]}), path, &good, 400, "invalid_request"),
        ("audited-offer", json!({}), "/v1/remarks?source=tanma", &good, 422, "not_offered"),
        ("audited-query", json!({}), "/v1/remarks?sauce=juzibot", &good, 400, "invalid_request"),
    ] {
        post(&gateway, id, &claims, path, body, &[]).await.problem(status, code);
        assert_eq!(trail(id), [json!({"operation": "set_remarks", "outcome": code})], "{id}");
    }
    let key = [("idempotency-key", "short")];
    post(&gateway, "audited-key", &json!({}), path, &good, &key).await.problem(400, "invalid_request");
    assert_eq!(trail("audited-key").len(), 1);
    // A GET writes nothing.
    ask(&gateway, "audited-method", &json!({}), path).await.problem(405, "method_not_allowed");
    assert_eq!(trail("audited-method"), [] as [Value; 0]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_batch_that_its_callers_quota_refuses_is_told() {
    let plenty = "{ requests = 6000000, window = \"1m\", burst = 1000000 }";
    let gateway = Gateway::with(GatewayOptions {
        rate_limit: format!("default = {{ requests = 3, window = \"1h\", burst = 3 }}\nper_address = {plenty}"),
        ..GatewayOptions::default()
    })
    .await;
    let item = |n: usize| json!({"staff_id": "rocky", "union_id": format!("oz{n}"), "remark": "said"});
    let body = json!({"items": (0..150).map(item).collect::<Vec<_>>()}).to_string();
    ask(&gateway, "audited-one", &json!({}), "/v1/me").await.ok();
    post(&gateway, "audited-quota", &json!({}), "/v1/remarks?source=juzibot", &body, &[])
        .await
        .problem(429, "rate_limited");
    assert_eq!(trail("audited-quota"), [json!({"operation": "set_remarks", "outcome": "rate_limited"})]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_refused_raw_read_is_told() {
    let gateway = Gateway::start().await;
    let plain = json!({"scope": READ_ONLY});
    for (id, claims, path, code, operation) in [
        ("audited-raw-1", &plain, "/v1/customers?source=juzibot&include=raw", "forbidden", "list_customers"),
        ("audited-raw-2", &plain, "/v1/customers/x?include=raw", "forbidden", "get_by_external_user_id"),
        ("audited-raw-3", &plain, "/v1/customers/x?include=%72aw&id_type=union_id", "forbidden", "get_by_union_id"),
        ("audited-raw-4", &json!({}), "/v1/customers?include=raw&source=hidden", "invalid_request", "list_customers"),
        (
            "audited-raw-5",
            &json!({}),
            "/v1/customers?include=raw&source=juzibot&cursor=x",
            "cursor_invalid",
            "list_customers",
        ),
        (
            "audited-raw-6",
            &json!({"sources": []}),
            "/v1/customers/x?include=raw",
            "not_offered",
            "get_by_external_user_id",
        ),
        ("audited-raw-7", &json!({}), "/v1/customers?include=raw&include=raw", "invalid_request", "list_customers"),
    ] {
        let reply = ask(&gateway, id, claims, path).await;
        assert_eq!(reply.json()["code"], code, "{id}");
        assert_eq!(trail(id), [json!({"operation": operation, "outcome": code})], "{id}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_trail_is_written_whatever_the_level_of_the_log() {
    let sandbox = sandbox().await;
    let union_id = sandbox.state().people().featured().union_id;
    for level in ["error", "off", "off,audit=off"] {
        let (folder, config) = folder_for(&sandbox);
        // How else would one know where it listens?
        let level = format!("{level},scrm_gateway::app=info");
        let mut serve = command(folder.path(), &["serve", "--config", config.to_str().unwrap()]);
        serve.env("SCRM_GATEWAY__LOG__LEVEL", &level).stderr(Stdio::null());
        let mut gateway = Running::start(serve);
        let (url, _) = addresses(&mut gateway).await;
        let token = Token { secret: JWT_SECRET.to_owned(), ..Token::default() }.bearer();
        let body = json!({"items": [{"staff_id": "rocky", "union_id": union_id, "remark": "said"}]});
        let write = http().request(Method::POST, format!("{url}/v1/remarks?source=juzibot"));
        let reply = write.header("authorization", token).json(&body).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        let line = gateway
            .line(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                (line["target"] == "audit").then_some(line)
            })
            .await;
        assert_eq!((&line["operation"], &line["succeeded"]), (&json!("set_remarks"), &json!(1)), "{level}");
        gateway.terminate().await;
        gateway.ended().await;
    }
    sandbox.stop().await;
}
