//! What is sent to JuziBot.

use serde_json::{Value, json};
use wiremock::Request;
use wiremock::matchers::any;
use wiremock::{Mock, ResponseTemplate};

use super::{JUZIBOT, person};
use crate::support::{JUZIBOT_TOKEN, Stage, fixture};

/// The query, in the order sent.
fn query(call: &Request) -> Vec<(String, String)> {
    call.url.query_pairs().into_owned().collect()
}

/// The query with the token, which every call carries there, in front.
fn with_token(rest: &[(&str, &str)]) -> Vec<(String, String)> {
    let token = [("token", JUZIBOT_TOKEN)];
    let pairs = token.iter().chain(rest);
    pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_list_is_asked_with_token_page_and_size_and_a_staff_id_only_where_one_is_given() {
    let stage = Stage::answering(JUZIBOT, &JUZIBOT.ok(json!([]))).await;
    stage.list().await.ok();
    stage.gateway.get("/v1/customers?source=juzibot&limit=1000&staff_id=rocky").await.ok();
    let calls = stage.calls().await;
    assert_eq!(calls.len(), 2);
    for call in &calls {
        assert_eq!((call.method.as_str(), call.url.path()), ("GET", "/api/v1/customer/list"));
        assert_eq!(call.body, b"");
    }
    assert_eq!(query(&calls[0]), with_token(&[("current", "1"), ("pageSize", "100")]));
    assert_eq!(query(&calls[1]), with_token(&[("current", "1"), ("pageSize", "1000"), ("userId", "rocky")]));
}

#[tokio::test]
async fn the_next_page_is_asked_by_number_with_the_size_and_the_staff_id_of_the_first() {
    let stage = Stage::answering(JUZIBOT, &json!({})).await;
    stage.source.reset().await;
    // Two customers a page, up to the third.
    let page = |request: &wiremock::Request| {
        let number = request.url.query_pairs().find(|(name, _)| name == "current").unwrap().1.into_owned();
        let row = |row| person(&json!({"externalUserId": format!("wm-{number}-{row}")}));
        let rows = if number == "4" { json!([]) } else { json!([row(0), row(1)]) };
        ResponseTemplate::new(200).set_body_json(JUZIBOT.envelope(0, "ok", &json!({"data": rows, "total": 6})))
    };
    Mock::given(any()).respond_with(page).mount(&stage.source).await;
    let path = "/v1/customers?source=juzibot&staff_id=rocky&limit=2";
    let mut cursor = String::new();
    for _ in 0..3 {
        let body = stage.gateway.get(&format!("{path}{cursor}")).await.ok();
        assert_eq!(body["page"]["total"], 6);
        cursor = format!("&cursor={}", body["page"]["next_cursor"].as_str().unwrap());
    }
    let last = stage.gateway.get(&format!("{path}{cursor}")).await.ok();
    assert_eq!(last["page"]["next_cursor"], json!(null));
    let sent: Vec<_> = stage.calls().await.iter().map(query).collect();
    let page = |number| with_token(&[("current", number), ("pageSize", "2"), ("userId", "rocky")]);
    assert_eq!(sent, [page("1"), page("2"), page("3"), page("4")]);
}

#[tokio::test]
async fn a_detail_is_asked_by_the_id_that_the_caller_has_and_by_no_other() {
    let stage = Stage::answering(JUZIBOT, &JUZIBOT.ok(json!(null))).await;
    for path in [
        "/v1/customers/wm-one?source=juzibot",
        "/v1/customers/o-one?source=juzibot&id_type=union_id",
        "/v1/customers/a%2Bb%26c%3D%2525?source=juzibot&staff_id=rocky",
    ] {
        stage.gateway.get(path).await.problem(404, "not_found");
    }
    let calls = stage.calls().await;
    for call in &calls {
        assert_eq!((call.method.as_str(), call.url.path()), ("GET", "/api/v1/customer/detail"));
    }
    let sent: Vec<_> = calls.iter().map(query).collect();
    assert_eq!(
        sent,
        [
            with_token(&[("externalUserId", "wm-one")]),
            with_token(&[("unionId", "o-one")]),
            with_token(&[("externalUserId", "a+b&c=%25")]),
        ]
    );
}

#[tokio::test]
async fn paths_are_below_the_path_of_the_base_url() {
    let stage = Stage::answering(JUZIBOT, &JUZIBOT.ok(json!(null))).await;
    let gateway = JUZIBOT.gateway(&format!("{}/hub/", stage.source.uri()), "", "").await;
    gateway.get(JUZIBOT.detail_path()).await.problem(404, "not_found");
    assert_eq!(stage.call().await.url.path(), "/hub/api/v1/customer/detail");
}

/// The body that reached the source's path, for these items at the gateway's.
async fn written(path: &str, source_path: &str, items: Value) -> Value {
    let stage = Stage::answering(JUZIBOT, &JUZIBOT.envelope(0, "ok", &json!({}))).await;
    let body = stage.gateway.post(path, &json!({"items": items})).await.ok();
    let statuses: Vec<_> = body["data"]["results"].as_array().unwrap().iter().map(|r| &r["status"]).collect();
    assert_eq!(statuses, vec!["succeeded"; statuses.len()]);
    let call = stage.call().await;
    assert_eq!((call.method.as_str(), call.url.path()), ("POST", source_path));
    assert_eq!(query(&call), with_token(&[]));
    assert_eq!(call.headers["content-type"], "application/json");
    serde_json::from_slice(&call.body).unwrap()
}

async fn remarks_written(items: Value) -> Value {
    written("/v1/remarks", "/api/v1/customer/set_remark", items).await
}

async fn notes_written(items: Value) -> Value {
    written("/v1/follow-ups", "/api/v1/customer/add_follow", items).await
}

#[tokio::test]
async fn a_remark_is_sent_as_in_the_vendors_sample() {
    let items = json!([{
        "staff_id": "zhangsan",
        "union_id": "ozynqsulJFCZ2z1aYeS8h-nuasdAAA",
        "remark": "备注信息",
        "description": "描述信息",
    }]);
    assert_eq!(remarks_written(items).await, fixture("juzibot/set_remark.request.json"));
}

#[tokio::test]
async fn what_a_remark_leaves_out_is_left_out_and_what_it_empties_is_sent_empty() {
    let items = json!([
        {"staff_id": "a", "union_id": "o", "remark": "r"},
        {"staff_id": "b", "union_id": "o", "remark": "", "description": "d"},
        {"staff_id": "c", "union_id": "o", "description": "d"},
        {"staff_id": "d", "union_id": "o", "remark": "r", "description": ""},
    ]);
    let expected = json!({"remark_list": [
        {"userId": "a", "unionId": "o", "remark": "r"},
        {"userId": "b", "unionId": "o", "remark": "", "description": "d"},
        {"userId": "c", "unionId": "o", "description": "d"},
        {"userId": "d", "unionId": "o", "remark": "r", "description": ""},
    ]});
    assert_eq!(remarks_written(items).await, expected);
}

#[tokio::test]
async fn notes_for_one_staff_member_and_customer_are_sent_as_in_the_vendors_sample() {
    let customer = "ozynqsulJFCZ2z1aYeS8h-nuasdAAA";
    for occurred_at in ["2020-10-14T09:27:27Z", "2020-10-14T17:27:27+08:00", "2020-10-14T09:27:27.999Z"] {
        let items = json!([
            {"staff_id": "rocky", "union_id": customer, "content": "这是跟进记录1", "occurred_at": occurred_at},
            {"staff_id": "rocky", "union_id": customer, "content": "这是跟进记录2"},
        ]);
        assert_eq!(notes_written(items).await, fixture("juzibot/add_follow.request.json"), "{occurred_at}");
    }
}

#[tokio::test]
async fn notes_for_others_are_entries_of_their_own_in_the_order_of_the_items() {
    let items = json!([
        {"staff_id": "a", "union_id": "o", "content": "1"},
        {"staff_id": "b", "union_id": "o", "content": "2"},
        {"staff_id": "a", "union_id": "p", "content": "3"},
        {"staff_id": "a", "union_id": "o", "content": "4"},
    ]);
    let expected = json!({"follow_list": [
        {"userId": "a", "unionId": "o", "text": [{"content": "1"}, {"content": "4"}]},
        {"userId": "b", "unionId": "o", "text": [{"content": "2"}]},
        {"userId": "a", "unionId": "p", "text": [{"content": "3"}]},
    ]});
    assert_eq!(notes_written(items).await, expected);
}
