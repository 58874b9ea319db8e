//! What is wrong with a body is told whole, each fault with its place, and nothing is sent.

use std::collections::BTreeSet;

use scrm_gateway::sandbox::Endpoint;
use serde_json::{Value, json};

use super::{gateway, remarks};
use crate::support::{Gateway, Reply};

/// The faults of a 422: place and word.
#[track_caller]
fn faults(reply: &Reply) -> BTreeSet<(String, String)> {
    let problem = reply.problem(422, "validation_failed");
    let errors = problem["errors"].as_array().unwrap();
    let faults: BTreeSet<_> = errors
        .iter()
        .map(|error| {
            assert!(error["parameter"].is_null(), "{error}");
            assert!(!error["detail"].as_str().unwrap().is_empty());
            let text = |key: &str| error[key].as_str().unwrap().to_owned();
            (text("pointer"), text("code"))
        })
        .collect();
    assert_eq!(faults.len(), errors.len(), "no fault is told twice: {errors:?}");
    assert_eq!(problem["retryable"], false);
    faults
}

fn set_of(expected: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    expected.iter().map(|(pointer, code)| ((*pointer).to_owned(), (*code).to_owned())).collect()
}

async fn post_text(gateway: &Gateway, path: &str, text: &str) -> Reply {
    let headers = [("content-type", "application/json")];
    gateway.send(reqwest::Method::POST, path, &headers, Some(text.as_bytes().to_vec())).await
}

fn nothing_was_sent(gateway: &Gateway) {
    assert_eq!(gateway.calls_to(Endpoint::JuzibotSetRemark), 0);
    assert_eq!(gateway.calls_to(Endpoint::JuzibotAddFollow), 0);
}

#[tokio::test]
async fn all_faults_of_a_remark_batch_are_told_at_once() {
    let gateway = gateway().await;
    let good = remarks(&gateway, 1).remove(0);
    let body = json!({
        "items": [
            good,
            {"union_id": "o1", "remark": "x"},
            {"staff_id": "s", "union_id": "o2"},
            {"staff_id": "s", "union_id": "o3", "remark": "", "description": ""},
            {"staff_id": 7, "union_id": "o4", "remark": 8, "description": null},
            {"staff_id": "", "union_id": "with space", "remark": "x"},
            {"staff_id": "s", "union_id": "o".repeat(129), "remark": "字".repeat(21), "description": "字".repeat(151)},
            {"staff_id": "s", "union_id": "o7", "remark": "bell\u{7}", "description": "nul\u{0}"},
            {"staff_id": "s", "union_id": "o8", "remark": "x", "colour": "red", "a/b~c": 1},
            {"staff_id": "s", "union_id": "o9", "remark": "x"},
            {"staff_id": "s", "union_id": "o9", "description": "x"},
            "no object",
            null,
        ],
        "source": "juzibot",
    });
    let reply = gateway.post("/v1/remarks", &body).await;
    let expected = [
        ("/source", "unknown"),
        ("/items/1/staff_id", "missing"),
        ("/items/2", "missing"),
        ("/items/3", "missing"),
        ("/items/4/staff_id", "wrong_type"),
        ("/items/4/remark", "wrong_type"),
        ("/items/4/description", "wrong_type"),
        ("/items/5/staff_id", "empty"),
        ("/items/5/union_id", "malformed"),
        ("/items/6/union_id", "too_long"),
        ("/items/6/remark", "too_long"),
        ("/items/6/description", "too_long"),
        ("/items/7/remark", "malformed"),
        ("/items/7/description", "malformed"),
        ("/items/8/colour", "unknown"),
        ("/items/8/a~1b~0c", "unknown"),
        ("/items/10", "duplicate"),
        ("/items/11", "wrong_type"),
        ("/items/12", "wrong_type"),
    ];
    assert_eq!(faults(&reply), set_of(&expected));
    nothing_was_sent(&gateway);
    gateway.stop().await;
}

