//! The table of item statuses, row by row.

use std::time::Duration;

use scrm_gateway::sandbox::faults::{Effect, Rule, When};
use scrm_gateway::sandbox::{Endpoint, Source};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{applied, gateway, gateway_with, really_applied, remarks, set, statuses};
use crate::support::people::writable;
use crate::support::{Gateway, GatewayOptions};

/// Whether the struck chunk takes effect at the source.
const LOST: bool = false;
const APPLIED: bool = true;

fn code(code: i64, applied: bool) -> Effect {
    let message = "系统说不".to_owned();
    Effect::Code { code, message, applied }
}

fn status(status: u16, applied: bool) -> Effect {
    Effect::Status { status, retry_after: None, body: "sorry".to_owned(), applied }
}

/// Sends two chunks, of which the first to arrive is struck; tells the struck one's status and problem.
async fn strike(gateway: &Gateway, items: &[Value], effect: Effect, takes_effect: bool) -> (String, Value) {
    let state = gateway.sandbox.state();
    state.set_faults(vec![Rule::new(Endpoint::JuzibotSetRemark, effect).when(When::First(1))]).await.unwrap();
    let before = (state.applied_remarks().len(), gateway.calls_to(Endpoint::JuzibotSetRemark));
    let body = set(gateway, items).await.ok();
    let calls = gateway.calls_to(Endpoint::JuzibotSetRemark) - before.1;
    assert_eq!(calls, 2, "a write is never sent again: {body}");
    let statuses = statuses(&body);
    let struck: Vec<usize> = (0..100).filter(|index| statuses[*index] != "succeeded").collect();
    assert!(struck == (0..50).collect::<Vec<_>>() || struck == (50..100).collect::<Vec<_>>(), "{struck:?}");
    let results = &body["data"]["results"];
    let first = &results[struck[0]];
    for index in &struck {
        assert_eq!(results[index]["status"], first["status"]);
        assert_eq!(results[index]["problem"], first["problem"]);
    }
    let written = state.applied_remarks().len() - before.0;
    assert_eq!(written, if takes_effect { 100 } else { 50 }, "{first}");
    (statuses[struck[0]].clone(), first["problem"].clone())
}

