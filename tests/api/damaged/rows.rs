//! A damaged row costs itself alone: it is skipped, counted and named.

use serde_json::{Value, json};

use super::{Damaged, JUZIBOT, TANMA, lines, warnings};

/// Rows of which those at `bad` have no id.
fn rows(count: usize, bad: &[usize]) -> Vec<Value> {
    (0..count)
        .map(
            |row| {
                if bad.contains(&row) {
                    json!({"name": "nobody"})
                } else {
                    json!({"externalUserId": format!("wm{row}")})
                }
            },
        )
        .collect()
}

#[tokio::test]
async fn row_without_id_is_skipped_and_named() {
    for bad in [
        json!({"name": "x"}),
        json!({}),
        json!(null),
        json!("text"),
        json!(5),
        json!(["wm"]),
        json!({"externalUserId": {}}),
    ] {
        let page = JUZIBOT.ok(json!([{"externalUserId": "wm0"}, {"unionId": "o1"}, bad]));
        let answer = Damaged::answering(JUZIBOT, page.to_string()).await.list().await.ok();
        assert_eq!(answer["data"].as_array().unwrap().len(), 2, "{bad}");
        let warning = &answer["meta"]["warnings"][0];
        assert_eq!((&warning["code"], &warning["pointer"]), (&json!("skipped_row"), &Value::Null), "{bad}");
        assert!(warning["detail"].as_str().unwrap().starts_with("row 2 "), "{warning}");
        assert_eq!(answer["meta"]["warnings"].as_array().unwrap().len(), 1, "{answer}");
    }
}

#[tokio::test]
async fn vendor_record_id_alone_is_enough() {
    let page = TANMA.ok(json!({"list": [{"customerId": 7}, {"qwUserId": "dowen"}]}));
    let answer = Damaged::answering(TANMA, page.to_string()).await.list().await.ok();
    assert_eq!(answer["data"].as_array().unwrap().len(), 1);
    assert_eq!(answer["data"][0]["records"][0]["id"], "7");
    assert_eq!(warnings(&answer), [("skipped_row".to_owned(), None)]);
}

#[tokio::test]
async fn large_page_without_readable_row_is_bad_data() {
    for (vendor, wrap) in [(JUZIBOT, false), (TANMA, true)] {
        let page = |count: usize| {
            let rows = json!(vec![json!({"renamed": "wm1"}); count]);
            vendor.ok(if wrap { json!({"list": rows}) } else { rows }).to_string()
        };
        let stage = Damaged::answering(vendor, page(20)).await;
        let problem = stage.list().await.problem(502, "source_bad_data");
        assert_eq!((&problem["retryable"], &problem["source"]), (&json!(false), &json!(vendor.name())));
        assert_eq!(stage.calls().await, 1, "it is not retried");
        stage.now_answer(page(19)).await;
        let answer = stage.list().await.ok();
        assert_eq!((&answer["data"], warnings(&answer).len()), (&json!([]), 19));
    }
}

#[tokio::test]
async fn export_delivers_the_readable_rows_and_names_the_others() {
    let bad = [3, 77, 150, 151, 299];
    let stage = Damaged::answering(JUZIBOT, JUZIBOT.ok(rows(300, &bad)).to_string()).await;
    let lines = stage.stream().await;
    assert_eq!(lines.len(), 296);
    let end = &lines[295]["end"];
    assert_eq!((&end["count"], &end["skipped"]), (&json!(295), &json!(5)));
    let named: Vec<_> =
        end["warnings"].as_array().unwrap().iter().map(|warning| warning["detail"].as_str().unwrap()).collect();
    assert_eq!(named.len(), 5);
    for (detail, row) in named.iter().zip(bad) {
        assert!(detail.starts_with(&format!("row {row} ")) && detail.contains("page 1"), "{detail}");
    }
}

