//! `JuziBot`'s rules.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use scrm_gateway::sandbox::juzibot::{Envelope, FailCode, NotFound, Rules, TooLong};
use scrm_gateway::sandbox::people::STAFF;
use scrm_gateway::sandbox::{Endpoint, Options, Sandbox, Source};
use serde_json::{Value, json};

use crate::clients::{TOKEN, http, juzibot_get, juzibot_post, remark, sandbox, small};

async fn with(rules: Rules) -> Sandbox {
    sandbox(Options { customers: 60, juzibot: rules, ..Options::default() }).await
}

async fn walk(sandbox: &Sandbox, size: usize, query: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    for page in 1.. {
        let answer = juzibot_get(sandbox, "list", &format!("current={page}&pageSize={size}{query}")).await;
        let more = answer["data"].as_array().expect("rows").clone();
        if more.is_empty() {
            assert_eq!(answer["total"], rows.len());
            break;
        }
        rows.extend(more);
    }
    rows
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["externalUserId"].as_str().expect("an id")).collect()
}

#[tokio::test]
async fn a_walk_of_all_pages_meets_each_customer_once() {
    let sandbox = sandbox(Options { customers: 500, ..Options::default() }).await;
    let rows = walk(&sandbox, 37, "").await;
    assert_eq!(ids(&rows).into_iter().collect::<BTreeSet<_>>().len(), rows.len());
    assert_eq!(rows.len(), sandbox.state().people().juzibot_total(None));
    assert_eq!(rows, walk(&sandbox, 1_000, "&userId=").await);
}

#[tokio::test]
async fn the_lists_of_the_staff_together_are_all_customers() {
    let sandbox = small().await;
    let all = walk(&sandbox, 100, "").await;
    let mut of_staff = BTreeSet::new();
    for staff in &STAFF {
        let rows = walk(&sandbox, 7, &format!("&userId={}", staff.id)).await;
        for row in &rows {
            let relations = row["followUser"].as_array().unwrap();
            assert!(relations.iter().any(|one| one["userId"] == staff.id));
        }
        of_staff.extend(ids(&rows).into_iter().map(str::to_owned));
    }
    assert_eq!(of_staff, ids(&all).into_iter().map(str::to_owned).collect());
    assert_eq!(juzibot_get(&sandbox, "list", "current=1&pageSize=1&userId=nobody").await["total"], 0);
}

#[tokio::test]
async fn rows_vary_as_the_vendors_do() {
    let sandbox = sandbox(Options::default()).await;
    let rows = walk(&sandbox, 1_000, "").await;
    let relations: Vec<&Value> = rows.iter().flat_map(|row| row["followUser"].as_array().unwrap()).collect();
    let tags: Vec<&Value> = relations.iter().flat_map(|one| one["tags"].as_array().unwrap()).collect();
    assert!(rows.iter().any(|row| row.get("unionId").is_none()));
    assert!(rows.iter().any(|row| row.get("unionId") == Some(&Value::Null)));
    assert!(rows.iter().filter(|row| row["unionId"].is_string()).count() * 10 > rows.len() * 8);
    assert!((0..3).all(|gender| rows.iter().any(|row| row["gender"] == gender)));
    assert!((1..3).all(|kind| rows.iter().any(|row| row["type"] == kind)));
    assert!(rows.iter().any(|row| row["followUser"].as_array().unwrap().len() > 1));
    assert!(
        relations.iter().any(|one| one["state"].is_string()) && relations.iter().any(|one| one.get("state").is_none())
    );
    assert!(relations.iter().any(|one| one["remarkMobiles"].is_array()));
    assert!(relations.iter().all(|one| one["createTimestamp"].as_i64().unwrap() > 1_600_000_000_000));
    assert!(tags.iter().all(|tag| (tag["type"] == "1") == tag["tagId"].is_string()));
    assert!(tags.iter().any(|tag| tag["type"] == "2"));
}

#[tokio::test]
async fn arrivals_make_a_walk_by_pages_meet_rows_twice() {
    let sandbox = small().await;
    let first = juzibot_get(&sandbox, "list", "current=1&pageSize=10").await;
    sandbox.state().insert_customers(10);
    let second = juzibot_get(&sandbox, "list", "current=2&pageSize=10").await;
    assert_eq!(first["data"], second["data"]);
    assert_eq!(second["total"].as_u64(), first["total"].as_u64().map(|total| total + 10));
}

