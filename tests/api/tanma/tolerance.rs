//! What Tanma may send beside its samples, and what becomes of it.

use serde_json::{Value, json};

use super::{TANMA, detail_row, listed, row, told};
use crate::support::{Spelling, Stage, fixture};

#[tokio::test]
async fn what_nobody_knows_is_ignored() {
    let mut sample = fixture("tanma/list-by-qw-user-id.ok.json");
    sample["traceId"] = json!({"a": [1]});
    sample["data"]["hasMore"] = json!(true);
    sample["data"]["list"][0]["salesId"] = json!([null]);
    sample["data"]["list"][0]["fields"][0]["name"] = json!("来源");
    let body = Stage::answering(TANMA, &sample).await.list().await.ok();
    assert_eq!(body["data"], fixture("expected/tanma.list.json"));

    let mut sample = fixture("tanma/qw-details.ok.json");
    sample["data"][0]["eighth"] = json!({"not": "known"});
    let id = sample["data"][0]["externalUserId"].as_str().unwrap();
    let body = Stage::answering(TANMA, &sample).await.detail_of(id).await.ok();
    assert_eq!(body["data"], fixture("expected/tanma.detail.json"));
}

#[tokio::test]
async fn null_empty_and_absent_fields_are_the_same() {
    let told = [
        json!({"qwUserId": "dowen", "customerId": 1}),
        json!({
            "qwUserId": "dowen", "customerId": 1, "type": null, "fields": null, "tagIds": null, "createTime": null,
            "lastUpdateTime": null, "wechatNickname": null, "wechatAvatar": null, "wechatLocation": null,
            "convertCustomerTime": null, "qwRemark": null, "externalUserId": null,
        }),
        json!({
            "qwUserId": "dowen", "customerId": "1", "type": "", "fields": [], "tagIds": [null, ""], "createTime": "",
            "lastUpdateTime": "", "wechatNickname": "", "wechatAvatar": "", "wechatLocation": "",
            "convertCustomerTime": "", "qwRemark": "", "externalUserId": "",
        }),
        json!({"qwUserId": "dowen", "customerId": 1.0, "createTime": "0", "lastUpdateTime": "0000-00-00 00:00:00"}),
    ];
    let expected = json!({
        "external_user_id": null, "union_id": null, "name": null, "nickname": null, "avatar_url": null,
        "location": null, "gender": null, "account_type": null, "mobiles": [],
        "relations": [{
            "source": "tanma", "staff_id": "dowen", "staff_name": null, "staff_avatar_url": null, "remark": null,
            "added_at": null, "channel_state": null, "mobiles": [], "tags": [],
        }],
        "records": [{
            "source": "tanma", "id": "1", "type_code": null, "created_at": null, "updated_at": null,
            "converted_at": null, "attributes": {}, "raw": null,
        }],
    });
    let body = listed(&told).await;
    assert_eq!(body["data"], json!(vec![expected; told.len()]));
    assert_eq!(body["meta"]["warnings"], json!([]));
}

#[tokio::test]
async fn a_detail_of_null_and_empty_texts_says_null() {
    let empty = json!({
        "qwUserId": "one", "externalUserId": "wm-one", "unionId": "", "qwCustomerTime": "", "mobiles": null,
        "wechatNickname": "", "wechatAvatar": null,
    });
    let body = told(json!([empty])).await;
    for field in ["union_id", "name", "nickname", "avatar_url"] {
        assert_eq!(body["data"][field], json!(null), "{field}");
    }
    assert_eq!(body["data"]["relations"][0]["added_at"], json!(null));
    assert_eq!(body["data"]["relations"][0]["mobiles"], json!([]));
    assert_eq!(body["meta"]["warnings"], json!([]));
}

