//! Contract §3.4: pages and cursors.

mod cursors;

use std::collections::HashSet;

use scrm_gateway::sandbox::people::STAFF;
use scrm_gateway::sandbox::{Endpoint, State, faults};
use serde_json::{Value, json};

use crate::support::{Gateway, GatewayOptions, Token};

async fn gateway(customers: usize) -> Gateway {
    let mut options = GatewayOptions::default();
    options.sandbox.customers = customers;
    Gateway::with(options).await
}

/// One page; `list` is the query without limit and cursor.
async fn page(gateway: &Gateway, list: &str, limit: usize, cursor: Option<&str>) -> Value {
    let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
    gateway.get(&format!("/v1/customers?{list}&limit={limit}{cursor}")).await.ok()
}

fn next(page: &Value) -> Option<String> {
    page["page"]["next_cursor"].as_str().map(str::to_owned)
}

/// What tells a row of a source from every other: the source's own id of it.
fn ids(page: &Value) -> Vec<String> {
    let rows = page["data"].as_array().unwrap();
    rows.iter()
        .map(|row| {
            assert_eq!(row["records"].as_array().unwrap().len(), 1, "rows are not merged: {row}");
            row["records"][0]["id"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// Walks a list to its end, the pages' limits in turn.
async fn walk(gateway: &Gateway, list: &str, limits: &[usize]) -> Vec<String> {
    let mut seen = Vec::new();
    let mut cursor = None;
    for limit in limits.iter().cycle() {
        let page = page(gateway, list, *limit, cursor.as_deref()).await;
        let rows = ids(&page);
        assert!(rows.len() <= *limit, "{} rows for a limit of {limit}", rows.len());
        seen.extend(rows);
        cursor = next(&page);
        if cursor.is_none() {
            return seen;
        }
    }
    unreachable!("limits are given")
}

fn in_juzibot(state: &State, staff_id: Option<&str>) -> Vec<String> {
    let (people, _total) = state.people().juzibot_page(staff_id, 0, usize::MAX >> 1);
    people.into_iter().map(|person| person.external_user_id).collect()
}

fn in_tanma(state: &State, staff_id: &str) -> Vec<String> {
    let page = state.people().tanma_page(staff_id, None, usize::MAX >> 1).unwrap();
    let id = |person: scrm_gateway::sandbox::people::Person| person.tanma.unwrap().customer_id.to_string();
    page.rows.into_iter().map(|row| id(row.person)).collect()
}

#[tokio::test]
async fn a_walk_over_a_source_gives_each_customer_once() {
    for (customers, limits) in [(60, &[1][..]), (300, &[7]), (1_000, &[100]), (1_500, &[1_000])] {
        let gateway = gateway(customers).await;
        let state = gateway.sandbox.state().clone();
        let expected = in_juzibot(&state, None);
        assert!(expected.len() > customers / 2);
        assert_eq!(walk(&gateway, "source=juzibot", limits).await, expected, "{limits:?}");
        for staff in &STAFF {
            let of_one = format!("source=juzibot&staff_id={}", staff.id);
            assert_eq!(walk(&gateway, &of_one, limits).await, in_juzibot(&state, Some(staff.id)));
            let of_one = format!("source=tanma&staff_id={}", staff.id);
            assert_eq!(walk(&gateway, &of_one, limits).await, in_tanma(&state, staff.id));
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_limit_that_changes_midway_neither_skips_nor_repeats() {
    let gateway = gateway(500).await;
    let state = gateway.sandbox.state().clone();
    let smaller = [100, 30, 7, 99];
    let larger = [10, 1_000, 3, 11];
    for limits in [&smaller, &larger] {
        assert_eq!(walk(&gateway, "source=juzibot", limits).await, in_juzibot(&state, None), "{limits:?}");
        let of_one = "source=tanma&staff_id=rocky";
        assert_eq!(walk(&gateway, of_one, limits).await, in_tanma(&state, "rocky"), "{limits:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn without_a_limit_a_page_holds_a_hundred() {
    let gateway = gateway(500).await;
    let body = gateway.get("/v1/customers?source=juzibot").await.ok();
    assert_eq!(ids(&body).len(), 100);
    assert!(next(&body).is_some());
    gateway.stop().await;
}

#[tokio::test]
async fn the_total_is_what_the_source_says() {
    let gateway = gateway(300).await;
    let total = gateway.sandbox.state().people().juzibot_total(None);
    let first = page(&gateway, "source=juzibot", 50, None).await;
    assert_eq!(first["page"]["total"], total);
    let second = page(&gateway, "source=juzibot", 50, next(&first).as_deref()).await;
    assert_eq!(second["page"]["total"], total);
    assert_eq!(second["meta"]["warnings"], json!([]), "an unchanged total is no drift");
    let report = &second["meta"]["sources"];
    assert_eq!(report.as_array().unwrap().len(), 1);
    assert_eq!((&report[0]["source"], &report[0]["status"]), (&json!("juzibot"), &json!("ok")));
    assert!(report[0]["fetched_at"].as_str().unwrap().ends_with('Z'));
    let tanma = page(&gateway, "source=tanma&staff_id=rocky", 50, None).await;
    assert_eq!(tanma["page"]["total"], Value::Null, "Tanma does not say");
    gateway.stop().await;
}

#[tokio::test]
async fn nobody_is_an_empty_page_and_the_last_one() {
    let gateway = gateway(50).await;
    for list in ["source=juzibot&staff_id=nobody", "source=tanma&staff_id=nobody"] {
        let body = page(&gateway, list, 10, None).await;
        assert_eq!((&body["data"], &body["page"]["next_cursor"]), (&json!([]), &Value::Null), "{list}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_page_numbered_walk_that_meets_new_rows_warns_of_drift_and_misses_no_old_one() {
    // 30 new rows shift by whole pages and a half; the smaller limit cuts pages in the middle.
    for limits in [&[20][..], &[20, 13]] {
        let gateway = gateway(300).await;
        let state = gateway.sandbox.state().clone();
        let before = in_juzibot(&state, None);
        let (mut seen, mut cursor, mut drifts) = (HashSet::new(), None, Vec::new());
        for turn in 0_usize.. {
            if turn == 3 {
                state.insert_customers(30);
            }
            let page = page(&gateway, "source=juzibot", limits[turn % limits.len()], cursor.as_deref()).await;
            seen.extend(ids(&page));
            for warning in page["meta"]["warnings"].as_array().unwrap() {
                assert_eq!((&warning["code"], &warning["source"]), (&json!("drift"), &json!("juzibot")));
                assert_eq!(warning["pointer"], Value::Null);
                drifts.push(turn);
            }
            assert_eq!(page["page"]["total"], state.people().juzibot_total(None));
            cursor = next(&page);
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(drifts, [3], "it is told once, where it shows");
        let missed: Vec<_> = before.iter().filter(|id| !seen.contains(*id)).collect();
        assert!(missed.is_empty(), "{missed:?}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_walk_by_the_sources_own_cursor_meets_new_rows_at_its_end() {
    let gateway = gateway(300).await;
    let state = gateway.sandbox.state().clone();
    let list = "source=tanma&staff_id=rocky";
    let first = page(&gateway, list, 10, None).await;
    state.insert_customers(50);
    let mut seen = ids(&first);
    let mut cursor = next(&first);
    while let Some(at) = cursor {
        let page = page(&gateway, list, 10, Some(&at)).await;
        seen.extend(ids(&page));
        cursor = next(&page);
    }
    assert_eq!(seen, in_tanma(&state, "rocky"));
    gateway.stop().await;
}

#[track_caller]
fn parameter_fault(problem: &Value, parameter: &str, code: &str) {
    let fault = json!([{"parameter": parameter, "code": code}]);
    let told = &problem["errors"][0];
    assert_eq!(problem["errors"].as_array().unwrap().len(), 1, "{problem}");
    assert_eq!(json!([{"parameter": told["parameter"], "code": told["code"]}]), fault);
}

#[tokio::test]
async fn the_source_is_required_where_the_caller_sees_several_that_list() {
    let gateway = gateway(50).await;
    let problem = gateway.get("/v1/customers").await.problem(400, "invalid_request");
    parameter_fault(&problem, "source", "missing");
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("juzibot") && detail.contains("tanma"), "{detail}");
    let bearer = Token::with(&json!({"sources": ["juzibot"]})).bearer();
    let body = gateway.get_with("/v1/customers", &[("authorization", &bearer)]).await.ok();
    assert_eq!(body["meta"]["sources"][0]["source"], "juzibot");
    gateway.stop().await;
}

#[tokio::test]
async fn a_source_that_may_not_list_is_out_of_the_choice() {
    let mut options =
        GatewayOptions { juzibot: "operations = [\"get_by_union_id\"]".to_owned(), ..GatewayOptions::default() };
    options.sandbox.customers = 50;
    let gateway = Gateway::with(options).await;
    let body = gateway.get("/v1/customers?staff_id=rocky").await.ok();
    assert_eq!(body["meta"]["sources"][0]["source"], "tanma");
    gateway.get("/v1/customers?source=juzibot").await.problem(422, "not_offered");
    gateway.stop().await;
}

#[tokio::test]
async fn a_source_that_lists_by_staff_member_needs_to_be_told_which() {
    let gateway = gateway(50).await;
    let problem = gateway.get("/v1/customers?source=tanma").await.problem(400, "invalid_request");
    parameter_fault(&problem, "staff_id", "missing");
    assert_eq!(gateway.calls_to(Endpoint::TanmaList), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_failing_source_fails_the_page_and_the_cursor_holds_on() {
    let mut options = GatewayOptions {
        juzibot: "timeout = \"300ms\"".to_owned(),
        tanma: "timeout = \"300ms\"".to_owned(),
        ..GatewayOptions::default()
    };
    options.sandbox.customers = 400;
    let gateway = Gateway::with(options).await;
    let state = gateway.sandbox.state().clone();
    let status = |status| faults::Effect::Status { status, retry_after: None, body: String::new(), applied: false };
    let failures = [
        (status(500), 503, "source_unavailable"),
        (status(404), 502, "source_rejected"),
        (status(401), 502, "source_credentials"),
        (status(429), 503, "source_rate_limited"),
        (faults::Effect::Html { applied: false }, 502, "source_bad_payload"),
        (faults::Effect::Truncate { keep: None }, 502, "source_bad_payload"),
        (faults::Effect::NeverAnswer { applied: false }, 504, "source_timeout"),
    ];
    for (list, endpoint, expected) in [
        ("source=juzibot", Endpoint::JuzibotList, in_juzibot(&state, None)),
        ("source=tanma&staff_id=rocky", Endpoint::TanmaList, in_tanma(&state, "rocky")),
    ] {
        let mut seen = Vec::new();
        let mut cursor = None;
        let mut failures = failures.iter();
        loop {
            let at = cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let path = format!("/v1/customers?{list}&limit=3{at}");
            if let Some((effect, status, code)) = failures.next() {
                state.set_faults(vec![faults::Rule::new(endpoint, effect.clone())]).await.unwrap();
                let problem = gateway.get(&path).await.problem(*status, code);
                assert_eq!(problem["source"], list.split(['=', '&']).nth(1).unwrap());
                state.clear_faults().await;
            }
            let page = gateway.get(&path).await.ok();
            seen.extend(ids(&page));
            cursor = next(&page);
            if cursor.is_none() {
                break;
            }
        }
        assert!(failures.next().is_none(), "the walk was long enough");
        assert_eq!(seen, expected);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn raw_needs_its_scope_and_shows_the_sources_own_json() {
    let gateway = gateway(50).await;
    let reader = Token::with(&json!({"scope": "customers:read"})).bearer();
    for list in ["source=juzibot", "source=tanma&staff_id=rocky"] {
        let path = format!("/v1/customers?{list}&include=raw&limit=5");
        let refused = gateway.get_with(&path, &[("authorization", &reader)]).await;
        refused.problem(403, "forbidden");
        assert!(refused.header("www-authenticate").contains("scope=\"customers:raw\""));
        let reply = gateway.get(&path).await;
        assert_eq!(reply.header("cache-control"), "no-store");
        let rows = reply.ok();
        for row in rows["data"].as_array().unwrap() {
            let record = &row["records"][0];
            let raw = &record["raw"];
            let (id, name) = match record["source"].as_str().unwrap() {
                "juzibot" => (raw["externalUserId"].as_str().unwrap().to_owned(), &raw["name"]),
                _ => (raw["customerId"].to_string(), &raw["wechatNickname"]),
            };
            assert_eq!(record["id"], id);
            assert_eq!(&row["nickname"], name);
        }
        let plain = gateway.get(&format!("/v1/customers?{list}&limit=5")).await.ok();
        for (row, with_raw) in plain["data"].as_array().unwrap().iter().zip(rows["data"].as_array().unwrap()) {
            assert_eq!(row["records"][0]["raw"], Value::Null);
            let mut without = with_raw.clone();
            without["records"][0]["raw"] = Value::Null;
            assert_eq!(*row, without, "raw is an addition, nothing else");
        }
    }
    gateway.stop().await;
}