#[tokio::test]
async fn all_faults_of_a_follow_up_batch_are_told_at_once() {
    let gateway = gateway().await;
    let good = json!({"staff_id": "s", "union_id": "o", "content": "fine", "occurred_at": "2026-11-22T13:00:00+08:00"});
    let timed = |time: Value| json!({"staff_id": "s", "union_id": "o", "content": "x", "occurred_at": time});
    let body = json!({"items": [
        good,
        good,
        {"staff_id": "s", "union_id": "o"},
        {"staff_id": "s", "union_id": "o", "content": ""},
        {"staff_id": "s", "union_id": "o", "content": "escape\u{1b}[2J"},
        {"staff_id": "s", "union_id": "o", "content": ["x"], "remark": "x"},
        timed(json!("yesterday")),
        timed(json!("2026-11-22")),
        timed(json!("2026-11-22T13:00:00")),
        timed(json!("2026-02-30T13:00:00Z")),
        timed(json!("2026-11-22T13:00:00+08:00[Asia/Shanghai]")),
        timed(json!("2026-11-22T13Z")),
        timed(json!(1_795_352_400)),
        timed(Value::Null),
        timed(json!("")),
        {"staff_id": "s", "union_id": "o", "content": "字".repeat(10_001)},
        {"staff_id": "s", "union_id": "o", "content": "字".repeat(10_000)},
    ]});
    let reply = gateway.post("/v1/follow-ups", &body).await;
    let expected = [
        ("/items/2/content", "missing"),
        ("/items/3/content", "empty"),
        ("/items/4/content", "malformed"),
        ("/items/5/content", "wrong_type"),
        ("/items/5/remark", "unknown"),
        ("/items/6/occurred_at", "malformed"),
        ("/items/7/occurred_at", "malformed"),
        ("/items/8/occurred_at", "malformed"),
        ("/items/9/occurred_at", "malformed"),
        ("/items/10/occurred_at", "malformed"),
        ("/items/11/occurred_at", "malformed"),
        ("/items/12/occurred_at", "wrong_type"),
        ("/items/13/occurred_at", "wrong_type"),
        ("/items/14/occurred_at", "malformed"),
        ("/items/15/content", "too_long"),
    ];
    assert_eq!(faults(&reply), set_of(&expected));
    nothing_was_sent(&gateway);
    gateway.stop().await;
}

