//! What JuziBot may send beside its samples, and what becomes of it.

use serde_json::{Value, json};

use super::{JUZIBOT, follow_user, listed, person, told};
use crate::support::{Spelling, Stage, fixture};

#[tokio::test]
async fn what_nobody_knows_is_ignored() {
    let mut sample = fixture("juzibot/list.ok.json");
    sample["requestId"] = json!({"a": [1]});
    sample["data"][0]["corpName"] = json!(["x"]);
    sample["data"][0]["followUser"][0]["addWay"] = json!({"type": 1});
    sample["data"][0]["followUser"][0]["tags"][0]["order"] = json!(null);
    let body = Stage::answering(JUZIBOT, &sample).await.list().await.ok();
    assert_eq!(body["data"], fixture("expected/juzibot.list.json"));
    assert_eq!(body["meta"]["warnings"], json!([]));
}

#[tokio::test]
async fn what_is_null_or_empty_is_told_as_what_is_absent() {
    let people = [
        json!({"externalUserId": "wm-one", "followUser": [{"userId": "rocky", "tags": [{"tagName": "t"}]}]}),
        json!({
            "externalUserId": "wm-one", "unionId": null, "name": null, "avatar": null, "gender": null, "type": null,
            "followUser": [{
                "userId": "rocky", "name": null, "remark": null, "avatar": null, "createTimestamp": null,
                "state": null, "remarkMobiles": null,
                "tags": [{"groupName": null, "tagName": "t", "type": null, "tagId": null}],
            }],
        }),
        json!({
            "externalUserId": "wm-one", "unionId": "", "name": "", "avatar": "", "gender": "", "type": "",
            "followUser": [{
                "userId": "rocky", "name": "", "remark": "", "avatar": "", "createTimestamp": 0, "state": "",
                "remarkMobiles": ["", null],
                "tags": [{"groupName": "", "tagName": "t", "type": "", "tagId": ""}],
            }],
        }),
    ];
    let expected = json!({
        "external_user_id": "wm-one", "union_id": null, "name": null, "nickname": null, "avatar_url": null,
        "location": null, "gender": null, "account_type": null, "mobiles": [],
        "relations": [{
            "source": "juzibot", "staff_id": "rocky", "staff_name": null, "staff_avatar_url": null, "remark": null,
            "added_at": null, "channel_state": null, "mobiles": [],
            "tags": [{"id": null, "name": "t", "group": null, "scope": "unknown"}],
        }],
        "records": [{
            "source": "juzibot", "id": "wm-one", "type_code": null, "created_at": null, "updated_at": null,
            "converted_at": null, "attributes": {}, "raw": null,
        }],
    });
    let body = listed(&people).await;
    assert_eq!(body["data"], json!(vec![expected; people.len()]));
    assert_eq!(body["meta"]["warnings"], json!([]));
}

#[tokio::test]
async fn a_customer_without_relations_has_an_empty_list_of_them() {
    for relations in [json!([]), json!(null)] {
        let data = told(person(&json!({"followUser": relations}))).await["data"].clone();
        assert_eq!((&data["relations"], &data["mobiles"]), (&json!([]), &json!([])));
    }
}

#[tokio::test]
async fn numbers_may_be_numeric_strings() {
    let mut sample = fixture("juzibot/list.ok.json");
    sample["errcode"] = json!("0");
    sample["total"] = json!("100");
    let person = &mut sample["data"][0];
    person["gender"] = json!("1");
    person["type"] = json!("1");
    person["followUser"][0]["createTimestamp"] = json!("1604048292000");
    let body = Stage::answering(JUZIBOT, &sample).await.list().await.ok();
    assert_eq!(body["data"], fixture("expected/juzibot.list.json"));
    assert_eq!(body["page"]["total"], 100);

    let stage = Stage::answering(JUZIBOT, &JUZIBOT.envelope("40001", "no", &json!({}))).await;
    let problem = stage.list().await.problem(502, "source_credentials");
    assert_eq!(problem["upstream"]["code"], "40001");
}

#[tokio::test]
async fn either_spelling_of_the_envelope_is_read() {
    for spelling in Spelling::BOTH {
        let answer = spelling.envelope(0, "ok", &json!({"data": person(&json!({}))}));
        let body = Stage::answering(JUZIBOT, &answer).await.detail().await.ok();
        assert_eq!(body["data"]["name"], "李四", "{spelling:?}");
        let stage = Stage::answering(JUZIBOT, &spelling.envelope(40001, "bad token", &json!({}))).await;
        let problem = stage.detail().await.problem(502, "source_credentials");
        assert_eq!(problem["upstream"], json!({"code": "40001", "message": "bad token"}), "{spelling:?}");
    }
}

