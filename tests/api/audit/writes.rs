//! Writes: one line a chunk, with each relation and what became of it.

use std::sync::Arc;
use std::time::Duration;

use scrm_gateway::sandbox::faults::{Effect, Rule};
use scrm_gateway::sandbox::{Endpoint, Source};
use serde_json::{Value, json};

use super::{hashed, post, trail, trail_of};
use crate::support::people::writable;
use crate::support::{Gateway, GatewayOptions};

const REMARKS: &str = "/v1/remarks?source=juzibot";
const NOTES: &str = "/v1/follow-ups?source=juzibot";
const UNKNOWN: &str = "ozNobodyKnowsThisCustomer000";

async fn gateway() -> Gateway {
    let mut options = GatewayOptions::default();
    options.sandbox.customers = 400;
    options.juzibot_codes = "retryable = [50001]".to_owned();
    Gateway::with(options).await
}

fn items(gateway: &Gateway, count: usize, text: &str) -> Vec<Value> {
    let pairs: Vec<_> = writable(gateway.sandbox.state()).take(count).collect();
    assert_eq!(pairs.len(), count);
    let item =
        |(staff_id, union_id): &(&str, String)| json!({"staff_id": staff_id, "union_id": union_id, text: "said"});
    pairs.iter().map(item).collect()
}

fn body(items: &[Value]) -> String {
    json!({"items": items}).to_string()
}

/// A relation as the trail has it.
fn relation(item: &Value, status: &str) -> String {
    let id = |key: &str| hashed(item[key].as_str().unwrap());
    format!("{}/{}:{status}", id("staff_id"), id("union_id"))
}

fn line(operation: &str, relations: &[String], counts: [usize; 4], outcome: &str) -> Value {
    let [succeeded, failed, not_sent, unconfirmed] = counts;
    json!({
        "operation": operation, "source": "juzibot", "relations": relations.join(" "), "outcome": outcome,
        "succeeded": succeeded, "failed": failed, "not_sent": not_sent, "unconfirmed": unconfirmed,
    })
}

#[tokio::test]
async fn a_write_tells_who_wrote_about_whom_and_what_became_of_each() {
    let gateway = gateway().await;
    let mut items = items(&gateway, 2, "remark");
    items.push(json!({"staff_id": "rocky", "union_id": UNKNOWN, "remark": "said"}));
    post(&gateway, "audited-mixed", &json!({}), REMARKS, &body(&items), &[]).await.ok();
    let relations = [relation(&items[0], "succeeded"), relation(&items[1], "succeeded"), relation(&items[2], "failed")];
    assert_eq!(trail("audited-mixed"), [line("set_remarks", &relations, [2, 1, 0, 0], "ok")]);
    gateway.stop().await;
}

#[tokio::test]
async fn several_notes_on_one_relation_are_one_relation_and_counted_each() {
    let gateway = gateway().await;
    let notes = vec![items(&gateway, 1, "content").remove(0); 3];
    post(&gateway, "audited-notes", &json!({}), NOTES, &body(&notes), &[]).await.ok();
    let relations = [relation(&notes[0], "succeeded")];
    assert_eq!(trail("audited-notes"), [line("add_follow_ups", &relations, [3, 0, 0, 0], "ok")]);
    gateway.stop().await;
}