#[tokio::test]
async fn end_line_counts_all_skipped_rows_and_lists_100_warnings() {
    let bad: Vec<usize> = (0..300).step_by(2).collect();
    let stage = Damaged::answering(JUZIBOT, JUZIBOT.ok(rows(300, &bad)).to_string()).await;
    let end = stage.stream().await.pop().unwrap()["end"].clone();
    assert_eq!((&end["count"], &end["skipped"]), (&json!(150), &json!(150)));
    let warnings = end["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 100);
    assert_eq!(warnings[99]["code"], "omitted");
    assert_eq!(warnings[99]["detail"], "51 more warnings are not listed");
}

#[tokio::test]
async fn slices_of_a_page_name_each_skipped_row_once() {
    let stage = Damaged::answering(JUZIBOT, JUZIBOT.ok(rows(10, &[0, 4, 9])).to_string()).await;
    let first = stage.gateway.get(&format!("{}&limit=100", JUZIBOT.list_path())).await.ok();
    assert_eq!((first["data"].as_array().unwrap().len(), warnings(&first).len()), (7, 3));
    // The source sends more rows than a page of 3 has: they are given out in slices, and its next page is the same again.
    let (mut ids, mut skipped, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = stage.gateway.get(&format!("{}&limit=3{cursor}", JUZIBOT.list_path())).await.ok();
        ids.extend(
            page["data"].as_array().unwrap().iter().map(|row| row["external_user_id"].as_str().unwrap().to_owned()),
        );
        skipped += warnings(&page).iter().filter(|(code, _)| code == "skipped_row").count();
        match page["page"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(ids, ["wm1", "wm2", "wm3", "wm5", "wm6", "wm7", "wm8"]);
    assert_eq!(skipped, 3);
}

#[tokio::test]
async fn format_change_is_not_an_empty_list() {
    for (vendor, data) in [
        (JUZIBOT, json!("系统维护")),
        (JUZIBOT, json!(5)),
        (JUZIBOT, json!({"list": [{"externalUserId": "wm1"}]})),
        (JUZIBOT, json!("{\"list\": []}")),
        (TANMA, json!({"records": [{"customerId": 1}]})),
        (TANMA, json!({"list": 5})),
        (TANMA, json!({"list": {"rows": []}})),
        (TANMA, json!([{"customerId": 1}])),
        (TANMA, json!({"list": [{"customerId": 1}], "nextCursor": {"at": 1}})),
    ] {
        let stage = Damaged::answering(vendor, vendor.ok(data.clone()).to_string()).await;
        let problem = stage.list().await.problem(502, "source_bad_data");
        assert_eq!(problem["retryable"], false, "{data}");
    }
}

#[tokio::test]
async fn list_under_another_name_is_not_an_empty_list() {
    let stage = Damaged::answering(JUZIBOT, r#"{"errcode": 0, "rows": [{"externalUserId": "wm1"}]}"#).await;
    stage.list().await.problem(502, "source_bad_data");
    for body in [r#"{"errcode": 0}"#, r#"{"errcode": 0, "rows": [], "requestId": "x"}"#] {
        stage.now_answer(body).await;
        assert_eq!(stage.list().await.ok()["data"], json!([]), "{body}");
    }
}

#[tokio::test]
async fn skipped_rows_are_named_before_other_warnings() {
    let mut rows: Vec<Value> = (0..150).map(|n| json!({"externalUserId": format!("wm{n}"), "name": true})).collect();
    rows.extend((0..10).map(|_| json!({"name": "nobody"})));
    let end =
        Damaged::answering(JUZIBOT, JUZIBOT.ok(rows).to_string()).await.stream().await.pop().unwrap()["end"].clone();
    let skipped = end["warnings"].as_array().unwrap().iter().filter(|warning| warning["code"] == "skipped_row");
    assert_eq!((skipped.count(), &end["skipped"]), (10, &json!(10)));
}

#[tokio::test]
async fn damaged_key_of_tanma_data_costs_no_row() {
    let body = r#"{"code": 0, "data": {"x\ud83d": 1, "list": [{"customerId": 1, "qwRemark": "a\ud83d"}], "nextCursor": null}}"#;
    let answer = Damaged::answering(TANMA, body).await.list().await.ok();
    assert_eq!(warnings(&answer), [("repaired_text".to_owned(), Some("/data/0".to_owned()))]);
}

#[tokio::test]
async fn failure_with_an_id_twice_leaves_the_items_unconfirmed() {
    let body = r#"{"errcode": 0, "fail_list": [{"userId": "a", "unionId": "o2", "unionId": "o1"}]}"#;
    let stage = Damaged::answering(JUZIBOT, body).await;
    let item = |union_id| json!({"staff_id": "a", "union_id": union_id, "remark": "r"});
    let items = json!({"items": [item("o1"), item("o2")]});
    let answer = stage.gateway.post("/v1/remarks?source=juzibot", &items).await.ok();
    for result in answer["data"]["results"].as_array().unwrap() {
        assert_eq!(result["status"], "unconfirmed", "{answer}");
    }
}

#[tokio::test]
async fn empty_lists_have_many_forms() {
    for empty in [json!([]), json!({}), json!(null), json!(""), json!("[]")] {
        for (vendor, data) in [(JUZIBOT, empty.clone()), (TANMA, json!({"list": empty}))] {
            let answer = Damaged::answering(vendor, vendor.ok(data).to_string()).await.list().await.ok();
            assert_eq!((&answer["data"], warnings(&answer)), (&json!([]), Vec::new()), "{empty}");
        }
    }
}

#[tokio::test]
async fn stream_resumes_behind_a_skipped_row() {
    let stage = Damaged::answering(JUZIBOT, JUZIBOT.ok(rows(1_000, &[2])).to_string()).await;
    // The second page fails: the stream ends with a cursor that stands behind the first one.
    stage.source.reset().await;
    let first = wiremock::ResponseTemplate::new(200)
        .set_body_raw(JUZIBOT.ok(rows(1_000, &[2])).to_string(), "application/json");
    let page = |number: &str| wiremock::Mock::given(wiremock::matchers::query_param("current", number.to_owned()));
    page("1").respond_with(first).mount(&stage.source).await;
    page("2").respond_with(wiremock::ResponseTemplate::new(500)).mount(&stage.source).await;
    let broken = stage.stream().await;
    assert_eq!(broken.len(), 1_000, "999 customers and the error");
    let cursor = broken[999]["resume_cursor"].as_str().unwrap().to_owned();
    stage.source.reset().await;
    let last = wiremock::ResponseTemplate::new(200)
        .set_body_raw(JUZIBOT.ok(json!([{"externalUserId": "last"}, {}])).to_string(), "application/json");
    page("2").respond_with(last).mount(&stage.source).await;
    let path = format!("{}&cursor={cursor}", JUZIBOT.list_path());
    let rest = lines(&stage.gateway.get_with(&path, &super::NDJSON).await);
    assert_eq!(rest[0]["external_user_id"], "last");
    assert_eq!((&rest[1]["end"]["count"], &rest[1]["end"]["skipped"]), (&json!(1), &json!(1)));
}