#[tokio::test]
async fn where_both_spellings_disagree_the_failure_is_believed() {
    for envelope in [
        json!({"errcode": 0, "errmsg": "ok", "code": 40001, "message": "bad token"}),
        json!({"errcode": 40001, "errmsg": "bad token", "code": 0, "message": "ok"}),
    ] {
        let stage = Stage::answering(JUZIBOT, &envelope).await;
        let problem = stage.detail().await.problem(502, "source_credentials");
        assert_eq!(problem["upstream"]["code"], "40001", "{envelope}");
    }
}

#[tokio::test]
async fn a_tags_type_is_a_string_or_a_number_and_an_unknown_one_is_unknown() {
    let tag = |id: &str, kind: Value| json!({"groupName": "g", "tagName": "t", "tagId": id, "type": kind});
    let tags = json!([
        tag("a", json!("1")),
        tag("b", json!(1)),
        tag("c", json!("2")),
        tag("d", json!(2)),
        tag("e", json!(3)),
        tag("f", json!("strategy")),
    ]);
    let body = told(person(&json!({"followUser": [follow_user(&json!({"tags": tags}))]}))).await;
    let told = body["data"]["relations"][0]["tags"].as_array().unwrap();
    let scopes: Vec<_> = told.iter().map(|tag| tag["scope"].as_str().unwrap()).collect();
    assert_eq!(scopes, ["corp", "corp", "personal", "personal", "unknown", "unknown"]);
}

#[tokio::test]
async fn each_tag_and_each_mobile_is_told_once() {
    let tag = json!({"groupName": "g", "tagName": "t", "tagId": "a", "type": "1"});
    let first = follow_user(&json!({"tags": [tag, tag], "remarkMobiles": ["2", "1", "2"]}));
    let second = follow_user(&json!({"userId": "other", "remarkMobiles": ["1", "3"]}));
    let data = told(person(&json!({"followUser": [first, second]}))).await["data"].clone();
    assert_eq!(data["relations"][0]["tags"].as_array().unwrap().len(), 1);
    assert_eq!(data["relations"][0]["mobiles"], json!(["2", "1"]));
    assert_eq!(data["relations"][1]["mobiles"], json!(["1", "3"]));
    assert_eq!(data["mobiles"], json!(["2", "1", "3"]));
}

