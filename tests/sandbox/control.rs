//! The control endpoint, as another process uses it.

use reqwest::{Method, StatusCode};
use scrm_gateway::sandbox::{Endpoint, Sandbox};
use serde_json::{Value, json};

use crate::clients::{APP_KEY, LIST, Signed, body, http, juzibot_get, remark, small};

async fn control(sandbox: &Sandbox, method: Method, path: &str, request: &str) -> reqwest::Response {
    let url = format!("{}{path}", sandbox.control_url());
    http().request(method, url).body(request.to_owned()).send().await.expect("an answer")
}

async fn get(sandbox: &Sandbox, path: &str) -> Value {
    body(control(sandbox, Method::GET, path, "").await).await
}

async fn list_code(sandbox: &Sandbox) -> Value {
    juzibot_get(sandbox, "list", "current=1&pageSize=1").await["errcode"].clone()
}

#[tokio::test]
async fn calls_are_counted_and_reset() {
    let sandbox = small().await;
    list_code(&sandbox).await;
    list_code(&sandbox).await;
    let calls = get(&sandbox, "/calls").await;
    assert_eq!(calls["juzibot.list"], 2);
    assert_eq!(calls.as_object().unwrap().len(), Endpoint::ALL.len());
    assert_eq!(control(&sandbox, Method::DELETE, "/calls", "").await.status(), StatusCode::NO_CONTENT);
    assert_eq!(get(&sandbox, "/calls").await["juzibot.list"], 0);
}

#[tokio::test]
async fn a_script_of_faults_is_put_told_and_removed() {
    let sandbox = small().await;
    let script = json!([
        {"target": "juzibot.list", "when": {"first": 1}, "effect": {"code": {"code": 45_009, "message": "api freq out of limit"}}},
        {"target": "tanma", "after": 3, "when": {"window": {"from": "1s", "lasts": "2s"}}, "effect": "refuse_connections"},
        {"effect": {"delay": {"min": "1ms", "max": "2ms"}}},
    ]);
    assert_eq!(control(&sandbox, Method::PUT, "/faults", &script.to_string()).await.status(), StatusCode::NO_CONTENT);
    let told = get(&sandbox, "/faults").await;
    assert_eq!(told[0]["effect"]["code"]["code"], 45_009);
    assert_eq!(told[1]["when"], json!({"window": {"from": "1s", "lasts": "2s"}}));
    assert_eq!((&told[2]["target"], &told[2]["when"]), (&json!("all"), &json!("always")));
    assert_eq!(control(&sandbox, Method::PUT, "/faults", &told.to_string()).await.status(), StatusCode::NO_CONTENT);
    assert_eq!((list_code(&sandbox).await, list_code(&sandbox).await), (json!(45_009), json!(0)));
    assert_eq!(control(&sandbox, Method::DELETE, "/faults", "").await.status(), StatusCode::NO_CONTENT);
    assert_eq!(get(&sandbox, "/faults").await, json!([]));
}

#[tokio::test]
async fn faults_that_make_no_sense_are_refused_with_a_plain_reason_and_change_nothing() {
    let sandbox = small().await;
    let good = r#"[{"effect": {"reset": {}}}]"#;
    control(&sandbox, Method::PUT, "/faults", good).await;
    for (rule, reason) in [
        (json!({"target": "juzibot.lists", "effect": "duplicate_page"}), "no endpoint; there are juzibot.list"),
        (json!({"target": "tanma", "effect": "duplicate_page"}), "makes no sense at this target"),
        (json!({"target": "tanma.qw_details", "effect": "refuse_connections"}), "by a source"),
        (json!({"when": {"first": 3}, "effect": "refuse_connections"}), "cannot be counted"),
        (json!({"when": {"rate": 1.5}, "effect": "duplicate_page"}), "rate must be from 0 to 1"),
        (json!({"when": {"every": 0}, "effect": "duplicate_page"}), "at least 1"),
        (json!({"effect": {"status": {"status": 99}}}), "from 200 to 599"),
        (json!({"effect": {"delay": {"min": "2s", "max": "1s"}}}), "max is less than min"),
        (json!({"effect": {"delay": {"min": "2s", "mox": "3s"}}}), "mox"),
        (json!({"effect": "explode"}), "explode"),
        (json!({"efect": "duplicate_page"}), "efect"),
    ] {
        let answer = control(&sandbox, Method::PUT, "/faults", &json!([rule]).to_string()).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let text = answer.text().await.unwrap();
        assert!(text.contains(reason), "{text}");
    }
    assert_eq!(get(&sandbox, "/faults").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn customers_are_inserted_secrets_revoked_and_clocks_moved() {
    let sandbox = small().await;
    let before = sandbox.state().people().juzibot_total(None);
    let answer = body(control(&sandbox, Method::POST, "/customers?n=5", "").await).await;
    assert_eq!((answer, sandbox.state().people().juzibot_total(None)), (json!({"customers": 65}), before + 5));

    let revoke = |revoked: bool| json!({"source": "juzibot", "revoked": revoked}).to_string();
    control(&sandbox, Method::POST, "/token", &revoke(true)).await;
    assert_eq!(list_code(&sandbox).await, 40_001);
    control(&sandbox, Method::POST, "/token", &revoke(false)).await;
    assert_eq!(list_code(&sandbox).await, 0);

    let clock = r#"{"source": "tanma", "offset_ms": -600000}"#;
    assert_eq!(control(&sandbox, Method::POST, "/clock", clock).await.status(), StatusCode::NO_CONTENT);
    let signed = Signed::new(LIST, &json!({"qwUserId": "rocky", "size": 1}));
    assert_eq!(signed.code(&sandbox).await, 1_003);
}

#[tokio::test]
async fn it_tells_ids_to_try_and_what_was_applied() {
    let sandbox = small().await;
    let featured = get(&sandbox, "/people/featured").await;
    let union_id = featured["union_id"].as_str().unwrap();
    assert_eq!(featured["juzibot_staff"], json!(["rocky", "zhangsan", "lisi"]));
    assert_eq!(remark(&sandbox, "lisi", union_id, "好").await["errcode"], 0);
    let item = json!({"staff_id": "lisi", "union_id": union_id, "remark": "好", "description": null});
    assert_eq!(get(&sandbox, "/applied").await, json!({"remarks": [item], "follow_ups": []}));
}

#[tokio::test]
async fn what_it_does_not_know_is_a_4xx() {
    let sandbox = small().await;
    for (method, path, request, status) in [
        (Method::GET, "/", "", StatusCode::NOT_FOUND),
        (Method::POST, "/calls", "", StatusCode::METHOD_NOT_ALLOWED),
        (Method::POST, "/customers", "", StatusCode::BAD_REQUEST),
        (Method::POST, "/customers?n=-1", "", StatusCode::BAD_REQUEST),
        (Method::POST, "/token", r#"{"source": "wecom", "revoked": true}"#, StatusCode::BAD_REQUEST),
        (Method::POST, "/clock", r#"{"source": "tanma", "offset_ms": 9223372036854775807}"#, StatusCode::BAD_REQUEST),
        (Method::PUT, "/faults", "nonsense", StatusCode::BAD_REQUEST),
    ] {
        let answer = control(&sandbox, method, path, request).await;
        assert_eq!(answer.status(), status, "{path}");
        assert!(!answer.text().await.unwrap().contains(APP_KEY));
    }
}
