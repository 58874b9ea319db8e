//! Each fault as a client meets it.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::StatusCode;
use scrm_gateway::sandbox::faults::{Effect, Rule, Target, When, WrongTypes};
use scrm_gateway::sandbox::{Endpoint, Options, Sandbox, Source};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::clients::{DETAILS, LIST, Signed, TOKEN, http, juzibot_get, juzibot_post, remark, sandbox, small, tanma};

/// A small sandbox with one rule that always strikes.
async fn struck(target: impl Into<Target>, effect: Effect) -> Sandbox {
    let sandbox = small().await;
    sandbox.state().add_fault(Rule::new(target, effect)).await.expect("a good rule");
    sandbox
}

fn list_url(sandbox: &Sandbox) -> String {
    format!("{}/api/v1/customer/list?token={TOKEN}&current=1&pageSize=20", sandbox.juzibot_url())
}

async fn get(url: String) -> reqwest::Result<reqwest::Response> {
    http().get(url).send().await
}

/// The operating system's error under a client's.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    error.downcast_ref::<io::Error>().map(io::Error::kind).or_else(|| error.source().and_then(io_kind))
}

/// Sends one remark, and the outcome may be anything.
async fn try_remark(sandbox: &Sandbox) -> reqwest::Result<reqwest::Response> {
    let item = json!({"userId": "rocky", "unionId": sandbox.state().people().featured().union_id, "remark": "好"});
    let url = format!("{}/api/v1/customer/set_remark?token={TOKEN}", sandbox.juzibot_url());
    http().post(url).json(&json!({"remark_list": [item]})).send().await
}

#[tokio::test]
async fn a_delay_holds_the_answer_back() {
    let delay =
        |applied| Effect::Delay { min: Duration::from_millis(80), max: Some(Duration::from_millis(90)), applied };
    for applied in [false, true] {
        let sandbox = struck(Endpoint::JuzibotList, delay(applied)).await;
        let start = Instant::now();
        assert_eq!(juzibot_get(&sandbox, "list", "current=1&pageSize=1").await["errcode"], 0);
        assert!(start.elapsed() >= Duration::from_millis(80));
    }
}

/// Sends one remark that `effect` holds up, gives up on it, and tells how often it was applied.
async fn applied_when_given_up(effect: Effect, applied: bool) -> usize {
    let sandbox = struck(Source::Juzibot, effect).await;
    let held = try_remark(&sandbox);
    let state = sandbox.state();
    let arrived =
        until(|| state.calls_to(Endpoint::JuzibotSetRemark) == 1 && (!applied || !state.applied_remarks().is_empty()));
    tokio::select! {
        outcome = held => panic!("an answer: {outcome:?}"),
        () = arrived => {}
    }
    let state = state.clone();
    sandbox.stop().await;
    state.applied_remarks().len()
}

/// Returns once this is so; panics where it never is.
async fn until(so: impl Fn() -> bool) {
    let wait = async {
        while !so() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), wait).await.expect("it comes to be so");
}

#[tokio::test]
async fn a_client_that_gives_up_on_a_delay_finds_the_write_applied_or_not() {
    for applied in [false, true] {
        let delay = Effect::Delay { min: Duration::from_hours(1), max: None, applied };
        assert_eq!(applied_when_given_up(delay, applied).await, usize::from(applied));
    }
}

