//! Contract §3.4: whole lists as NDJSON.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::Method;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use scrm_gateway::sandbox::{self, Endpoint, Source};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{Gateway, GatewayOptions, Reply};

const STREAM: [(&str, &str); 1] = [("accept", "application/x-ndjson")];

fn lines(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.header("content-type"), "application/x-ndjson");
    reply.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(lines: &[Value]) -> Vec<String> {
    lines.iter().filter_map(|line| Some(line.get("records")?[0]["id"].as_str()?.to_owned())).collect()
}

fn customers(customers: usize) -> GatewayOptions {
    let mut options = GatewayOptions::default();
    options.sandbox = sandbox::Options { customers, ..options.sandbox };
    options
}

#[tokio::test]
async fn a_stream_brings_every_customer_once_and_ends_with_the_count() {
    let gateway = Gateway::with(customers(3500)).await;
    let total = gateway.sandbox.state().people().juzibot_total(None);
    let lines = lines(&gateway.get_with("/v1/customers?source=juzibot", &STREAM).await);
    let ids = ids(&lines);
    assert_eq!(ids.len(), total);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), total);
    assert_eq!(lines.last().unwrap()["end"]["count"], total);
    assert_eq!(lines.last().unwrap()["end"]["warnings"], Value::Array(Vec::new()));
    // A full page is always followed by another request.
    let pages = total / 1000 + 1;
    assert_eq!(gateway.sandbox.state().calls_to(Endpoint::JuzibotList), pages as u64);
    gateway.stop().await;
}