/// Every way in which a whole chunk can go wrong: what its items are, and why.
#[tokio::test]
async fn a_chunk_that_goes_wrong_leaves_each_item_with_what_is_certain_of_it() {
    let gateway = gateway_with(GatewayOptions {
        juzibot: "write_timeout = \"300ms\"".to_owned(),
        juzibot_codes: "rate_limited = [45009]\nretryable = [\"-5\"]".to_owned(),
        ..GatewayOptions::default()
    })
    .await;
    let items = remarks(&gateway, 100);
    let silent = |applied| Effect::NeverAnswer { applied };
    let reset = |applied| Effect::Reset { applied };
    let table = [
        // Decoded refusals, and HTTP statuses that are one.
        (code(-1, LOST), LOST, "failed", "validation_failed", Some("-1")),
        (code(-2, LOST), LOST, "failed", "validation_failed", Some("-2")),
        (code(45_009, LOST), LOST, "failed", "source_rate_limited", Some("45009")),
        (status(400, LOST), LOST, "failed", "source_rejected", None),
        (status(404, LOST), LOST, "failed", "source_rejected", None),
        (status(413, LOST), LOST, "failed", "source_rejected", None),
        (status(431, LOST), LOST, "failed", "source_rejected", None),
        (status(429, LOST), LOST, "failed", "source_rate_limited", None),
        // What may have been applied, whether it was or not.
        (code(-5, LOST), LOST, "unconfirmed", "source_unavailable", Some("-5")),
        (code(-5, APPLIED), APPLIED, "unconfirmed", "source_unavailable", Some("-5")),
        (code(99_999, LOST), LOST, "unconfirmed", "source_rejected", Some("99999")),
        (code(99_999, APPLIED), APPLIED, "unconfirmed", "source_rejected", Some("99999")),
        // A proxy that timed out, or redirects, may have forwarded the request.
        (status(408, LOST), LOST, "unconfirmed", "source_rejected", None),
        (status(408, APPLIED), APPLIED, "unconfirmed", "source_rejected", None),
        (status(302, LOST), LOST, "unconfirmed", "source_rejected", None),
        (status(303, APPLIED), APPLIED, "unconfirmed", "source_rejected", None),
        (status(500, LOST), LOST, "unconfirmed", "source_unavailable", None),
        (status(502, APPLIED), APPLIED, "unconfirmed", "source_unavailable", None),
        (status(503, APPLIED), APPLIED, "unconfirmed", "source_unavailable", None),
        (reset(LOST), LOST, "unconfirmed", "source_unavailable", None),
        (reset(APPLIED), APPLIED, "unconfirmed", "source_unavailable", None),
        (silent(LOST), LOST, "unconfirmed", "source_timeout", None),
        (silent(APPLIED), APPLIED, "unconfirmed", "source_timeout", None),
        // Answers that cannot be read.
        (Effect::Html { applied: APPLIED }, APPLIED, "unconfirmed", "source_bad_payload", None),
        (Effect::Html { applied: LOST }, LOST, "unconfirmed", "source_bad_payload", None),
        (Effect::Truncate { keep: None }, APPLIED, "unconfirmed", "source_bad_payload", None),
        (Effect::StrayFailure, APPLIED, "unconfirmed", "source_bad_data", None),
    ];
    for (effect, takes_effect, expected, problem_code, upstream) in table {
        let name = format!("{effect:?}");
        let (status, problem) = strike(&gateway, &items, effect, takes_effect).await;
        assert_eq!(status, expected, "{name}");
        assert_eq!(problem["code"], problem_code, "{name}");
        if status == "unconfirmed" {
            assert_eq!(problem["retryable"], false, "{name}");
        } else {
            assert_eq!(problem["retryable"], problem_code == "source_rate_limited", "{name}");
        }
        assert_eq!(problem["upstream"]["code"].as_str(), upstream, "{name}");
        if upstream.is_some() {
            assert_eq!(problem["upstream"]["message"], "系统说不", "{name}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn listed_items_failed_and_the_rest_succeeded() {
    let gateway = gateway().await;
    gateway
        .fault(Rule::new(Endpoint::JuzibotSetRemark, Effect::FailItems { items: 3, code: 0, item_code: 40_035 }))
        .await;
    let items = remarks(&gateway, 10);
    let body = set(&gateway, &items).await.ok();
    assert_eq!(statuses(&body)[..3], ["failed"; 3]);
    assert_eq!(statuses(&body)[3..], ["succeeded"; 7]);
    assert_eq!(body["data"]["results"][0]["problem"]["upstream"]["code"], "40035");
    assert_eq!(really_applied(&gateway), applied(&items[3..]));
    gateway.stop().await;
}

#[tokio::test]
async fn where_the_code_is_no_success_what_is_not_listed_is_unconfirmed() {
    let gateway = gateway().await;
    gateway
        .fault(Rule::new(Endpoint::JuzibotSetRemark, Effect::FailItems { items: 3, code: 77_001, item_code: 40_035 }))
        .await;
    let body = set(&gateway, &remarks(&gateway, 10)).await.ok();
    assert_eq!(statuses(&body)[..3], ["failed"; 3]);
    assert_eq!(statuses(&body)[3..], ["unconfirmed"; 7]);
    let results = &body["data"]["results"];
    assert_eq!(results[0]["problem"]["upstream"]["code"], "40035");
    assert_eq!(results[3]["problem"]["upstream"]["code"], "77001");
    assert_eq!(results[3]["problem"]["retryable"], false);
    gateway.stop().await;
}

#[tokio::test]
async fn an_entry_of_follow_ups_that_failed_fails_all_its_notes_without_a_code_of_its_own() {
    let gateway = gateway().await;
    gateway.fault(Rule::new(Endpoint::JuzibotAddFollow, Effect::FailItems { items: 1, code: 0, item_code: 0 })).await;
    let pairs: Vec<_> = writable(gateway.sandbox.state()).take(2).collect();
    let items: Vec<Value> = (0..6)
        .map(|n| {
            let (staff_id, union_id) = &pairs[n % 2];
            json!({"staff_id": staff_id, "union_id": union_id, "content": format!("note {n}")})
        })
        .collect();
    let body = gateway.post("/v1/follow-ups", &json!({"items": items})).await.ok();
    let expected = ["failed", "succeeded"].repeat(3);
    assert_eq!(statuses(&body), expected);
    let problem = &body["data"]["results"][0]["problem"];
    assert_eq!((problem["code"].as_str(), &problem["upstream"]), (Some("validation_failed"), &Value::Null));
    gateway.stop().await;
}

#[tokio::test]
async fn credentials_that_are_refused_midway_stop_further_chunks() {
    let gateway = gateway().await;
    gateway.fault(Rule::new(Endpoint::JuzibotSetRemark, code(40_001, LOST)).after(2)).await;
    let items = remarks(&gateway, 1_000);
    let body = set(&gateway, &items).await.ok();
    let statuses = statuses(&body);
    let count = |status: &str| statuses.iter().filter(|one| *one == status).count();
    assert_eq!(count("succeeded"), 100);
    assert_eq!(count("unconfirmed"), 0);
    // Two chunks at most have set off since, into the places of those that succeeded.
    assert!((50..=200).contains(&count("failed")), "{}", count("failed"));
    assert_eq!(count("failed") + count("not_sent"), 900);
    let calls = gateway.calls_to(Endpoint::JuzibotSetRemark);
    assert_eq!(usize::try_from(calls).unwrap(), (1_000 - count("not_sent")) / 50);
    for (result, status) in body["data"]["results"].as_array().unwrap().iter().zip(&statuses) {
        if status != "succeeded" {
            assert_eq!(result["problem"]["code"], "source_credentials", "{status}");
        }
    }
    assert_eq!(really_applied(&gateway).len(), 100);
    gateway.stop().await;
}

#[tokio::test]
async fn a_refusal_that_is_not_of_credentials_stops_nothing() {
    let gateway = gateway().await;
    gateway.fault(Rule::new(Endpoint::JuzibotSetRemark, code(-1, LOST)).when(When::First(3))).await;
    let body = set(&gateway, &remarks(&gateway, 1_000)).await.ok();
    assert_eq!(body["data"]["summary"], json!({"succeeded": 850, "failed": 150, "not_sent": 0, "unconfirmed": 0}));
    assert_eq!(gateway.calls_to(Endpoint::JuzibotSetRemark), 20);
    gateway.stop().await;
}

#[tokio::test]
async fn a_spent_deadline_leaves_the_rest_unsent_and_what_is_in_flight_unconfirmed() {
    let gateway = gateway().await;
    gateway.fault(Rule::new(Endpoint::JuzibotSetRemark, Effect::NeverAnswer { applied: APPLIED }).after(4)).await;
    let items = remarks(&gateway, 1_000);
    let started = Instant::now();
    let headers = [("content-type", "application/json"), ("prefer", "wait=1")];
    let body = json!({"items": items}).to_string().into_bytes();
    let reply = gateway.send(reqwest::Method::POST, "/v1/remarks", &headers, Some(body)).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let body = reply.ok();
    assert_eq!(body["data"]["summary"], json!({"succeeded": 200, "failed": 0, "not_sent": 600, "unconfirmed": 200}));
    assert_eq!(gateway.calls_to(Endpoint::JuzibotSetRemark), 8);
    let problem_of = |status: &str| {
        let results = body["data"]["results"].as_array().unwrap();
        let result = results.iter().find(|result| result["status"] == status).unwrap();
        json!([result["problem"]["code"], result["problem"]["retryable"]])
    };
    assert_eq!(problem_of("unconfirmed"), json!(["source_timeout", false]));
    assert_eq!(problem_of("not_sent"), json!(["source_timeout", true]));
    gateway.stop().await;
}

#[tokio::test]
async fn where_every_chunk_was_refused_whole_the_answer_is_the_problem() {
    let gateway = gateway().await;
    let items = remarks(&gateway, 1_000);
    gateway.sandbox.state().revoke_token(Source::Juzibot);
    let problem = set(&gateway, &items).await.problem(502, "source_credentials");
    assert_eq!(problem["source"], "juzibot");
    assert_eq!(problem["upstream"]["code"], "40001");
    let calls = gateway.calls_to(Endpoint::JuzibotSetRemark);
    assert!((1..=4).contains(&calls), "no further chunk sets off: {calls}");
    gateway.sandbox.state().restore_token(Source::Juzibot);

    for (effect, expected) in [
        (code(-1, LOST), (422, "validation_failed")),
        (status(418, LOST), (502, "source_rejected")),
        (status(429, LOST), (503, "source_rate_limited")),
    ] {
        let rule = Rule::new(Endpoint::JuzibotSetRemark, effect);
        gateway.sandbox.state().set_faults(vec![rule]).await.unwrap();
        set(&gateway, &items).await.problem(expected.0, expected.1);
    }
    assert!(really_applied(&gateway).is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn a_source_that_cannot_be_reached_was_sent_nothing() {
    let gateway = gateway().await;
    gateway.fault(Rule::new(Source::Juzibot, Effect::RefuseConnections)).await;
    let problem = set(&gateway, &remarks(&gateway, 120)).await.problem(503, "source_unavailable");
    assert_eq!(problem["source"], "juzibot");
    assert_eq!(gateway.calls_to(Endpoint::JuzibotSetRemark), 0);
    gateway.sandbox.state().clear_faults().await;
    set(&gateway, &remarks(&gateway, 120)).await.ok();
    gateway.stop().await;
}

#[tokio::test]
async fn where_every_chunk_is_unconfirmed_the_caller_is_told_so_item_by_item() {
    let gateway = gateway().await;
    gateway.fault(Rule::new(Endpoint::JuzibotSetRemark, Effect::Reset { applied: APPLIED })).await;
    let items = remarks(&gateway, 60);
    let body = set(&gateway, &items).await.ok();
    assert_eq!(statuses(&body), ["unconfirmed"; 60]);
    let report = &body["meta"]["sources"][0];
    assert_eq!(report["status"], "failed");
    assert_eq!(report["problem"]["retryable"], false, "nor does the report invite to send the batch again");
    assert_eq!(really_applied(&gateway), applied(&items), "each exactly once");
    gateway.stop().await;
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_cut_the_chunk_in_flight_and_no_new_one_starts() {
    let gateway = gateway().await;
    // Much longer than it takes to see that a caller has left.
    let delay = Effect::Delay { min: Duration::from_secs(2), max: None, applied: false };
    gateway.fault(Rule::new(Endpoint::JuzibotSetRemark, delay)).await;
    let items = remarks(&gateway, 1_000);
    {
        let asking = set(&gateway, &items);
        tokio::pin!(asking);
        let four = gateway.asked(Endpoint::JuzibotSetRemark, 4);
        tokio::select! {
            reply = &mut asking => panic!("answered at once: {reply:?}"),
            () = four => {}
        }
    }
    // The connection is gone; the four under way take effect all the same.
    let all_four = async {
        while gateway.sandbox.state().applied_remarks().len() < 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all_four).await.unwrap();
    // Once more through the gateway and back: a fifth would have set off meanwhile.
    set(&gateway, &items[..1]).await.ok();
    assert_eq!(gateway.calls_to(Endpoint::JuzibotSetRemark), 4 + 1);
    gateway.stop().await;
}