#[tokio::test]
async fn the_token_is_checked_first_on_every_call() {
    let sandbox = small().await;
    let base = format!("{}/api/v1/customer", sandbox.juzibot_url());
    for url in [format!("{base}/list"), format!("{base}/list?token=wrong&bogus=1"), format!("{base}/detail?token=")] {
        let answer: Value = http().get(url).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer, json!({"errcode": 40_001, "errmsg": "invalid token"}));
    }
    let posted = http().post(format!("{base}/set_remark?token=wrong")).body("no JSON").send().await.unwrap();
    assert_eq!(posted.json::<Value>().await.unwrap()["errcode"], 40_001);

    sandbox.state().revoke_token(Source::Juzibot);
    assert_eq!(juzibot_get(&sandbox, "list", "current=1&pageSize=1").await["errcode"], 40_001);
    sandbox.state().restore_token(Source::Juzibot);
    assert_eq!(juzibot_get(&sandbox, "list", "current=1&pageSize=1").await["errcode"], 0);
    sandbox.state().rotate_token(Source::Juzibot, "new".into());
    assert_eq!(juzibot_get(&sandbox, "list", "current=1&pageSize=1").await["errcode"], 40_001);

    assert_eq!(sandbox.state().calls_to(Endpoint::JuzibotList), 5);
    assert_eq!(sandbox.state().calls()[&Endpoint::JuzibotSetRemark], 1);
    sandbox.state().reset_calls();
    assert_eq!(sandbox.state().calls_to(Endpoint::JuzibotList), 0);
}