#[tokio::test]
async fn the_rows_of_a_detail_are_the_relations_of_one_record() {
    let mut first = detail_row("one", "2020-11-08 16:38:07");
    first["mobiles"] = json!(["1", "1", "2"]);
    let mut second = detail_row("two", "2020-11-09 00:00:00");
    second["mobiles"] = json!(["2", null, "3"]);
    second["wechatNickname"] = json!("jack");
    second["wechatAvatar"] = json!("https://a.test/1.png");
    second["unionId"] = json!("o-one");
    let data = told(json!([first, second])).await["data"].clone();
    assert_eq!(data["mobiles"], json!(["1", "2", "3"]));
    assert_eq!(data["relations"][0]["mobiles"], json!(["1", "2"]));
    assert_eq!(data["relations"][1]["mobiles"], json!(["2", "3"]));
    assert_eq!(data["relations"][1]["added_at"], "2020-11-08T16:00:00Z");
    assert_eq!(data["relations"].as_array().unwrap().len(), 2);
    assert_eq!(data["records"].as_array().unwrap().len(), 1);
    let scalars = ["union_id", "name", "nickname", "avatar_url"].map(|field| data[field].clone());
    assert_eq!(scalars, ["o-one", "jack", "jack", "https://a.test/1.png"]);
}

#[tokio::test]
async fn codes_and_ids_may_be_numeric_strings() {
    let numbers = row(&json!({"customerId": 398_604_120_668_224_i64, "type": 2}));
    let texts = row(&json!({"customerId": "398604120668224", "type": "2"}));
    let page = TANMA.envelope("0", "ok", &json!({"data": {"list": [numbers, texts]}}));
    let data = Stage::answering(TANMA, &page).await.list().await.ok()["data"].clone();
    for customer in data.as_array().unwrap() {
        assert_eq!(customer["records"][0]["id"], "398604120668224");
        assert_eq!(customer["records"][0]["type_code"], 2);
    }
    let stage = Stage::answering(TANMA, &TANMA.envelope("1002", "no", &json!({}))).await;
    let problem = stage.detail().await.problem(502, "source_credentials");
    assert_eq!(problem["upstream"]["code"], "1002");
}

#[tokio::test]
async fn either_spelling_of_the_envelope_is_read() {
    for spelling in Spelling::BOTH {
        let page = spelling.envelope(0, "ok", &json!({"data": {"list": [row(&json!({}))]}}));
        let stage = Stage::answering(TANMA, &page).await;
        assert_eq!(stage.list().await.ok()["data"].as_array().unwrap().len(), 1, "{spelling:?}");
        let stage = Stage::answering(TANMA, &spelling.envelope(1003, "too far", &json!({}))).await;
        let problem = stage.list().await.problem(502, "source_credentials");
        assert_eq!(problem["upstream"], json!({"code": "1003", "message": "too far"}), "{spelling:?}");
    }
}

#[tokio::test]
async fn a_success_is_known_by_its_code_whatever_the_message() {
    for envelope in [
        json!({"code": 0, "message": "签名校验未通过", "data": {"list": []}}),
        json!({"code": 0, "message": null, "data": {"list": []}}),
        json!({"code": 0, "data": {"list": []}}),
    ] {
        Stage::answering(TANMA, &envelope).await.list().await.ok();
    }
}

