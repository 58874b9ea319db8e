//! What becomes of the items where the source lists failures (contract §3.5).

use serde_json::{Value, json};

use super::{JUZIBOT, WRITES, note, remark};
use crate::support::{Stage, fixture};

/// An entry of `fail_list`, as the source echoes an item of [`remark`] and [`note`].
fn failed(staff_id: &str, rest: &Value) -> Value {
    let mut entry = json!({"userId": staff_id, "unionId": "o-one"});
    entry.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    entry
}

/// Status, code of the problem and `upstream` of each item.
async fn outcomes(stage: &Stage, path: &str, items: &[Value]) -> Vec<(String, Value, Value)> {
    let data = stage.gateway.post(path, &json!({"items": items})).await.ok()["data"].clone();
    let results = data["results"].as_array().unwrap();
    let outcome = |(index, result): (usize, &Value)| {
        assert_eq!(result["index"], index);
        let problem = &result["problem"];
        (result["status"].as_str().unwrap().to_owned(), problem["code"].clone(), problem["upstream"].clone())
    };
    results.iter().enumerate().map(outcome).collect()
}

/// The statuses alone.
async fn statuses(stage: &Stage, path: &str, items: &[Value]) -> Vec<String> {
    outcomes(stage, path, items).await.into_iter().map(|(status, ..)| status).collect()
}

#[tokio::test]
async fn all_succeed_where_the_source_lists_no_failure() {
    for list in [json!({}), json!({"fail_list": null}), json!({"fail_list": []})] {
        let stage = Stage::answering(JUZIBOT, &JUZIBOT.envelope(0, "ok", &list)).await;
        for write in WRITES {
            let items = [(write.item)("a"), (write.item)("b")];
            assert_eq!(statuses(&stage, write.path, &items).await, ["succeeded", "succeeded"], "{list}");
        }
    }
}

#[tokio::test]
async fn a_listed_remark_failed_and_the_others_succeeded() {
    let stage = Stage::answering(JUZIBOT, &fixture("juzibot/set_remark.partial.json")).await;
    let mut listed = remark("zhangsan");
    listed["union_id"] = json!("ozynqsulJFCZ2z1aYeS8h-nuasdAAA");
    // The same staff member and another customer, another staff member and the same customer.
    let mut other = remark("rocky");
    other["union_id"] = listed["union_id"].clone();
    let items = [remark("zhangsan"), listed, other];
    let outcomes = outcomes(&stage, "/v1/remarks", &items).await;
    let none = Value::Null;
    assert_eq!(outcomes[0], ("succeeded".to_owned(), none.clone(), none.clone()));
    // The sample's code and message are empty: the source said nothing.
    assert_eq!(outcomes[1], ("failed".to_owned(), json!("validation_failed"), none.clone()));
    assert_eq!(outcomes[2], ("succeeded".to_owned(), none.clone(), none));
}

#[tokio::test]
async fn a_listed_remark_tells_the_sources_code_and_message() {
    for code in [json!(-1), json!("-1")] {
        let list = json!({"fail_list": [failed("a", &json!({"errcode": code, "errmsg": "too long"}))]});
        let stage = Stage::answering(JUZIBOT, &JUZIBOT.envelope(0, "ok", &list)).await;
        let outcomes = outcomes(&stage, "/v1/remarks", &[remark("a")]).await;
        assert_eq!(outcomes[0].0, "failed");
        assert_eq!(outcomes[0].2, json!({"code": "-1", "message": "too long"}));
    }
}

#[tokio::test]
async fn all_notes_of_a_listed_entry_failed() {
    let stage = Stage::answering(JUZIBOT, &fixture("juzibot/add_follow.partial.json")).await;
    let mut listed = note("zhangsan");
    listed["union_id"] = json!("ozynqsulJFCZ2z1aYeS8h-nuasdAAA");
    let items = [listed.clone(), note("rocky"), listed];
    let outcomes = outcomes(&stage, "/v1/follow-ups", &items).await;
    assert_eq!([&outcomes[0].0, &outcomes[1].0, &outcomes[2].0], ["failed", "succeeded", "failed"]);
    assert_eq!(outcomes[0].2, Value::Null);
}

#[tokio::test]
async fn a_listed_failure_that_matches_nothing_sent_leaves_a_doubt_on_the_others() {
    for stray in [failed("nobody", &json!({})), json!({"userId": "b"}), json!({})] {
        let list = json!({"fail_list": [failed("a", &json!({})), stray]});
        let stage = Stage::answering(JUZIBOT, &JUZIBOT.envelope(0, "ok", &list)).await;
        for write in WRITES {
            let items = [(write.item)("a"), (write.item)("b")];
            assert_eq!(statuses(&stage, write.path, &items).await, ["failed", "unconfirmed"], "{list}");
        }
    }
}

#[tokio::test]
async fn a_failing_code_with_a_list_leaves_a_doubt_on_those_it_does_not_list() {
    for code in [-1, 40001, 99_999] {
        let list = json!({"fail_list": [failed("a", &json!({}))]});
        let stage = Stage::answering(JUZIBOT, &JUZIBOT.envelope(code, "no", &list)).await;
        for write in WRITES {
            let items = [(write.item)("a"), (write.item)("b")];
            let outcomes = outcomes(&stage, write.path, &items).await;
            assert_eq!((outcomes[0].0.as_str(), outcomes[1].0.as_str()), ("failed", "unconfirmed"), "{code}");
            assert_eq!(outcomes[1].2, json!({"code": code.to_string(), "message": "no"}));
        }
    }
}

#[tokio::test]
async fn a_chunk_refused_as_not_found_is_unconfirmed() {
    let stage = Stage::answering(JUZIBOT, &JUZIBOT.envelope(84061, "no such", &json!({}))).await;
    let gateway = JUZIBOT.gateway(&stage.source.uri(), "", "not_found = [84061]").await;
    for write in WRITES {
        let body = gateway.post(write.path, &json!({"items": [(write.item)("a")]})).await.ok();
        assert_eq!(body["data"]["results"][0]["status"], "unconfirmed");
        assert_eq!(body["data"]["results"][0]["problem"]["upstream"]["code"], "84061");
    }
}

#[tokio::test]
async fn a_write_is_not_sent_again_whatever_becomes_of_it() {
    let stage = Stage::answering(JUZIBOT, &JUZIBOT.envelope(50001, "busy", &json!({}))).await;
    let gateway = JUZIBOT.gateway(&stage.source.uri(), "", "retryable = [50001]").await;
    for write in WRITES {
        gateway.post(write.path, &json!({"items": [(write.item)("a")]})).await.ok();
    }
    assert_eq!(stage.calls().await.len(), WRITES.len());
}