#[tokio::test]
async fn the_lines_of_a_large_batch_hold_each_relation_once_and_none_is_longer_than_a_runtime_takes() {
    let gateway = gateway().await;
    for (id, path, text, count) in
        [("audited-many-remarks", REMARKS, "remark", 130), ("audited-many-notes", NOTES, "content", 400)]
    {
        let items = items(&gateway, count, text);
        post(&gateway, id, &json!({}), path, &body(&items), &[]).await.ok();
        let lines = trail(id);
        assert!(lines.len() > 1);
        assert!(lines.iter().all(|line| line.to_string().len() < 15 * 1024));
        let texts = lines.iter().map(|line| line["relations"].as_str().unwrap());
        let mut told: Vec<String> = texts.flat_map(|text| text.split(' ').map(str::to_owned)).collect();
        let mut expected: Vec<String> = items.iter().map(|item| relation(item, "succeeded")).collect();
        told.sort();
        expected.sort();
        assert_eq!(told, expected);
        let counted: u64 = lines.iter().map(|line| line["succeeded"].as_u64().unwrap()).sum();
        assert_eq!(counted, count as u64);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_fails_is_told_with_its_code() {
    let gateway = gateway().await;
    let items = items(&gateway, 1, "remark");
    let code = |code, applied| Effect::Code { code, message: "said".to_owned(), applied };
    for (name, effect, status, counts, outcome) in [
        ("refused", code(40_058, false), "failed", [0, 1, 0, 0], "validation_failed"),
        ("retryable", code(50_001, true), "unconfirmed", [0, 0, 0, 1], "source_unavailable"),
        ("lost", Effect::Reset { applied: true }, "unconfirmed", [0, 0, 0, 1], "source_unavailable"),
        ("html", Effect::Html { applied: true }, "unconfirmed", [0, 0, 0, 1], "source_bad_payload"),
        ("token", Effect::TokenRevoked, "failed", [0, 1, 0, 0], "source_credentials"),
    ] {
        let id = format!("audited-{name}");
        gateway.sandbox.state().set_faults(vec![Rule::new(Source::Juzibot, effect)]).await.unwrap();
        post(&gateway, &id, &json!({}), REMARKS, &body(&items), &[]).await;
        let relations = [relation(&items[0], status)];
        assert_eq!(trail(&id), [line("set_remarks", &relations, counts, outcome)], "{name}");
    }
    gateway.sandbox.state().set_faults(vec![Rule::new(Source::Juzibot, Effect::RefuseConnections)]).await.unwrap();
    post(&gateway, "audited-closed", &json!({}), REMARKS, &body(&items), &[]).await;
    let relations = [relation(&items[0], "not_sent")];
    assert_eq!(trail("audited-closed"), [line("set_remarks", &relations, [0, 0, 1, 0], "source_unavailable")]);
    gateway.stop().await;
}

#[tokio::test]
async fn chunks_that_are_not_sent_for_refused_credentials_are_told() {
    let gateway = gateway().await;
    let items = items(&gateway, 300, "remark");
    gateway.fault(Rule::new(Source::Juzibot, Effect::TokenRevoked)).await;
    post(&gateway, "audited-stopped", &json!({}), REMARKS, &body(&items), &[]).await;
    let lines = trail("audited-stopped");
    assert_eq!(lines.len(), 6, "a chunk each");
    let of = |key: &str| lines.iter().map(|line| line[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(of("failed") + of("not_sent"), 300);
    assert!(of("not_sent") >= 100, "four chunks at most were under way");
    assert!(lines.iter().all(|line| line["outcome"] == "source_credentials"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_replay_is_told_as_one_and_so_is_a_key_that_cannot_be_used() {
    let gateway = gateway().await;
    let notes = body(&items(&gateway, 1, "content"));
    let key = [("idempotency-key", "audited-key-1")];
    post(&gateway, "audited-first", &json!({}), NOTES, &notes, &key).await.ok();
    post(&gateway, "audited-again", &json!({}), NOTES, &notes, &key).await.ok();
    assert_eq!(trail("audited-first").len(), 1);
    let told = |outcome: &str| json!({"operation": "add_follow_ups", "source": "juzibot", "outcome": outcome});
    assert_eq!(trail("audited-again"), [told("replayed")]);
    let other = body(&items(&gateway, 2, "content"));
    post(&gateway, "audited-reused", &json!({}), NOTES, &other, &key).await.problem(422, "idempotency_key_reused");
    let refused = json!({"operation": "add_follow_ups", "outcome": "idempotency_key_reused"});
    assert_eq!(trail("audited-reused"), [refused]);
    gateway.stop().await;
}

/// Asks to write 400 remarks, eight chunks, and leaves when as many of them are under way as may be: four.
async fn leave(gateway: &Arc<Gateway>, id: &'static str, headers: &'static [(&str, &str)]) {
    let items = body(&items(gateway, 400, "remark"));
    let asked = tokio::spawn({
        let gateway = gateway.clone();
        async move { post(&gateway, id, &json!({}), REMARKS, &items, headers).await }
    });
    gateway.asked(Endpoint::JuzibotSetRemark, 4).await;
    asked.abort();
}

/// How many items the lines have under each key, and how many of the lines are of chunks that nobody waited for.
fn sums(lines: &[Value], keys: [&str; 3]) -> ([u64; 3], usize) {
    let of = |key: &str| lines.iter().map(|line| line[key].as_u64().unwrap()).sum::<u64>();
    (keys.map(of), lines.iter().filter(|line| line["outcome"] == "abandoned").count())
}

#[tokio::test]
async fn a_write_whose_caller_has_left_is_told_chunk_by_chunk() {
    let gateway = Arc::new(gateway().await);
    let keys = ["succeeded", "unconfirmed", "not_sent"];
    // No answer comes before it is seen that the caller has left, however late that is.
    gateway.fault(Rule::new(Endpoint::JuzibotSetRemark, Effect::NeverAnswer { applied: true })).await;
    leave(&gateway, "audited-left", &[]).await;
    assert_eq!(sums(&trail_of("audited-left", 4).await, keys), ([0, 0, 200], 4), "what has not begun is told at once");
    // Ends the connections on which the others wait.
    gateway.sandbox.state().set_faults(vec![Rule::new(Source::Juzibot, Effect::RefuseConnections)]).await.unwrap();
    assert_eq!(sums(&trail_of("audited-left", 8).await, keys), ([0, 200, 200], 4));
    Arc::into_inner(gateway).unwrap().stop().await;
}

#[tokio::test]
async fn a_write_with_a_key_is_told_to_its_end_though_its_caller_has_left() {
    let gateway = Arc::new(gateway().await);
    let slow = Duration::from_millis(300);
    gateway.fault(Rule::new(Endpoint::JuzibotSetRemark, Effect::Delay { min: slow, max: None, applied: false })).await;
    leave(&gateway, "audited-left-with-key", &[("idempotency-key", "audited-key-2")]).await;
    let lines = trail_of("audited-left-with-key", 8).await;
    assert_eq!(sums(&lines, ["succeeded", "unconfirmed", "not_sent"]), ([400, 0, 0], 0), "it runs on: {lines:?}");
    Arc::into_inner(gateway).unwrap().stop().await;
}