#[tokio::test]
async fn keys_that_are_there_twice_are_told_by_their_place() {
    let gateway = gateway().await;
    let text = r#"{"items": [{"staff_id": "a", "staff_id": "b", "union_id": "o", "remark": "x"}], "items": [
        {"staff_id": "a", "union_id": "o", "remark": "x", "remark": "y"}]}"#;
    let reply = post_text(&gateway, "/v1/remarks", text).await;
    let faults = faults(&reply);
    for place in ["/items", "/items/0/staff_id", "/items/0/remark"] {
        assert!(faults.contains(&(place.to_owned(), "duplicate".to_owned())), "{place}: {faults:?}");
    }
    nothing_was_sent(&gateway);
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_of_any_length_is_an_unknown_one_and_what_is_too_much_to_read_is_called_so() {
    let gateway = gateway().await;
    let item = |member: &str| {
        format!(r#"{{"items": [{{"staff_id": "a", "union_id": "o", "remark": "x", "content": "x", {member}}}]}}"#)
    };
    for path in ["/v1/remarks", "/v1/follow-ups"] {
        for length in [51, 300, 1_000_000] {
            let reply = post_text(&gateway, path, &item(&format!("\"{}\": 1", "k".repeat(length)))).await;
            let cut = format!("/items/0/{}…", "k".repeat(50));
            assert!(faults(&reply).contains(&(cut, "unknown".to_owned())), "{length}: {}", reply.body);
        }
        for (member, detail) in [
            (format!("\"x\": {}{}", "[".repeat(200), "]".repeat(200)), "has more than 127 levels of lists and objects"),
            ("\"x\": 1e400".to_owned(), "holds a number that is too large"),
            ("\"x\": 1e".to_owned(), "is no JSON"),
        ] {
            let reply = post_text(&gateway, path, &item(&member)).await;
            let problem = reply.problem(400, "invalid_request");
            let detail = format!("the body {detail}, at line 1, column ");
            assert!(problem["detail"].as_str().unwrap().starts_with(&detail), "{problem}");
        }
    }
    nothing_was_sent(&gateway);
    gateway.stop().await;
}

/// An object with these members before an empty list of items.
fn members(members: impl Iterator<Item = String>) -> String {
    let members: Vec<String> = members.map(|name| format!("\"{name}\": 1, ")).collect();
    format!("{{{}\"items\": []}}", members.concat())
}

#[tokio::test]
async fn of_many_keys_that_are_unknown_or_repeated_no_more_are_told_than_an_answer_should_hold() {
    let gateway = gateway().await;
    let repeated = |times| members(std::iter::repeat_n("a".to_owned(), times));
    let unknown = |keys| members((0..keys).map(|n| format!("k{n}")));
    for (text, expected) in [
        (repeated(900), 900),
        // One of them is unknown, and a thousand are told again.
        (repeated(19_000), 1_001),
        (unknown(9_000), 9_001),
        (unknown(19_000), 10_000),
    ] {
        let reply = post_text(&gateway, "/v1/remarks", &text).await;
        let told = reply.problem(422, "validation_failed")["errors"].as_array().unwrap().len();
        assert!((expected - 1..=expected + 1).contains(&told), "{told} for {expected}");
    }
    // So many are not read to their end.
    for text in [repeated(20_000), repeated(1_000_000), unknown(200_000)] {
        let reply = post_text(&gateway, "/v1/remarks", &text).await;
        let problem = reply.problem(413, "payload_too_large");
        assert_eq!(problem["detail"], "the body holds more than 20000 values");
        assert_eq!(problem["errors"], json!([]));
    }
    nothing_was_sent(&gateway);
    gateway.stop().await;
}

#[tokio::test]
async fn the_largest_batch_is_read_whole_and_so_are_all_of_its_faults() {
    let gateway = gateway().await;
    let items = |item: &dyn Fn(usize) -> Value| json!({"items": (0..1_000).map(item).collect::<Vec<_>>()});
    let (id, long) = ("i".repeat(128), "字".repeat(150));
    let remark =
        |n: usize| json!({"staff_id": id, "union_id": format!("o{n}"), "remark": "字".repeat(20), "description": long});
    let note = |n: usize| json!({"staff_id": id, "union_id": format!("o{n}"), "content": "字".repeat(2_000), "occurred_at": "2026-11-22T13:00:00+08:00"});
    for (path, body) in [("/v1/remarks", items(&remark)), ("/v1/follow-ups", items(&note))] {
        let answer = gateway.post(path, &body).await.ok();
        // The source knows none of them.
        assert_eq!(answer["data"]["summary"]["failed"], 1_000, "{path}");
    }
    // Each of its fields is wrong, and there are others as well.
    let wrong =
        |_| json!({"staff_id": 1, "union_id": [2], "remark": {"a": 3}, "description": null, "x": 5, "y": [6, 7]});
    let reply = gateway.post("/v1/remarks", &items(&wrong)).await;
    assert_eq!(faults(&reply).len(), 6_000);
    gateway.stop().await;
}

#[tokio::test]
async fn a_batch_holds_one_to_a_thousand_items() {
    let gateway = gateway().await;
    for path in ["/v1/remarks", "/v1/follow-ups"] {
        let item = json!({"staff_id": "s", "union_id": "o", "remark": "x"});
        for (body, expected) in [
            (json!({"items": []}), ("/items", "empty")),
            (json!({"items": vec![item; 1_001]}), ("/items", "too_many")),
            (json!({"items": {}}), ("/items", "wrong_type")),
            (json!({"items": null}), ("/items", "wrong_type")),
            (json!({}), ("/items", "missing")),
            (json!([]), ("", "wrong_type")),
            (json!("items"), ("", "wrong_type")),
            (json!(null), ("", "wrong_type")),
        ] {
            let reply = gateway.post(path, &body).await;
            assert_eq!(faults(&reply), set_of(&[expected]), "{path}");
        }
    }
    nothing_was_sent(&gateway);
    gateway.stop().await;
}

#[tokio::test]
async fn the_same_customer_may_be_remarked_by_two_staff_members() {
    let gateway = gateway().await;
    let items = json!({"items": [
        {"staff_id": "a", "union_id": "o", "remark": "x"},
        {"staff_id": "b", "union_id": "o", "remark": "x"},
        {"staff_id": "a", "union_id": "p", "remark": "x"},
    ]});
    let body = gateway.post("/v1/remarks", &items).await.ok();
    assert_eq!(body["data"]["summary"]["failed"], 3, "the source knows none of them");
    gateway.stop().await;
}
