//! Values count, not their spelling; what cannot be read is null with a warning that points at it.

use serde_json::{Value, json};

use super::{Damaged, JUZIBOT, TANMA, case, expected, warnings};

#[tokio::test]
async fn float_numbers_are_read_by_value() {
    let answer = Damaged::answering(JUZIBOT, case("juzibot-list-float-numbers.json")).await.list().await.ok();
    assert_eq!(answer["data"][0]["gender"], "male");
    assert_eq!(answer["data"][0]["relations"][0]["added_at"], "2020-10-30T08:58:12Z");
    assert_eq!(warnings(&answer), []);

    let answer = Damaged::answering(TANMA, case("tanma-list-float-id.json")).await.list().await.ok();
    assert_eq!(answer["data"][0]["records"][0]["id"], "398923388842048");
    assert_eq!(answer["data"][0]["mobiles"], json!(["13800000001"]));
    assert_eq!(warnings(&answer), []);
}

#[tokio::test]
async fn texts_may_be_numbers() {
    let follow_user = json!([{
        "userId": 7, "name": 8, "remark": 9.5, "state": 1, "remarkMobiles": [13_800_000_001_u64, "2"],
        "tags": [{"tagId": 3, "tagName": 4, "groupName": 5, "type": 1.0}], "createTimestamp": "1.604048292E12",
    }]);
    let row = json!({"externalUserId": 1, "unionId": 2, "name": 3, "avatar": 4, "gender": "1.0", "type": "2",
                     "followUser": follow_user});
    let answer = Damaged::answering(JUZIBOT, JUZIBOT.ok([row]).to_string()).await.list().await.ok();
    let customer = &answer["data"][0];
    for (field, value) in [("external_user_id", "1"), ("union_id", "2"), ("name", "3"), ("avatar_url", "4")] {
        assert_eq!(customer[field], value, "{field}");
    }
    assert_eq!((&customer["gender"], &customer["account_type"]), (&json!("male"), &json!("wecom")));
    let relation = &customer["relations"][0];
    for (field, value) in [("staff_id", "7"), ("staff_name", "8"), ("remark", "9.5"), ("channel_state", "1")] {
        assert_eq!(relation[field], value, "{field}");
    }
    assert_eq!(relation["mobiles"], json!(["13800000001", "2"]));
    assert_eq!(relation["tags"], json!([{"id": "3", "name": "4", "group": "5", "scope": "corp"}]));
    assert_eq!(relation["added_at"], "2020-10-30T08:58:12Z");
    assert_eq!(warnings(&answer), []);
}

#[tokio::test]
async fn tanma_texts_may_be_numbers_and_lists() {
    let row = json!({
        "customerId": "1", "qwUserId": 7, "type": "1.0", "tagIds": 3, "wechatNickname": 8,
        "fields": [{"field": "mobile", "type": "8", "valueAsText": [13_800_000_001_u64, "2"]},
                   {"field": "gender", "type": 2, "valueAsText": 1}, {"field": 5, "type": 4, "valueAsText": 12.5}],
    });
    let answer = Damaged::answering(TANMA, TANMA.ok(json!({"list": [row]})).to_string()).await.list().await.ok();
    let customer = &answer["data"][0];
    assert_eq!((&customer["gender"], &customer["nickname"]), (&json!("male"), &json!("8")));
    assert_eq!(customer["mobiles"], json!(["13800000001", "2"]));
    assert_eq!(customer["relations"][0]["staff_id"], "7");
    assert_eq!(customer["relations"][0]["tags"][0]["id"], "3");
    let attributes = &customer["records"][0]["attributes"];
    assert_eq!(attributes["5"], json!({"type": "number", "type_code": 4, "value": "12.5"}));
    assert_eq!(attributes["mobile"]["value"], json!(["13800000001", "2"]));
    assert_eq!(warnings(&answer), []);
}