/// The lines as Python's `str.splitlines` and other readers see them.
fn split_lines(text: &str) -> Vec<&str> {
    let separators = ['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];
    text.strip_suffix('\n').unwrap().split(separators).collect()
}

#[tokio::test]
async fn line_separators_within_values_do_not_break_lines() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cases/juzibot-list-line-separators.json");
    let page = std::fs::read_to_string(path).unwrap();
    let page = page.replacen("\"remark\": \"乙\"", "\"remark\": \"乙\u{2029}丙\"", 1);
    let source = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_raw(page, "application/json"))
        .mount(&source)
        .await;
    let gateway = Gateway::with(GatewayOptions { juzibot_url: Some(source.uri()), ..GatewayOptions::default() }).await;
    for query in ["", "&include=raw"] {
        let reply = gateway.get_with(&format!("/v1/customers?source=juzibot{query}"), &STREAM).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let lines: Vec<Value> =
            split_lines(&reply.body).iter().map(|line| serde_json::from_str(line).expect(line)).collect();
        let names: Vec<&str> = lines.iter().filter_map(|line| line["name"].as_str()).collect();
        assert_eq!(names, ["a\u{2028}b", "c\u{85}d"]);
        assert_eq!(lines[0]["relations"][0]["remark"], "乙\u{2029}丙");
        assert_eq!(lines.last().unwrap()["end"]["count"], 2);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_cursor_source_streams_too() {
    let gateway = Gateway::with(customers(3500)).await;
    let total = gateway.sandbox.state().people().tanma_total("dowen");
    let lines = lines(&gateway.get_with("/v1/customers?source=tanma&staff_id=dowen", &STREAM).await);
    assert_eq!(lines.last().unwrap()["end"]["count"], total);
    assert_eq!(ids(&lines).iter().collect::<HashSet<_>>().len(), total);
    gateway.stop().await;
}

#[tokio::test]
async fn a_failure_of_the_first_page_is_a_problem_and_a_later_one_a_line_to_resume_from() {
    let gateway = Gateway::with(customers(3500)).await;
    let state = gateway.sandbox.state();
    let failure = || Effect::Status { status: 503, retry_after: None, body: String::new(), applied: false };
    state.set_faults(vec![Rule::new(Source::Juzibot, failure())]).await.unwrap();
    gateway.get_with("/v1/customers?source=juzibot", &STREAM).await.problem(503, "source_unavailable");

    state.set_faults(vec![Rule::new(Source::Juzibot, failure()).after(2)]).await.unwrap();
    let broken = lines(&gateway.get_with("/v1/customers?source=juzibot", &STREAM).await);
    let last = broken.last().unwrap();
    assert_eq!(last["error"]["code"], "source_unavailable");
    assert_eq!(last["error"]["retryable"], true);
    let cursor = last["resume_cursor"].as_str().unwrap();

    state.clear_faults().await;
    let path = format!("/v1/customers?source=juzibot&cursor={cursor}");
    let rest = lines(&gateway.get_with(&path, &STREAM).await);
    assert!(rest.last().unwrap()["end"].is_object());
    let mut all = ids(&broken);
    all.extend(ids(&rest));
    assert_eq!(all.len(), state.people().juzibot_total(None));
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    gateway.stop().await;
}

#[tokio::test]
async fn rows_that_drift_repeats_are_sent_once_and_the_end_warns() {
    let gateway = Gateway::with(customers(3500)).await;
    let state = gateway.sandbox.state();
    let before: HashSet<String> =
        ids(&lines(&gateway.get_with("/v1/customers?source=juzibot", &STREAM).await)).into_iter().collect();
    // A page is answered as the one before it: what a shift of a whole page looks like.
    state.set_faults(vec![Rule::new(Endpoint::JuzibotList, Effect::DuplicatePage).after(1)]).await.unwrap();
    let repeated = lines(&gateway.get_with("/v1/customers?source=juzibot", &STREAM).await);
    let sent = ids(&repeated);
    assert_eq!(sent.iter().collect::<HashSet<_>>().len(), sent.len(), "no row twice");
    assert!(sent.iter().all(|id| before.contains(id)));
    let end = &repeated.last().unwrap()["end"];
    assert_eq!(end["count"], sent.len());
    assert_eq!(end["warnings"][0]["code"], "drift", "{end}");
    gateway.stop().await;
}

#[tokio::test]
async fn rows_inserted_during_a_walk_warn_and_hide_none_that_were_there() {
    let gateway = Gateway::with(customers(500)).await;
    let state = gateway.sandbox.state();
    let before: HashSet<String> =
        ids(&lines(&gateway.get_with("/v1/customers?source=juzibot", &STREAM).await)).into_iter().collect();
    let mut path = "/v1/customers?source=juzibot&limit=100".to_owned();
    let (mut seen, mut warned) = (HashSet::new(), false);
    loop {
        let page = gateway.get(&path).await.ok();
        seen.extend(ids(page["data"].as_array().unwrap()));
        warned |= page["meta"]["warnings"].as_array().unwrap().iter().any(|warning| warning["code"] == "drift");
        state.insert_customers(3);
        let Some(cursor) = page["page"]["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/customers?source=juzibot&limit=100&cursor={cursor}");
    }
    assert!(warned);
    assert!(before.is_subset(&seen));
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_has_no_limit_and_other_forms_are_not_acceptable() {
    let gateway = Gateway::start().await;
    let problem =
        gateway.get_with("/v1/customers?source=juzibot&limit=5", &STREAM).await.problem(400, "invalid_request");
    assert_eq!(problem["errors"][0]["parameter"], "limit");
    gateway.get_with("/v1/customers?source=juzibot", &[("accept", "text/csv")]).await.problem(406, "not_acceptable");
    gateway.get_with("/v1/me", &STREAM).await.problem(406, "not_acceptable");
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_waits_for_quota_rather_than_fail() {
    let mut options = customers(3500);
    options.rate_limit = "default = { requests = 600, window = \"1m\", burst = 1 }".to_owned();
    let gateway = Gateway::with(options).await;
    let lines = lines(&gateway.get_with("/v1/customers?source=juzibot", &STREAM).await);
    assert!(lines.last().unwrap()["end"].is_object());
    gateway.stop().await;
}

#[tokio::test]
async fn streams_are_capped_for_a_caller_and_in_total() {
    for (setting, status, code) in
        [("max_streams_per_caller = 1", 429, "rate_limited"), ("max_streams = 1", 503, "overloaded")]
    {
        let mut options = customers(20_000);
        options.server = setting.to_owned();
        let gateway = Gateway::with(options).await;
        // A reader that takes the head and no more holds its place.
        let reader = gateway.open("/v1/customers?source=juzibot", &STREAM).await;
        assert_eq!(reader.status(), 200);
        gateway.get_with("/v1/customers?source=juzibot", &STREAM).await.problem(status, code);
        drop(reader);
        // It is given back when the reader leaves, which the gateway notices as it writes.
        loop {
            let reply = gateway.send(Method::GET, "/v1/customers?source=juzibot", &STREAM, None).await;
            if reply.status == 200 {
                break;
            }
            tokio::task::yield_now().await;
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_stream_that_the_end_of_draining_cuts_says_so_and_where_to_go_on() {
    let gateway = Gateway::with(customers(3500)).await;
    let silence = Rule::new(Endpoint::JuzibotList, Effect::NeverAnswer { applied: false }).after(2);
    gateway.sandbox.state().set_faults(vec![silence]).await.unwrap();
    let stream = gateway.open("/v1/customers?source=juzibot", &STREAM).await;
    let read = tokio::spawn(stream.text());
    gateway.stop().await;
    let body = read.await.unwrap().unwrap();
    let last: Value = serde_json::from_str(body.lines().last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "overloaded");
    assert!(last["resume_cursor"].is_string());
    assert_eq!(body.lines().count(), 2001, "what was read is given out");
}

#[tokio::test]
async fn a_list_that_ends_before_its_own_total_says_so() {
    let gateway = Gateway::start().await;
    let wrong = Rule::new(Endpoint::JuzibotList, Effect::WrongTotal(5000));
    gateway.sandbox.state().set_faults(vec![wrong]).await.unwrap();
    let lines = lines(&gateway.get_with("/v1/customers?source=juzibot", &STREAM).await);
    let warning = &lines.last().unwrap()["end"]["warnings"][0];
    assert_eq!(warning["code"], "drift", "{warning}");
    assert!(warning["detail"].as_str().unwrap().contains("before the source's own total"), "{warning}");
    gateway.stop().await;
}

#[tokio::test]
async fn stream_of_a_repeated_page_ends_with_drift() {
    let source = MockServer::start().await;
    let page = json!({"errcode": 0, "data": [{"externalUserId": "wm1", "name": "n"}], "total": 1_000_000_000});
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(page)).mount(&source).await;
    let gateway = Gateway::with(GatewayOptions { juzibot_url: Some(source.uri()), ..GatewayOptions::default() }).await;
    let lines = lines(&gateway.get_with("/v1/customers?source=juzibot", &STREAM).await);
    assert_eq!(ids(&lines), ["wm1"]);
    assert_eq!(lines[1]["end"]["warnings"][0]["code"], "drift");
    assert_eq!(source.received_requests().await.unwrap().len(), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn stream_of_endless_empty_pages_breaks_off() {
    let source = MockServer::start().await;
    let calls = AtomicU64::new(0);
    let page = move |_: &wiremock::Request| {
        let next = calls.fetch_add(1, Ordering::SeqCst).to_string();
        ResponseTemplate::new(200).set_body_json(json!({"code": 0, "data": {"list": [], "nextCursor": next}}))
    };
    Mock::given(any()).respond_with(page).mount(&source).await;
    let gateway = Gateway::with(GatewayOptions { tanma_url: Some(source.uri()), ..GatewayOptions::default() }).await;
    let lines = lines(&gateway.get_with("/v1/customers?source=tanma&staff_id=dowen", &STREAM).await);
    let error = &lines.last().unwrap()["error"];
    assert_eq!((&error["code"], &error["retryable"]), (&json!("source_bad_data"), &json!(false)));
    assert!(source.received_requests().await.unwrap().len() <= 202);
    gateway.stop().await;
}
