//! An answer about another customer is never shown, merged or cached (contract §3, identity).

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{Damaged, JUZIBOT, TANMA, case, warnings};
use crate::support::people::everyone;
use crate::support::{Gateway, GatewayOptions, Vendor};

fn person(external_user_id: impl Into<Value>, union_id: impl Into<Value>) -> Value {
    json!({"externalUserId": external_user_id.into(), "unionId": union_id.into(), "name": "n", "wechatNickname": "n",
           "followUser": [{"userId": "a"}], "qwUserId": "a"})
}

async fn answering(vendor: Vendor, keys: &str, data: Value) -> Damaged {
    Damaged::with(vendor, keys, vendor.ok(data).to_string()).await
}

#[tokio::test]
async fn answer_about_another_customer_is_bad_data_and_not_cached() {
    let another = [
        (JUZIBOT, "wm1", person(json!("wm2"), json!("o1"))),
        (JUZIBOT, "o1?id_type=union_id", person(json!("wm1"), json!("o2"))),
        (JUZIBOT, "wm1", person(json!(null), json!(null))),
        (JUZIBOT, "wm1", json!({"name": "n"})),
        (TANMA, "wm1", json!([person(json!("wm2"), json!(null))])),
        (TANMA, "wm1", json!([person(json!(""), json!(null))])),
        // Of several people none is the one who was asked for.
        (TANMA, "wm1", json!([person(json!("wm2"), json!("o2")), person(json!(null), json!("o2"))])),
    ];
    for (vendor, id, data) in another {
        let stage = answering(vendor, "", data.clone()).await;
        let separator = if id.contains('?') { '&' } else { '?' };
        let path = format!("/v1/customers/{id}{separator}source={}", vendor.name());
        for calls in 1..=2 {
            let problem = stage.gateway.get(&path).await.problem(502, "source_bad_data");
            assert_eq!(problem["retryable"], false, "{data}");
            assert_eq!(stage.calls().await, calls, "neither retried nor cached: {data}");
        }
    }
}

#[tokio::test]
async fn answer_with_only_another_kind_of_id_is_accepted() {
    for (vendor, id, data) in [
        (JUZIBOT, "wm1", person(json!(null), json!("o1"))),
        (JUZIBOT, "o1?id_type=union_id", person(json!("wm1"), json!(""))),
        (TANMA, "wm1", json!([person(json!(null), json!("o1"))])),
    ] {
        let stage = answering(vendor, "", data.clone()).await;
        let separator = if id.contains('?') { '&' } else { '?' };
        let answer = stage.gateway.get(&format!("/v1/customers/{id}{separator}source={}", vendor.name())).await.ok();
        assert_eq!((&answer["data"]["name"], warnings(&answer)), (&json!("n"), Vec::new()), "{data}");
    }
}

#[tokio::test]
async fn rows_of_others_are_ignored_with_warning() {
    let stage = Damaged::answering(TANMA, case("tanma-detail-two-people.json")).await;
    for (id, name, mobile, staff) in [("wmX", "庚", "13800000001", "a"), ("wmY", "辛", "13800000002", "b")] {
        let answer = stage.gateway.get(&format!("/v1/customers/{id}?source=tanma&include=raw")).await.ok();
        let customer = &answer["data"];
        assert_eq!((&customer["external_user_id"], &customer["name"]), (&json!(id), &json!(name)));
        assert_eq!(customer["mobiles"], json!([mobile]));
        assert_eq!(customer["relations"].as_array().unwrap().len(), 1);
        assert_eq!(customer["relations"][0]["staff_id"], staff);
        let raw = customer["records"][0]["raw"].as_array().unwrap();
        assert_eq!((raw.len(), &raw[0]["externalUserId"]), (1, &json!(id)), "the raw form is theirs alone");
        assert_eq!(warnings(&answer), [("identity_mismatch".to_owned(), None)]);
    }
    stage.detail("wmZ").await.problem(502, "source_bad_data");
}

#[tokio::test]
async fn unreadable_row_of_a_detail_is_skipped_with_warning() {
    let stage = answering(TANMA, "", json!([5, person("wm1", json!(null)), {"qwUserId": "b"}])).await;
    let answer = stage.detail("wm1").await.ok();
    assert_eq!(answer["data"]["relations"].as_array().unwrap().len(), 1);
    assert_eq!(warnings(&answer), [("skipped_row".to_owned(), None), ("skipped_row".to_owned(), None)]);
}

/// A row of Tanma's detail with this staff member and mobile.
fn row(external_user_id: Option<&str>, union_id: Option<&str>, staff: &str) -> Value {
    json!({"externalUserId": external_user_id, "unionId": union_id, "qwUserId": staff, "mobiles": [staff]})
}