#[tokio::test]
async fn lists_may_be_single_values_empty_texts_or_json_in_text() {
    let relation = json!({"userId": "rocky", "remarkMobiles": "[\"1\", 2]", "tags": {"tagName": "t"}});
    for follow_user in [
        relation.clone(),
        json!([relation]),
        json!(json!([relation]).to_string()),
        json!(relation.to_string()),
        json!([relation.to_string()]),
    ] {
        let row = json!({"externalUserId": "wm1", "followUser": follow_user});
        for data in [json!([row]), row.clone(), json!(json!([row]).to_string()), json!([row.to_string()])] {
            let answer = Damaged::answering(JUZIBOT, JUZIBOT.ok(data).to_string()).await.list().await.ok();
            let relation = &answer["data"][0]["relations"][0];
            assert_eq!(relation["mobiles"], json!(["1", "2"]));
            assert_eq!(relation["tags"][0]["name"], "t");
            assert_eq!(warnings(&answer), []);
        }
    }
    let empty = json!({"externalUserId": "wm1", "followUser": ""});
    let answer = Damaged::answering(JUZIBOT, JUZIBOT.ok([empty]).to_string()).await.list().await.ok();
    assert_eq!((&answer["data"][0]["relations"], warnings(&answer)), (&json!([]), Vec::new()));
}

#[tokio::test]
async fn gender_that_is_no_code_is_unknown() {
    let rows = ["M", "男", "7"].map(|gender| json!({"externalUserId": gender, "gender": gender}));
    let answer = Damaged::answering(JUZIBOT, JUZIBOT.ok(rows).to_string()).await.list().await.ok();
    for row in answer["data"].as_array().unwrap() {
        assert_eq!(row["gender"], "unknown");
    }
    assert_eq!(warnings(&answer), []);
}

#[tokio::test]
async fn type_that_is_no_number_has_no_type_code() {
    let row = json!({"externalUserId": "wm1", "type": "VIP"});
    let answer = Damaged::answering(JUZIBOT, JUZIBOT.ok([row]).to_string()).await.list().await.ok();
    assert_eq!(answer["data"][0]["account_type"], "unknown");
    assert_eq!(answer["data"][0]["records"][0]["type_code"], Value::Null);
    assert_eq!(warnings(&answer), expected(&[("unreadable_value", "/data/0/records/0/type_code")]));
}

/// Each field of a row, unreadable alone, costs itself alone.
async fn check_each_field(vendor: super::Vendor, fields: &[(&str, &str)], page: impl Fn(&str) -> Value) {
    for (field, pointer) in fields {
        let answer = Damaged::answering(vendor, page(field).to_string()).await.list().await.ok();
        assert_eq!(answer["data"].as_array().unwrap().len(), 2, "{field}: {answer}");
        let place = format!("/data/1/{pointer}");
        assert_eq!(warnings(&answer), expected(&[("unreadable_value", &place)]), "{field}");
        let value = answer.pointer(&place).unwrap_or_else(|| panic!("{place} in {answer}"));
        assert!(value.is_null() || value.is_array() || value.is_object(), "{field}: {value}");
    }
}

#[tokio::test]
async fn unreadable_juzibot_field_is_null_with_warning() {
    let fields = [
        ("unionId", "union_id"),
        ("name", "name"),
        ("avatar", "avatar_url"),
        ("gender", "gender"),
        ("type", "records/0/type_code"),
        ("followUser", "relations"),
        ("followUser/0/userId", "relations/0/staff_id"),
        ("followUser/0/name", "relations/0/staff_name"),
        ("followUser/0/avatar", "relations/0/staff_avatar_url"),
        ("followUser/0/remark", "relations/0/remark"),
        ("followUser/0/createTimestamp", "relations/0/added_at"),
        ("followUser/0/state", "relations/0/channel_state"),
        ("followUser/0/tags", "relations/0/tags"),
        ("followUser/0/tags/0/tagId", "relations/0/tags"),
        ("followUser/0/remarkMobiles", "relations/0/mobiles"),
    ];
    let row = json!({"externalUserId": "wm2", "unionId": "o2", "name": "n", "avatar": "a", "gender": 1, "type": 1, "followUser": [{
        "userId": "rocky", "name": "n", "avatar": "a", "remark": "r", "createTimestamp": 1_604_048_292_000_u64, "state": "s",
        "remarkMobiles": ["1"], "tags": [{"tagId": "t", "tagName": "n", "groupName": "g", "type": "1"}],
    }]});
    check_each_field(JUZIBOT, &fields, |field| {
        let mut row = row.clone();
        // A flag is neither a text nor a number nor a list.
        *row.pointer_mut(&format!("/{field}")).unwrap() = json!(true);
        JUZIBOT.ok(json!([{"externalUserId": "wm1"}, row]))
    })
    .await;
}