#[tokio::test]
async fn a_detail_without_rows_is_not_found() {
    for data in [json!([]), json!(null)] {
        let stage = Stage::answering(TANMA, &TANMA.ok(data)).await;
        stage.detail().await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_code_of_class_not_found_is_not_found() {
    let stage = Stage::with(TANMA, "codes.not_found = [84061]", &TANMA.envelope(84061, "no such", &json!({}))).await;
    stage.detail().await.problem(404, "not_found");
    stage.list().await.problem(404, "not_found");
}

#[tokio::test]
async fn a_walk_ends_where_the_cursor_is_null_empty_or_absent() {
    let mut last_pages = vec![json!({"list": [row(&json!({}))]})];
    for end in [json!(null), json!("")] {
        last_pages.push(json!({"list": [row(&json!({}))], "nextCursor": end}));
    }
    for page in last_pages {
        let body = Stage::answering(TANMA, &TANMA.ok(page.clone())).await.list().await.ok();
        assert_eq!(body["page"], json!({"next_cursor": null, "total": null}), "{page}");
        assert_eq!(body["data"].as_array().unwrap().len(), 1, "{page}");
    }
}

#[tokio::test]
async fn an_empty_page_with_a_cursor_is_not_the_end() {
    let page = TANMA.ok(json!({"list": [], "nextCursor": "more"}));
    let body = Stage::answering(TANMA, &page).await.list().await.ok();
    assert_eq!(body["data"], json!([]));
    assert!(body["page"]["next_cursor"].is_string(), "{body}");
}

/// The second page of a walk on which the source tells the cursor that it was asked with.
async fn second_page(rows: &[Value]) -> crate::support::Reply {
    let first = TANMA.ok(json!({"list": [], "nextCursor": "again"}));
    let stage = Stage::answering(TANMA, &first).await;
    let cursor = stage.list().await.ok()["page"]["next_cursor"].as_str().unwrap().to_owned();
    stage.now_answer(&TANMA.ok(json!({"list": rows, "nextCursor": "again"}))).await;
    stage.gateway.get(&format!("{}&cursor={cursor}", TANMA.list_path())).await
}

#[tokio::test]
async fn cursor_that_does_not_advance_ends_the_list() {
    let body = second_page(&[row(&json!({}))]).await.ok();
    assert_eq!((body["data"].as_array().unwrap().len(), &body["page"]["next_cursor"]), (1, &json!(null)));
    assert_eq!(body["meta"]["warnings"][0]["code"], "drift");
    let body = second_page(&[]).await.ok();
    assert_eq!((&body["page"]["next_cursor"], &body["meta"]["warnings"]), (&json!(null), &json!([])));
}

#[tokio::test]
async fn a_time_that_cannot_be_read_is_null_with_a_warning_that_points_at_it() {
    let bad = row(
        &json!({"createTime": "yesterday", "lastUpdateTime": "2021-02-30 00:00:00", "convertCustomerTime": "2021-03-06"}),
    );
    let body = listed(&[row(&json!({})), bad]).await;
    let expected = ["created_at", "updated_at", "converted_at"].map(|field| format!("/data/1/records/0/{field}"));
    assert_eq!(unreadable(&body), expected);
    assert_eq!(body["data"][1]["records"][0]["id"], "1");

    let body = told(json!([detail_row("one", "2020-11-08 16:38:07"), detail_row("two", "8 Nov")])).await;
    assert_eq!(unreadable(&body), ["/data/relations/1/added_at"]);
    assert_eq!(body["data"]["relations"][1]["staff_id"], "two");
}

/// The places of the warnings, each of which is in the answer and is null there.
#[track_caller]
fn unreadable(body: &Value) -> Vec<String> {
    let warnings = body["meta"]["warnings"].as_array().unwrap();
    let place = |warning: &Value| {
        assert_eq!(warning["code"], "unreadable_value");
        assert_eq!(warning["source"], "tanma");
        let pointer = warning["pointer"].as_str().unwrap().to_owned();
        assert_eq!(body.pointer(&pointer), Some(&Value::Null), "{pointer}");
        pointer
    };
    warnings.iter().map(place).collect()
}

#[tokio::test]
async fn a_relation_that_is_told_twice_is_told_once_and_so_is_what_is_wrong_with_it() {
    let twice = detail_row("one", "8 Nov");
    let body = told(json!([twice, twice, detail_row("two", "2020-11-08 16:38:07")])).await;
    assert_eq!(body["data"]["relations"].as_array().unwrap().len(), 2);
    assert_eq!(unreadable(&body), ["/data/relations/0/added_at"]);
}

#[tokio::test]
async fn array_in_place_of_object_is_left_out() {
    let body =
        listed(&[row(&json!({"fields": [["name", 1, "x"], {"field": "note", "type": 1, "valueAsText": "y"}]}))]).await;
    assert_eq!(body["data"][0]["records"][0]["attributes"]["note"]["value"], "y");
    assert_eq!(unreadable_places(&body), ["/data/0/records/0/attributes"]);
    let stage = Stage::answering(TANMA, &TANMA.ok(json!([["one", "wm-one"]]))).await;
    stage.detail().await.problem(502, "source_bad_data");
}

fn unreadable_places(body: &Value) -> Vec<String> {
    let warnings = body["meta"]["warnings"].as_array().unwrap().iter();
    warnings
        .filter(|warning| warning["code"] == "unreadable_value")
        .map(|warning| warning["pointer"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn list_without_data_is_bad_data() {
    let stage = Stage::answering(TANMA, &json!({"code": 0, "message": "ok"})).await;
    let problem = stage.list().await.problem(502, "source_bad_data");
    assert!(problem["detail"].as_str().unwrap().contains("data"), "{problem}");
}