#[tokio::test]
async fn a_dripped_body_comes_in_pieces_and_whole() {
    let effect = Effect::Drip { bytes: 4_000, every: Duration::from_millis(20) };
    let sandbox = struck(Endpoint::JuzibotList, effect).await;
    let start = Instant::now();
    let response = get(list_url(&sandbox)).await.unwrap();
    let length = response.content_length().unwrap();
    let body: Value = response.json().await.unwrap();
    let waits = u32::try_from((length - 1) / 4_000).unwrap();
    assert!(waits > 0 && start.elapsed() >= waits * Duration::from_millis(20), "{length} bytes");
    assert_eq!(body["data"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn a_code_comes_inside_http_200_in_the_sources_own_envelope() {
    let effect = Effect::Code { code: 45_009, message: "api freq out of limit".to_owned(), applied: false };
    let sandbox = struck(Target::All, effect).await;
    let answer = juzibot_get(&sandbox, "list", "current=1&pageSize=1").await;
    assert_eq!(answer, json!({"errcode": 45_009, "errmsg": "api freq out of limit"}));
    let answer = tanma(&sandbox, DETAILS, &json!({"externalUserId": "x"})).await;
    assert_eq!(answer, json!({"code": 45_009, "message": "api freq out of limit", "data": null}));
    let union_id = sandbox.state().people().featured().union_id;
    assert_eq!(remark(&sandbox, "rocky", &union_id, "好").await["errcode"], 45_009);
    assert!(sandbox.state().applied_remarks().is_empty());
    assert_eq!(sandbox.state().calls().values().sum::<u64>(), 3);
}

#[tokio::test]
async fn a_status_comes_with_its_retry_after_and_body_for_as_long_as_the_rule_says() {
    let sandbox = small().await;
    let effect =
        Effect::Status { status: 429, retry_after: Some("7".to_owned()), body: "slow down".to_owned(), applied: false };
    let rule = Rule::new(Endpoint::JuzibotList, effect).when(When::First(1)).after(1);
    sandbox.state().add_fault(rule).await.unwrap();
    assert_eq!(get(list_url(&sandbox)).await.unwrap().status(), StatusCode::OK);
    let struck = get(list_url(&sandbox)).await.unwrap();
    assert_eq!(
        (struck.status(), &struck.headers()["retry-after"]),
        (StatusCode::TOO_MANY_REQUESTS, &"7".parse().unwrap())
    );
    assert_eq!(struck.text().await.unwrap(), "slow down");
    assert_eq!(get(list_url(&sandbox)).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn an_error_may_hide_a_write_that_was_applied() {
    for applied in [false, true] {
        let effect = Effect::Status { status: 502, retry_after: None, body: String::new(), applied };
        let sandbox = struck(Endpoint::JuzibotSetRemark, effect).await;
        assert_eq!(try_remark(&sandbox).await.unwrap().status(), StatusCode::BAD_GATEWAY);
        assert_eq!(sandbox.state().applied_remarks().len(), usize::from(applied));
    }
}

#[tokio::test]
async fn a_reset_is_a_reset_before_or_after_the_write() {
    for applied in [false, true] {
        let sandbox = struck(Endpoint::JuzibotSetRemark, Effect::Reset { applied }).await;
        let error = try_remark(&sandbox).await.unwrap_err();
        assert_eq!(io_kind(&error), Some(io::ErrorKind::ConnectionReset), "{error:?}");
        assert_eq!(sandbox.state().applied_remarks().len(), usize::from(applied));
        assert_eq!(sandbox.state().calls_to(Endpoint::JuzibotSetRemark), 1);
    }
}

#[tokio::test]
async fn refused_connections_are_refused_at_one_source_until_it_is_cleared() {
    let sandbox = small().await;
    let client = http();
    assert!(client.get(list_url(&sandbox)).send().await.is_ok());
    for _ in 0..3 {
        sandbox.state().add_fault(Rule::new(Source::Juzibot, Effect::RefuseConnections)).await.unwrap();
        for client in [&client, &http()] {
            let error = client.get(list_url(&sandbox)).send().await.unwrap_err();
            assert_eq!(io_kind(&error), Some(io::ErrorKind::ConnectionRefused), "{error:?}");
        }
        assert_eq!(tanma(&sandbox, DETAILS, &json!({"externalUserId": "x"})).await["code"], 0);
        sandbox.state().clear_faults().await;
        assert_eq!(client.get(list_url(&sandbox)).send().await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(sandbox.state().calls_to(Endpoint::JuzibotList), 4);
}

#[tokio::test]
async fn a_port_may_close_after_some_requests_or_for_a_while() {
    let sandbox = small().await;
    let dies = Rule::new(Source::Juzibot, Effect::RefuseConnections).after(2);
    sandbox.state().set_faults(vec![dies]).await.unwrap();
    for _ in 0..2 {
        assert!(get(list_url(&sandbox)).await.is_ok());
    }
    assert_eq!(io_kind(&get(list_url(&sandbox)).await.unwrap_err()), Some(io::ErrorKind::ConnectionReset));
    assert_eq!(tanma(&sandbox, DETAILS, &json!({"externalUserId": "x"})).await["code"], 0);

    let lasts = Duration::from_millis(300);
    let window = When::Window { from: Duration::ZERO, lasts };
    let outage = Rule::new(Source::Juzibot, Effect::RefuseConnections).when(window);
    let start = Instant::now();
    sandbox.state().set_faults(vec![outage]).await.unwrap();
    let outcome = get(list_url(&sandbox)).await;
    assert!(start.elapsed() >= lasts || outcome.unwrap_err().is_connect());
    let back = async { while get(list_url(&sandbox)).await.is_err() {} };
    timeout(Duration::from_secs(10), back).await.expect("the port opens by itself");
}

#[tokio::test]
async fn a_sandbox_stops_while_a_port_is_closed_and_a_request_hangs() {
    let sandbox = struck(Source::Tanma, Effect::RefuseConnections).await;
    sandbox.state().add_fault(Rule::new(Source::Juzibot, Effect::NeverAnswer { applied: true })).await.unwrap();
    let state = sandbox.state().clone();
    let hanging = tokio::spawn(get(list_url(&sandbox)));
    until(|| state.calls_to(Endpoint::JuzibotList) == 1).await;
    timeout(Duration::from_secs(10), sandbox.stop()).await.expect("it stops");
    assert!(hanging.await.unwrap().is_err());
    timeout(Duration::from_secs(10), state.clear_faults()).await.expect("nobody waits for ports that are gone");
}

#[tokio::test]
async fn a_truncated_body_is_shorter_than_it_said() {
    for (keep, expected) in [(None, None), (Some(10), Some(10)), (Some(0), Some(0))] {
        let sandbox = struck(Endpoint::JuzibotList, Effect::Truncate { keep }).await;
        let mut response = get(list_url(&sandbox)).await.unwrap();
        let length = usize::try_from(response.content_length().unwrap()).unwrap();
        let mut received = 0;
        let end = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => received += chunk.len(),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        assert!(end.is_some(), "the body must not look complete");
        assert_eq!(received, expected.unwrap_or(length / 2));
    }
}

#[tokio::test]
async fn a_page_of_html_comes_with_200() {
    let sandbox = struck(Source::Tanma, Effect::Html { applied: false }).await;
    let response = Signed::new(DETAILS, &json!({"externalUserId": "x"})).send(&sandbox).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(response.text().await.unwrap().starts_with("<!DOCTYPE html>"));
}

#[tokio::test]
async fn types_are_wrong_where_they_are_to_be() {
    let sandbox = struck(Target::All, Effect::WrongTypes(WrongTypes::DataIsText)).await;
    assert!(juzibot_get(&sandbox, "list", "current=1&pageSize=1").await["data"].is_string());
    assert!(tanma(&sandbox, DETAILS, &json!({"externalUserId": "x"})).await["data"].is_string());
    let union_id = sandbox.state().people().featured().union_id;
    assert_eq!(remark(&sandbox, "rocky", &union_id, "好").await, json!({"errcode": 0, "errmsg": "ok"}));

    let sandbox = struck(Target::All, Effect::WrongTypes(WrongTypes::NumbersAreObjects)).await;
    let list = juzibot_get(&sandbox, "list", "current=1&pageSize=1").await;
    assert_eq!(list["errcode"], 0);
    assert!(list["data"][0]["gender"].is_object() && list["data"][0]["followUser"][0]["createTimestamp"].is_object());
    let list = tanma(&sandbox, LIST, &json!({"qwUserId": "rocky", "size": 1})).await;
    assert!(list["data"]["list"][0]["customerId"].is_object());
}

#[tokio::test]
async fn pages_repeat_totals_lie_and_cursors_turn_in_circles() {
    let sandbox = struck(Target::All, Effect::DuplicatePage).await;
    let page = |number| format!("current={number}&pageSize=5");
    let (first, second) =
        (juzibot_get(&sandbox, "list", &page(1)).await, juzibot_get(&sandbox, "list", &page(2)).await);
    assert_eq!(first["data"], second["data"]);

    sandbox.state().set_faults(vec![Rule::new(Source::Juzibot, Effect::WrongTotal(3))]).await.unwrap();
    let lying = juzibot_get(&sandbox, "list", &page(1)).await;
    assert_eq!((&lying["total"], &lying["data"]), (&json!(3), &first["data"]));

    sandbox.state().set_faults(vec![Rule::new(Source::Tanma, Effect::RepeatCursor)]).await.unwrap();
    let one = tanma(&sandbox, LIST, &json!({"qwUserId": "rocky", "size": 1})).await;
    let cursor = &one["data"]["nextCursor"];
    let two = tanma(&sandbox, LIST, &json!({"qwUserId": "rocky", "size": 1, "cursor": cursor})).await;
    assert_eq!(&two["data"]["nextCursor"], cursor);
}

#[tokio::test]
async fn a_clock_is_wrong_and_a_secret_refused_for_the_requests_that_the_script_names() {
    let sandbox = struck(Source::Tanma, Effect::ClockSkew(-600)).await;
    let body = json!({"qwUserId": "rocky", "size": 1});
    assert_eq!(tanma(&sandbox, LIST, &body).await["code"], 1003);
    sandbox.state().clear_faults().await;
    assert_eq!(tanma(&sandbox, LIST, &body).await["code"], 0);
    let second = |target: Target| Rule::new(target, Effect::TokenRevoked).when(When::Every(2));
    let both = vec![second(Source::Tanma.into()), second(Source::Juzibot.into())];
    sandbox.state().set_faults(both).await.unwrap();
    let page = "current=1&pageSize=1";
    for refused in [false, true, false, true] {
        assert_eq!(tanma(&sandbox, LIST, &body).await["code"], if refused { 1002 } else { 0 });
        assert_eq!(juzibot_get(&sandbox, "list", page).await["errcode"], if refused { 40_001 } else { 0 });
    }
}

#[tokio::test]
async fn rows_are_inserted_just_before_a_page_is_read() {
    let sandbox = struck(Target::All, Effect::InsertRows(2)).await;
    let page = "current=1&pageSize=5";
    let pushed = juzibot_get(&sandbox, "list", page).await;
    sandbox.state().clear_faults().await;
    let after = juzibot_get(&sandbox, "list", page).await;
    assert_eq!((&after["data"], &after["total"]), (&pushed["data"], &pushed["total"]));
    sandbox.state().set_faults(vec![Rule::new(Source::Juzibot, Effect::InsertRows(2))]).await.unwrap();
    let again = juzibot_get(&sandbox, "list", page).await;
    assert_eq!(again["data"].as_array().unwrap()[2..], pushed["data"].as_array().unwrap()[..3], "they come in front");
    assert_eq!(again["total"].as_u64(), pushed["total"].as_u64().map(|total| total + 2));
}

#[tokio::test]
async fn items_fail_on_demand_inside_a_good_or_a_bad_envelope() {
    for code in [0, 50_000] {
        let sandbox = struck(Source::Juzibot, Effect::FailItems { items: 1, code, item_code: 45_009 }).await;
        let union_id = sandbox.state().people().featured().union_id;
        let item = |staff: &str| json!({"userId": staff, "unionId": union_id, "remark": "好"});
        let remarks =
            juzibot_post(&sandbox, "set_remark", &json!({"remark_list": [item("rocky"), item("lisi")]})).await;
        assert_eq!(remarks["errcode"], code);
        assert_eq!(remarks["fail_list"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&remarks["fail_list"][0]["userId"], &remarks["fail_list"][0]["errcode"]),
            (&json!("rocky"), &json!("45009"))
        );
        assert_eq!(sandbox.state().applied_remarks()[0].staff_id, "lisi");

        let entry = |staff: &str| json!({"userId": staff, "unionId": union_id, "text": [{"content": "x"}]});
        let request = json!({"follow_list": [entry("rocky"), entry("lisi")]});
        let follow_ups = juzibot_post(&sandbox, "add_follow", &request).await;
        assert_eq!(follow_ups["fail_list"], json!([entry("rocky")]));
        assert_eq!(sandbox.state().applied_follow_ups().len(), 1);
    }
}

#[tokio::test]
async fn a_stray_failure_matches_nothing_that_was_sent() {
    let sandbox = struck(Source::Juzibot, Effect::StrayFailure).await;
    let union_id = sandbox.state().people().featured().union_id;
    let answer = remark(&sandbox, "rocky", &union_id, "好").await;
    let list = answer["fail_list"].as_array().unwrap();
    assert_eq!((list.len(), &list[0]["remark"]), (1, &json!("好")));
    assert!(list[0]["unionId"] != union_id && list[0]["userId"] != "rocky");
    assert_eq!(sandbox.state().applied_remarks().len(), 1);
}

#[tokio::test]
async fn an_oversized_body_is_valid_and_large_with_or_without_a_length() {
    for chunked in [false, true] {
        let sandbox = struck(Endpoint::JuzibotList, Effect::Oversized { mib: 3, chunked }).await;
        let response = get(list_url(&sandbox)).await.unwrap();
        assert_eq!(response.content_length().is_none(), chunked);
        let body = response.bytes().await.unwrap();
        assert!(body.len() > 3 << 20);
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["errcode"], 0);
    }
}

#[tokio::test]
async fn what_is_never_answered_may_have_been_applied() {
    for applied in [false, true] {
        let given_up = applied_when_given_up(Effect::NeverAnswer { applied }, applied).await;
        assert_eq!(given_up, usize::from(applied));
    }
}

#[tokio::test]
async fn a_rate_strikes_the_same_requests_of_the_same_seed() {
    let mut outcomes = Vec::new();
    for seed in [3, 3, 4] {
        let effect = Effect::Code { code: 1, message: String::new(), applied: false };
        let faults = vec![Rule::new(Target::All, effect).when(When::Rate(0.5))];
        let sandbox = sandbox(Options { customers: 5, seed, faults, ..Options::default() }).await;
        let mut codes = Vec::new();
        for _ in 0..40 {
            codes.push(juzibot_get(&sandbox, "list", "current=1&pageSize=1").await["errcode"].clone());
        }
        outcomes.push(codes);
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_ne!(outcomes[0], outcomes[2]);
}