#[tokio::test]
async fn unreadable_tanma_field_is_null_with_warning() {
    let fields = [
        ("externalUserId", "external_user_id"),
        ("qwUserId", "relations/0/staff_id"),
        ("type", "records/0/type_code"),
        ("fields", "records/0/attributes"),
        ("fields/0/valueAsText", "records/0/attributes/note/value"),
        ("fields/0/type", "records/0/attributes/note/type_code"),
        ("fields/0/field", "records/0/attributes"),
        ("tagIds", "relations/0/tags"),
        ("createTime", "records/0/created_at"),
        ("lastUpdateTime", "records/0/updated_at"),
        ("convertCustomerTime", "records/0/converted_at"),
        ("wechatNickname", "nickname"),
        ("wechatAvatar", "avatar_url"),
        ("wechatLocation", "location"),
        ("qwRemark", "relations/0/remark"),
    ];
    let row = json!({"customerId": 2, "externalUserId": "wm2", "qwUserId": "dowen", "type": 1, "tagIds": ["et"],
        "fields": [{"field": "note", "type": 1, "valueAsText": "x"}], "createTime": "2021-03-06 16:22:17",
        "lastUpdateTime": "2021-03-06 16:22:17", "convertCustomerTime": "2021-03-06 16:22:17", "wechatNickname": "n",
        "wechatAvatar": "a", "wechatLocation": "l", "qwRemark": "r"});
    check_each_field(TANMA, &fields, |field| {
        let mut row = row.clone();
        *row.pointer_mut(&format!("/{field}")).unwrap() = json!(true);
        TANMA.ok(json!({"list": [{"customerId": 1}, row]}))
    })
    .await;
}

#[tokio::test]
async fn small_timestamp_is_read_as_seconds() {
    let row = |time: i64| json!({"externalUserId": format!("wm{time}"), "followUser": [{"userId": "a", "createTimestamp": time}]});
    let rows = [row(1_604_048_292), row(99_999_999_999), row(100_000_000_000), row(0), row(-1)];
    let answer = Damaged::answering(JUZIBOT, JUZIBOT.ok(rows).to_string()).await.list().await.ok();
    let times: Vec<_> = (0..5).map(|row| answer["data"][row]["relations"][0]["added_at"].clone()).collect();
    assert_eq!(times[0], "2020-10-30T08:58:12Z");
    assert_eq!(times[1], "5138-11-16T09:46:39Z");
    assert_eq!(times[2], "1973-03-03T09:46:40Z");
    assert_eq!(times[3..], [Value::Null, Value::Null]);
    let place = |row: usize| format!("/data/{row}/relations/0/added_at");
    let warned = [("unexpected_unit", place(0)), ("unexpected_unit", place(1)), ("unreadable_value", place(4))];
    assert_eq!(warnings(&answer), warned.map(|(code, place)| (code.to_owned(), Some(place))));
}

#[tokio::test]
async fn unreadable_total_is_null_with_warning() {
    for total in ["-1", "\"many\"", "1e400", "{}", "true", "1.5"] {
        let body =
            format!(r#"{{"errcode": 0, "errmsg": "ok", "data": [{{"externalUserId": "wm1"}}], "total": {total}}}"#);
        let stage = Damaged::answering(JUZIBOT, body).await;
        let answer = stage.list().await.ok();
        assert_eq!((&answer["page"]["total"], answer["data"].as_array().unwrap().len()), (&Value::Null, 1), "{total}");
        assert_eq!(warnings(&answer), expected(&[("unreadable_value", "/page/total")]), "{total}");
        let end = stage.stream().await.pop().unwrap();
        assert_eq!(end["end"]["warnings"][0]["pointer"], Value::Null, "a stream has no page");
    }
    for total in ["1", "1.0", "\"1\"", "1e0"] {
        let body = format!(r#"{{"errcode": 0, "data": [{{"externalUserId": "wm1"}}], "total": {total}}}"#);
        let answer = Damaged::answering(JUZIBOT, body).await.list().await.ok();
        assert_eq!((&answer["page"]["total"], warnings(&answer)), (&json!(1), Vec::new()), "{total}");
    }
}