#[tokio::test]
async fn bad_parameters_of_a_read_are_refused_inside_http_200() {
    let sandbox = small().await;
    for query in [
        "",
        "current=1",
        "pageSize=1",
        "current=0&pageSize=1",
        "current=1&pageSize=0",
        "current=1&pageSize=1001",
        "current=+1&pageSize=1",
        "current=one&pageSize=1",
        "current=1&current=2&pageSize=1",
        "current=1&pageSize=1&limit=3",
    ] {
        assert_eq!(juzibot_get(&sandbox, "list", query).await["errcode"], 40_058, "{query}");
    }
    for query in ["", "unionId=", "id=1", "unionId=a&unionId=b"] {
        assert_eq!(juzibot_get(&sandbox, "detail", query).await["errcode"], 40_058, "{query}");
    }
    let beyond = juzibot_get(&sandbox, "list", "current=18446744073709551615&pageSize=1000").await;
    assert_eq!((&beyond["errcode"], &beyond["data"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn other_paths_methods_and_media_types_are_http_errors() {
    let sandbox = small().await;
    let base = format!("{}/api/v1/customer", sandbox.juzibot_url());
    assert_eq!(http().get(format!("{base}/lists?token={TOKEN}")).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let method = http().post(format!("{base}/list?token={TOKEN}")).send().await.unwrap();
    assert_eq!((method.status(), method.headers()["allow"].to_str().unwrap()), (StatusCode::METHOD_NOT_ALLOWED, "GET"));
    let media = http().post(format!("{base}/set_remark?token={TOKEN}")).body("{}").send().await.unwrap();
    assert_eq!(media.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let tanmas = http().post(format!("{}{}", sandbox.juzibot_url(), crate::clients::LIST)).send().await.unwrap();
    assert_eq!(tanmas.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_detail_is_found_by_either_id_and_the_union_id_wins() {
    let sandbox = small().await;
    let featured = sandbox.state().people().featured();
    let (external, union) = (featured.external_user_id, featured.union_id);
    let found = juzibot_get(&sandbox, "detail", &format!("externalUserId={external}")).await;
    assert_eq!(found["data"]["unionId"], union);
    assert!(found.get("total").is_none());
    assert_eq!(found["data"]["followUser"].as_array().unwrap().len(), 3);
    assert_eq!(juzibot_get(&sandbox, "detail", &format!("unionId={union}&externalUserId=other")).await, found);
    let lost = juzibot_get(&sandbox, "detail", &format!("unionId=other&externalUserId={external}")).await;
    assert_eq!(lost, json!({"errcode": 0, "errmsg": "ok", "data": null}));
}

#[tokio::test]
async fn not_found_takes_the_form_it_is_switched_to() {
    for (form, expected) in [
        (NotFound::NullData, json!({"errcode": 0, "errmsg": "ok", "data": null})),
        (NotFound::EmptyObject, json!({"errcode": 0, "errmsg": "ok", "data": {}})),
        (NotFound::AbsentData, json!({"errcode": 0, "errmsg": "ok"})),
        (NotFound::Code(40_003), json!({"errcode": 40_003, "errmsg": "customer not found"})),
    ] {
        let sandbox = with(Rules { not_found: form, ..Rules::default() }).await;
        assert_eq!(juzibot_get(&sandbox, "detail", "unionId=nobody").await, expected);
    }
}

#[tokio::test]
async fn a_remark_shows_afterwards_and_is_accounted_once() {
    let sandbox = small().await;
    let featured = sandbox.state().people().featured();
    assert_eq!(remark(&sandbox, "rocky", &featured.union_id, "新备注").await, json!({"errcode": 0, "errmsg": "ok"}));
    let item = json!({"userId": "lisi", "unionId": featured.union_id, "description": "只有描述"});
    juzibot_post(&sandbox, "set_remark", &json!({"remark_list": [item]})).await;

    let detail = juzibot_get(&sandbox, "detail", &format!("unionId={}", featured.union_id)).await;
    let list = juzibot_get(&sandbox, "list", "current=1&pageSize=1").await;
    assert_eq!(detail["data"]["followUser"][0]["remark"], "新备注");
    assert_eq!(list["data"][0], detail["data"]);
    let applied = sandbox.state().applied_remarks();
    assert_eq!(applied.len(), 2);
    assert_eq!((applied[0].staff_id.as_str(), applied[0].remark.as_deref()), ("rocky", Some("新备注")));
    assert_eq!((applied[1].remark.as_deref(), applied[1].description.as_deref()), (None, Some("只有描述")));
}

#[tokio::test]
async fn a_remark_for_a_stranger_is_echoed_with_its_reason() {
    for (form, code) in [(FailCode::Text, json!("84061")), (FailCode::Number, json!(84_061))] {
        let sandbox = with(Rules { fail_code: form, ..Rules::default() }).await;
        let union_id = sandbox.state().people().featured().union_id;
        let good = json!({"userId": "rocky", "unionId": union_id, "remark": "好"});
        let no_relation = json!({"userId": "dowen", "unionId": union_id, "remark": "a", "description": "b"});
        let unknown = json!({"userId": "rocky", "unionId": "o-unknown", "remark": "c"});
        let answer = juzibot_post(&sandbox, "set_remark", &json!({"remark_list": [no_relation, good, unknown]})).await;
        let failed = |mut item: Value| {
            item["errcode"] = code.clone();
            item["errmsg"] = json!("不存在外部联系人的关系");
            item
        };
        assert_eq!(answer["errcode"], 0);
        assert_eq!(answer["fail_list"], json!([failed(no_relation), failed(unknown)]));
        assert_eq!(sandbox.state().applied_remarks().len(), 1);
    }
}

#[tokio::test]
async fn a_text_too_long_refuses_the_request_or_the_item() {
    let long = [("remark", "备".repeat(21), -1), ("description", "描".repeat(151), -2)];
    for (field, text, code) in long {
        let whole = small().await;
        let per_item = with(Rules { too_long: TooLong::PerItem, ..Rules::default() }).await;
        let union_id = whole.state().people().featured().union_id;
        let fits =
            json!({"userId": "rocky", "unionId": union_id, "remark": "备".repeat(20), "description": "描".repeat(150)});
        let mut item = json!({"userId": "lisi", "unionId": union_id});
        item[field] = json!(text);
        let request = json!({"remark_list": [fits, item]});

        let refused = juzibot_post(&whole, "set_remark", &request).await;
        assert_eq!(refused["errcode"], code);
        assert!(refused.get("fail_list").is_none() && whole.state().applied_remarks().is_empty());

        let partial = juzibot_post(&per_item, "set_remark", &request).await;
        assert_eq!(partial["errcode"], 0);
        assert_eq!(partial["fail_list"][0]["errcode"], code.to_string());
        assert_eq!(per_item.state().applied_remarks().len(), 1);
    }
}

#[tokio::test]
async fn bad_remark_batches_are_refused_whole() {
    let sandbox = small().await;
    let union_id = sandbox.state().people().featured().union_id;
    let good = json!({"userId": "rocky", "unionId": union_id, "remark": "好"});
    let with = |field: &str, value: Value| {
        let mut item = good.clone();
        item[field] = value;
        item
    };
    for items in [
        json!([]),
        json!(vec![good.clone(); 51]),
        json!([good, with("remark", json!(""))]),
        json!([with("remark", json!(7))]),
        json!([with("remark", Value::Null)]),
        json!([with("extra", json!("x"))]),
        json!([with("userId", json!(""))]),
        json!([{"userId": "rocky", "remark": "x"}]),
    ] {
        let answer = juzibot_post(&sandbox, "set_remark", &json!({"remark_list": items})).await;
        assert_eq!(answer["errcode"], 40_058, "{items}");
    }
    assert_eq!(juzibot_post(&sandbox, "set_remark", &json!({"list": []})).await["errcode"], 40_058);
    assert!(sandbox.state().applied_remarks().is_empty());
    assert_eq!(juzibot_post(&sandbox, "set_remark", &json!({"remark_list": vec![good; 50]})).await["errcode"], 0);
    assert_eq!(sandbox.state().applied_remarks().len(), 50);
}

#[tokio::test]
async fn follow_ups_are_recorded_and_failures_echoed_without_a_reason() {
    let sandbox = small().await;
    let union_id = sandbox.state().people().featured().union_id;
    let text = json!([{"content": "一", "timestamp": 1_602_667_647}, {"content": "二"}]);
    let good = json!({"unionId": union_id, "userId": "rocky", "text": text});
    let bad = json!({"unionId": union_id, "userId": "dowen", "text": text});
    let answer = juzibot_post(&sandbox, "add_follow", &json!({"follow_list": [bad, good]})).await;
    assert_eq!(answer, json!({"errcode": 0, "errmsg": "ok", "fail_list": [bad]}));
    let applied = sandbox.state().applied_follow_ups();
    assert_eq!(
        applied.iter().map(|one| (one.content.as_str(), one.timestamp)).collect::<Vec<_>>(),
        [("一", Some(1_602_667_647)), ("二", None)]
    );
}

#[tokio::test]
async fn bad_follow_up_batches_are_refused_whole() {
    let sandbox = small().await;
    let union_id = sandbox.state().people().featured().union_id;
    let entry = |text: Value| json!({"unionId": union_id, "userId": "rocky", "text": text});
    let good = entry(json!([{"content": "x"}]));
    for entries in [
        json!([]),
        json!(vec![good.clone(); 501]),
        json!([good, entry(json!([]))]),
        json!([entry(json!([{"content": ""}]))]),
        json!([entry(json!([{"content": "x", "timestamp": 1_602_667_647_000_i64}]))]),
        json!([entry(json!([{"content": "x", "timestamp": "1602667647"}]))]),
        json!([entry(json!([{"content": "x", "at": 1}]))]),
    ] {
        let answer = juzibot_post(&sandbox, "add_follow", &json!({"follow_list": entries})).await;
        assert_eq!(answer["errcode"], 40_058);
    }
    assert!(sandbox.state().applied_follow_ups().is_empty());
    assert_eq!(juzibot_post(&sandbox, "add_follow", &json!({"follow_list": vec![good; 500]})).await["errcode"], 0);
    assert_eq!(sandbox.state().applied_follow_ups().len(), 500);
}

#[tokio::test]
async fn the_envelope_can_be_spelled_the_other_way() {
    let sandbox = with(Rules { envelope: Envelope::CodeMessage, ..Rules::default() }).await;
    let good = juzibot_get(&sandbox, "list", "current=1&pageSize=1").await;
    assert_eq!((&good["code"], &good["message"], good.get("errcode")), (&json!(0), &json!("ok"), None));
    let bad = juzibot_get(&sandbox, "list", "").await;
    assert_eq!(bad["code"], 40_058);
}