#[tokio::test]
async fn a_detail_without_data_is_not_found() {
    for envelope in [
        json!({"errcode": 0, "errmsg": "ok"}),
        json!({"errcode": 0, "errmsg": "ok", "data": null}),
        json!({"errcode": 0, "errmsg": "ok", "data": {}}),
        json!({"errcode": 0, "errmsg": "ok", "data": []}),
        json!({"errcode": 0, "errmsg": "ok", "data": ""}),
    ] {
        let stage = Stage::answering(JUZIBOT, &envelope).await;
        stage.detail().await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_code_of_class_not_found_is_not_found() {
    let stage = Stage::answering(JUZIBOT, &JUZIBOT.envelope(84061, "no such", &json!({}))).await;
    let gateway = JUZIBOT.gateway(&stage.source.uri(), "", "not_found = [\"84061\"]").await;
    gateway.get(JUZIBOT.detail_path()).await.problem(404, "not_found");
    gateway.get(JUZIBOT.list_path()).await.problem(404, "not_found");
}

#[tokio::test]
async fn genders_and_types_are_words_and_an_unknown_code_is_unknown() {
    let codes = [(0, "unknown", "unknown"), (1, "male", "wechat"), (2, "female", "wecom"), (7, "unknown", "unknown")];
    let people: Vec<_> = codes.iter().map(|(code, ..)| person(&json!({"gender": code, "type": code}))).collect();
    let body = listed(&people).await;
    for (index, (code, gender, account_type)) in codes.into_iter().enumerate() {
        let customer = &body["data"][index];
        assert_eq!(customer["gender"], gender, "{code}");
        assert_eq!(customer["account_type"], account_type, "{code}");
        assert_eq!(customer["records"][0]["type_code"], code);
    }
}

/// The places of the warnings, each of which is in the answer and is null there.
#[track_caller]
fn unreadable(body: &Value) -> Vec<String> {
    let place = |warning: &Value| {
        assert_eq!(warning["code"], "unreadable_value");
        assert_eq!(warning["source"], "juzibot");
        let pointer = warning["pointer"].as_str().unwrap().to_owned();
        assert_eq!(body.pointer(&pointer), Some(&Value::Null), "{pointer}");
        pointer
    };
    body["meta"]["warnings"].as_array().unwrap().iter().map(place).collect()
}

/// Three relations, of which the second has a time that no calendar has.
fn with_a_bad_time() -> Value {
    let relations = [1_604_048_292_000, i64::MAX, 0].map(|time| follow_user(&json!({"createTimestamp": time})));
    person(&json!({"followUser": relations}))
}

#[tokio::test]
async fn a_time_that_cannot_be_read_is_null_with_a_warning_that_points_at_it() {
    let body = told(with_a_bad_time()).await;
    assert_eq!(unreadable(&body), ["/data/relations/1/added_at"]);
    assert_eq!(body["data"]["relations"][0]["added_at"], "2020-10-30T08:58:12Z");
    let body = listed(&[person(&json!({})), with_a_bad_time()]).await;
    assert_eq!(unreadable(&body), ["/data/1/relations/1/added_at"]);
}

#[tokio::test]
async fn a_relation_that_is_told_twice_is_told_once_and_so_is_what_is_wrong_with_it() {
    let twice = follow_user(&json!({"createTimestamp": i64::MAX}));
    let other = follow_user(&json!({"userId": "other"}));
    let body = told(person(&json!({"followUser": [twice, twice, other]}))).await;
    assert_eq!(body["data"]["relations"].as_array().unwrap().len(), 2);
    assert_eq!(unreadable(&body), ["/data/relations/0/added_at"]);
}

#[tokio::test]
async fn a_warning_about_a_relation_goes_where_a_narrowed_answer_has_it() {
    let mut data = with_a_bad_time();
    data["followUser"][1]["userId"] = json!("other");
    let stage = Stage::answering(JUZIBOT, &JUZIBOT.ok(data)).await;
    let narrowed = async |staff_id: &str| {
        let path = format!("{}&staff_id={staff_id}", JUZIBOT.detail_path());
        stage.gateway.get(&path).await.ok()
    };
    let body = narrowed("other").await;
    assert_eq!(body["data"]["relations"].as_array().unwrap().len(), 1);
    assert_eq!(unreadable(&body), ["/data/relations/0/added_at"]);
    let body = narrowed("rocky").await;
    assert_eq!(body["data"]["relations"].as_array().unwrap().len(), 2);
    assert_eq!(unreadable(&body), [""; 0]);
    assert_eq!(narrowed("nobody").await["data"]["relations"], json!([]));
}

#[tokio::test]
async fn a_total_is_null_where_the_source_tells_none() {
    for envelope in [JUZIBOT.ok(json!([])), JUZIBOT.envelope(0, "ok", &json!({"data": [], "total": null}))] {
        let body = Stage::answering(JUZIBOT, &envelope).await.list().await.ok();
        assert_eq!(body["page"], json!({"next_cursor": null, "total": null}));
    }
}

#[tokio::test]
async fn array_in_place_of_object_is_left_out() {
    let body = told(person(&json!({"followUser": [["rocky"], follow_user(&json!({}))]}))).await;
    assert_eq!(body["data"]["relations"].as_array().unwrap().len(), 1);
    let warning = &body["meta"]["warnings"][0];
    assert_eq!((&warning["code"], &warning["pointer"]), (&json!("unreadable_value"), &json!("/data/relations")));
    let stage = Stage::answering(JUZIBOT, &JUZIBOT.ok(json!(["wm-one"]))).await;
    stage.detail().await.problem(502, "source_bad_data");
}

#[tokio::test]
async fn warning_names_the_field_and_never_the_value() {
    let data = person(&json!({"followUser": [follow_user(&json!({"createTimestamp": {"secret": 1}}))]}));
    let body = listed(&[data]).await;
    let warning = &body["meta"]["warnings"][0];
    assert_eq!(warning["pointer"], "/data/0/relations/0/added_at");
    assert!(warning["detail"].as_str().unwrap().contains("createTimestamp"), "{warning}");
    assert!(!body.to_string().contains("secret"), "{body}");
}
