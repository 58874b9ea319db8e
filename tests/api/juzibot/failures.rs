//! What a caller is told where JuziBot fails.

use serde_json::{Value, json};

use super::{JUZIBOT, WRITES};
use crate::support::failures::{FAILURES, Items, check_discretion, check_reads};
use crate::support::{JUZIBOT_TOKEN, Stage};

#[tokio::test]
async fn every_failure_of_a_read_is_told_for_what_it_is() {
    check_reads(JUZIBOT).await;
}

#[tokio::test]
async fn a_batch_of_one_chunk_is_the_failure_or_else_unconfirmed() {
    for failure in FAILURES {
        let failing = failure.stage(JUZIBOT).await;
        for write in WRITES {
            let batch = json!({"items": [(write.item)("rocky"), (write.item)("other")]});
            let reply = failing.gateway.post(write.path, &batch).await;
            if failure.items != Items::Unconfirmed {
                failure.check(JUZIBOT, &reply);
                continue;
            }
            let data = reply.ok()["data"].clone();
            assert_eq!(
                data["summary"],
                json!({"succeeded": 0, "failed": 0, "not_sent": 0, "unconfirmed": 2}),
                "{}",
                failure.name
            );
            for (index, result) in data["results"].as_array().unwrap().iter().enumerate() {
                assert_eq!((&result["index"], &result["status"]), (&json!(index), &json!("unconfirmed")));
                assert_eq!(result["problem"]["code"], failure.code, "{}", failure.name);
                failure.check_upstream(&result["problem"]);
            }
            check_discretion(failure.name, &reply.body);
        }
    }
}

#[tokio::test]
async fn where_one_chunk_of_two_fails_its_items_alone_are_said_to() {
    // The slow one's short timeout would be the other chunk's too.
    let failures = FAILURES.iter().filter(|failure| failure.items != Items::NotSent && failure.name != "slow");
    for failure in failures {
        let failing = failure.stage_where(JUZIBOT, "in-trouble").await;
        for write in WRITES {
            let mut items: Vec<Value> = (0..write.max_batch).map(|n| (write.item)(&format!("staff-{n}"))).collect();
            items.push((write.item)("in-trouble"));
            let reply = failing.gateway.post(write.path, &json!({"items": items})).await;
            let data = reply.ok()["data"].clone();
            let results = data["results"].as_array().unwrap();
            let (last, others) = results.split_last().unwrap();
            assert_eq!(others.len(), write.max_batch);
            assert!(others.iter().all(|result| result["status"] == "succeeded"), "{}", failure.name);
            assert_eq!(last["status"], failure.items.word(), "{}", failure.name);
            assert_eq!(last["problem"]["code"], failure.code, "{}", failure.name);
            failure.check_upstream(&last["problem"]);
            assert_eq!(data["summary"]["succeeded"], write.max_batch);
            assert_eq!(data["summary"][failure.items.word()], 1, "{}", failure.name);
            check_discretion(failure.name, &reply.body);
        }
    }
}

#[tokio::test]
async fn a_message_of_the_source_is_cut_and_its_credentials_are_replaced() {
    let message = format!("token {JUZIBOT_TOKEN} is not valid{}", "长".repeat(300));
    let stage = Stage::answering(JUZIBOT, &JUZIBOT.envelope(99_999, &message, &json!({}))).await;
    let reply = stage.detail().await;
    let problem = reply.problem(502, "source_rejected");
    let told = problem["upstream"]["message"].as_str().unwrap();
    assert!(told.starts_with("token [redacted] is not valid长"), "{told}");
    assert_eq!(told.chars().count(), 200);
    check_discretion("an echoed token", &reply.body);
}