/// The staff members of the rows that are used of an answer about `wm1`, or the problem; in every order of the rows.
async fn used(stage: &Damaged, rows: &[Value]) -> Vec<Result<Vec<String>, String>> {
    let mut results = Vec::new();
    for turn in 0..rows.len() {
        let mut rows = rows.to_vec();
        rows.rotate_left(turn);
        stage.now_answer(TANMA.ok(rows).to_string()).await;
        let reply = stage.gateway.get_with("/v1/customers/wm1?source=tanma", &[("cache-control", "no-cache")]).await;
        let body = reply.json();
        results.push(match body["code"].as_str() {
            Some(code) => Err(code.to_owned()),
            None => {
                let relations = body["data"]["relations"].as_array().unwrap().iter();
                let mut staff: Vec<_> = relations.map(|one| one["staff_id"].as_str().unwrap().to_owned()).collect();
                staff.sort();
                Ok(staff)
            }
        });
    }
    results
}

#[tokio::test]
async fn rows_are_selected_whatever_their_order() {
    let stage = answering(TANMA, "", json!([])).await;
    let asked = |union_id, staff| row(Some("wm1"), union_id, staff);
    let anonymous = |union_id, staff| row(None, Some(union_id), staff);
    let ok = |staff: &[&str]| Ok(staff.iter().map(|staff| (*staff).to_owned()).collect::<Vec<_>>());
    let bad = || Err("source_bad_data".to_owned());
    for (rows, expected) in [
        (vec![asked(None, "a"), anonymous("u2", "b"), asked(Some("u1"), "c")], ok(&["a", "c"])),
        (vec![asked(None, "a"), anonymous("u1", "b"), asked(Some("u1"), "c")], ok(&["a", "b", "c"])),
        (vec![asked(None, "a"), anonymous("u2", "b")], ok(&["a"])),
        (vec![asked(None, "a"), row(Some("wm2"), Some("u1"), "b")], ok(&["a"])),
        (vec![anonymous("u1", "a"), anonymous("u1", "b")], ok(&["a", "b"])),
        (vec![anonymous("u1", "a"), anonymous("u2", "b")], bad()),
        (vec![anonymous("u1", "a"), row(Some("wm2"), None, "b")], bad()),
    ] {
        for used in used(&stage, &rows).await {
            assert_eq!(used, expected, "{rows:?}");
        }
    }
}

#[tokio::test]
async fn unreadable_id_of_the_requested_kind_is_not_absent() {
    for id in [json!({"a": 1}), json!(1.234_567_890_123_456_7e18), json!(true)] {
        let stage = answering(JUZIBOT, "", person(id.clone(), "o1")).await;
        stage.detail("wm1").await.problem(502, "source_bad_data");
    }
}

#[tokio::test]
async fn detail_of_many_rows_is_joined_in_linear_time_with_bounded_warnings() {
    let row = |n: usize| json!({"externalUserId": "wm1", "qwUserId": format!("s{n}"), "qwCustomerTime": "soon"});
    let stage = answering(TANMA, "", (0..10_000).map(row).collect()).await;
    // A join that is quadratic in the rows takes minutes, and the source's timeout is 3 s.
    let answer = stage.detail("wm1").await.ok();
    assert_eq!(answer["data"]["relations"].as_array().unwrap().len(), 10_000);
    let warnings = answer["meta"]["warnings"].as_array().unwrap();
    assert_eq!((warnings.len(), &warnings[99]["code"]), (100, &json!("omitted")));
    assert_eq!(warnings[99]["detail"], "9901 more warnings of this record are not listed");
}

#[tokio::test]
async fn another_customer_is_not_merged() {
    let source = MockServer::start().await;
    let another = JUZIBOT.ok(person(json!("wmSomebodyElse"), json!("oSomebodyElse")));
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(another)).mount(&source).await;
    let gateway = Gateway::with(GatewayOptions { juzibot_url: Some(source.uri()), ..GatewayOptions::default() }).await;
    let known = everyone(gateway.sandbox.state()).find(|person| person.tanma.is_some()).unwrap();
    let path = format!("/v1/customers/{}", known.external_user_id);
    let reply = gateway.get(&path).await;
    let answer = reply.ok();
    assert_eq!(answer["meta"]["sources"][0]["status"], "failed", "{answer}");
    assert_eq!(answer["meta"]["sources"][0]["problem"]["code"], "source_bad_data");
    assert_eq!(answer["meta"]["sources"][1]["status"], "ok");
    assert!(!reply.body.contains("SomebodyElse"), "{}", reply.body);
    let whole = gateway.get(&format!("{path}?on_partial=fail")).await;
    whole.problem(502, "source_bad_data");
    gateway.stop().await;
}

#[tokio::test]
async fn translated_id_is_accepted_where_configured() {
    let data = json!([person(json!("wmTheirs"), json!("o1")), person(json!("wmOther"), json!("o2"))]);
    let stage = answering(TANMA, "accept_translated_ids = true", data).await;
    for _ in 0..2 {
        let answer = stage.detail("wmAsked").await.ok();
        assert_eq!(answer["data"]["external_user_id"], "wmTheirs");
        assert_eq!(answer["data"]["relations"].as_array().unwrap().len(), 1);
        assert_eq!(warnings(&answer), [("identity_mismatch".to_owned(), None)]);
    }
    assert_eq!(stage.calls().await, 1, "cached under the id that was asked for");
    let stage = answering(JUZIBOT, "accept_translated_ids = true", json!({"name": "n"})).await;
    stage.detail("wmAsked").await.problem(502, "source_bad_data");
}
