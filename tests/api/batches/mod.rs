//! Contract §3.5: batches of writes.

mod body;
mod chunks;
mod disconnect;
mod statuses;

use std::collections::HashMap;

use scrm_gateway::sandbox::{AppliedRemark, Endpoint};
use serde_json::{Value, json};

use crate::support::people::writable;
use crate::support::{Gateway, GatewayOptions, Reply, Token};

const UNKNOWN: &str = "ozNobodyKnowsThisCustomer000";

/// A gateway whose `JuziBot` knows enough customers for the largest batch.
async fn gateway() -> Gateway {
    gateway_with(GatewayOptions::default()).await
}

async fn gateway_with(mut options: GatewayOptions) -> Gateway {
    options.sandbox.customers = 2_000;
    Gateway::with(options).await
}

/// `count` remarks, each for another customer, that the source takes.
fn remarks(gateway: &Gateway, count: usize) -> Vec<Value> {
    let mut union_ids = std::collections::HashSet::new();
    let items: Vec<Value> = writable(gateway.sandbox.state())
        .filter(|(_, union_id)| union_ids.insert(union_id.clone()))
        .take(count)
        .enumerate()
        .map(|(n, (staff_id, union_id))| json!({"staff_id": staff_id, "union_id": union_id, "remark": format!("r{n}")}))
        .collect();
    assert_eq!(items.len(), count);
    items
}

async fn set(gateway: &Gateway, items: &[Value]) -> Reply {
    gateway.post("/v1/remarks", &json!({"items": items})).await
}

/// The statuses of all items, in order; every item has exactly one.
#[track_caller]
fn statuses(body: &Value) -> Vec<String> {
    let results = body["data"]["results"].as_array().unwrap();
    let mut counts: HashMap<String, u64> = HashMap::new();
    let statuses: Vec<String> = results
        .iter()
        .enumerate()
        .map(|(index, result)| {
            assert_eq!(result["index"], index);
            let status = result["status"].as_str().unwrap().to_owned();
            assert_eq!(
                result["problem"].is_null(),
                status == "succeeded",
                "a problem says why where there is something to say: {result}"
            );
            *counts.entry(status.clone()).or_default() += 1;
            status
        })
        .collect();
    for status in ["succeeded", "failed", "not_sent", "unconfirmed"] {
        let counted = counts.get(status).copied().unwrap_or_default();
        assert_eq!(body["data"]["summary"][status], counted, "{status}");
    }
    statuses
}

/// What the sandbox must have applied where exactly these items took effect, in any order.
fn applied(items: &[Value]) -> Vec<AppliedRemark> {
    let text = |item: &Value, key: &str| item[key].as_str().map(str::to_owned);
    sorted(
        items
            .iter()
            .map(|item| AppliedRemark {
                staff_id: text(item, "staff_id").unwrap(),
                union_id: text(item, "union_id").unwrap(),
                remark: text(item, "remark"),
                description: text(item, "description"),
            })
            .collect(),
    )
}

fn sorted(mut remarks: Vec<AppliedRemark>) -> Vec<AppliedRemark> {
    remarks.sort_by(|a, b| (&a.union_id, &a.staff_id).cmp(&(&b.union_id, &b.staff_id)));
    remarks
}

fn really_applied(gateway: &Gateway) -> Vec<AppliedRemark> {
    sorted(gateway.sandbox.state().applied_remarks())
}

#[tokio::test]
async fn a_thousand_remarks_with_seven_bad_ones_make_twenty_calls_and_say_which_failed() {
    let gateway = gateway().await;
    let mut items = remarks(&gateway, 1_000);
    let bad = [0, 49, 50, 333, 500, 777, 999];
    for (n, index) in bad.into_iter().enumerate() {
        items[index]["union_id"] = json!(format!("{UNKNOWN}{n}"));
    }
    let body = set(&gateway, &items).await.ok();
    assert_eq!(gateway.calls_to(Endpoint::JuzibotSetRemark), 20);
    assert_eq!(body["data"]["summary"]["succeeded"], 993);
    assert_eq!(body["data"]["summary"]["failed"], 7);
    for (index, status) in statuses(&body).iter().enumerate() {
        let expected = if bad.contains(&index) { "failed" } else { "succeeded" };
        assert_eq!(status, expected, "item {index}");
    }
    for index in bad {
        let problem = &body["data"]["results"][index]["problem"];
        assert_eq!(problem["code"], "validation_failed");
        assert_eq!(problem["retryable"], false);
        assert_eq!(problem["upstream"]["code"], "84061");
        assert!(!problem["upstream"]["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(body["meta"]["sources"][0]["source"], "juzibot");
    assert_eq!(body["meta"]["sources"][0]["status"], "ok");
    let good: Vec<Value> = (0..1_000).filter(|index| !bad.contains(index)).map(|index| items[index].clone()).collect();
    assert_eq!(really_applied(&gateway), applied(&good));
    gateway.stop().await;
}

#[tokio::test]
async fn an_empty_text_is_sent_empty_and_an_absent_one_is_left() {
    let gateway = gateway().await;
    let mut items = remarks(&gateway, 3);
    items[0]["description"] = json!("");
    items[1] = json!({"staff_id": items[1]["staff_id"], "union_id": items[1]["union_id"],
                      "remark": "", "description": "a\nb\tc"});
    let body = set(&gateway, &items).await.ok();
    assert_eq!(body["data"]["summary"]["succeeded"], 3);
    assert_eq!(really_applied(&gateway), applied(&items));
    let told: Vec<_> = gateway.sandbox.state().applied_remarks();
    assert_eq!(told[0].description.as_deref(), Some(""));
    assert_eq!(told[1].remark.as_deref(), Some(""));
    assert_eq!(told[2].description, None);
    gateway.stop().await;
}

#[tokio::test]
async fn texts_as_long_as_the_source_takes_pass_whatever_their_bytes() {
    let gateway = gateway().await;
    let mut items = remarks(&gateway, 2);
    items[0]["remark"] = json!("备".repeat(20));
    items[0]["description"] = json!("述".repeat(150));
    items[1]["remark"] = json!("🦀".repeat(20));
    let body = set(&gateway, &items).await.ok();
    assert_eq!(statuses(&body), ["succeeded"; 2]);
    assert_eq!(really_applied(&gateway), applied(&items));
    gateway.stop().await;
}

#[tokio::test]
async fn notes_of_one_staff_member_and_customer_go_in_one_entry_in_order() {
    let gateway = gateway().await;
    let pairs: Vec<_> = writable(gateway.sandbox.state()).take(3).collect();
    // Of three pairs in turn: ten notes each.
    let items: Vec<Value> = (0..30)
        .map(|n| {
            let (staff_id, union_id) = &pairs[n % 3];
            let mut item = json!({"staff_id": staff_id, "union_id": union_id, "content": format!("note {n}")});
            if n % 2 == 0 {
                item["occurred_at"] = json!("2026-11-22T21:00:00.999+08:00");
            }
            item
        })
        .collect();
    let body = gateway.post("/v1/follow-ups", &json!({"items": items})).await.ok();
    assert_eq!(statuses(&body), ["succeeded"; 30]);
    assert_eq!(gateway.calls_to(Endpoint::JuzibotAddFollow), 1);
    let written = gateway.sandbox.state().applied_follow_ups();
    assert_eq!(written.len(), 30);
    for (place, (staff_id, union_id)) in pairs.iter().enumerate() {
        let notes: Vec<_> = written
            .iter()
            .filter(|note| note.staff_id == *staff_id && note.union_id == *union_id)
            .map(|note| (note.content.clone(), note.timestamp))
            .collect();
        let expected: Vec<_> = (0..30)
            .filter(|n| n % 3 == place)
            .map(|n| (format!("note {n}"), (n % 2 == 0).then_some(1_795_352_400)))
            .collect();
        assert_eq!(notes, expected);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn five_hundred_entries_fill_a_chunk_of_follow_ups_however_many_notes_they_hold() {
    let gateway = gateway().await;
    let pairs: Vec<_> = writable(gateway.sandbox.state()).take(501).collect();
    let item = |n: usize| {
        let (staff_id, union_id) = &pairs[n];
        json!({"staff_id": staff_id, "union_id": union_id, "content": format!("note {n}")})
    };
    let two_each: Vec<Value> = (0..1_000).map(|n| item(n % 500)).collect();
    let body = gateway.post("/v1/follow-ups", &json!({"items": two_each})).await.ok();
    assert_eq!(body["data"]["summary"]["succeeded"], 1_000);
    assert_eq!(gateway.calls_to(Endpoint::JuzibotAddFollow), 1);
    let one_more: Vec<Value> = (0..501).map(item).collect();
    let body = gateway.post("/v1/follow-ups", &json!({"items": one_more})).await.ok();
    assert_eq!(body["data"]["summary"]["succeeded"], 501);
    assert_eq!(gateway.calls_to(Endpoint::JuzibotAddFollow), 1 + 2);
    assert_eq!(gateway.sandbox.state().applied_follow_ups().len(), 1_501);
    gateway.stop().await;
}

#[tokio::test]
async fn a_batch_needs_the_scope_to_write() {
    let gateway = gateway().await;
    let reader = Token::with(&json!({"scope": "customers:read customers:raw"})).bearer();
    for path in ["/v1/remarks", "/v1/follow-ups"] {
        let headers = [("authorization", reader.as_str()), ("content-type", "application/json")];
        let reply = gateway.send(reqwest::Method::POST, path, &headers, Some(b"{}".to_vec())).await;
        reply.problem(403, "forbidden");
        assert_eq!(
            reply.header("www-authenticate"),
            "Bearer realm=\"scrm-gateway\", error=\"insufficient_scope\", scope=\"customers:write\""
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_source_has_to_be_named_only_where_several_offer_the_write() {
    let mut options = GatewayOptions::default();
    let gateway = gateway().await;
    let items = remarks(&gateway, 1);
    set(&gateway, &items).await.ok();
    let body = json!({"items": items});
    gateway.post("/v1/remarks?source=juzibot", &body).await.ok();
    gateway.post("/v1/remarks?source=tanma", &body).await.problem(422, "not_offered");
    let unknown = gateway.post("/v1/remarks?source=nobody", &body).await;
    let fault = &unknown.problem(400, "invalid_request")["errors"][0];
    assert_eq!((fault["parameter"].as_str(), fault["code"].as_str()), (Some("source"), Some("not_visible")));
    assert_eq!(gateway.calls_to(Endpoint::JuzibotSetRemark), 2);

    // A second account at the same vendor.
    let second = gateway.sandbox.juzibot_url();
    options.extra = format!(
        "[sources.second]\nkind = \"juzibot\"\nbase_url = \"{second}\"\ntoken = \"{}\"\n",
        crate::support::JUZIBOT_TOKEN
    );
    options.order = r#"["juzibot", "tanma", "second"]"#.to_owned();
    let two = gateway_with(options).await;
    let fault = &set(&two, &items).await.problem(400, "invalid_request")["errors"][0];
    assert_eq!((fault["parameter"].as_str(), fault["code"].as_str()), (Some("source"), Some("missing")));
    let named = two.post("/v1/remarks?source=second", &body).await.ok();
    assert_eq!(named["meta"]["sources"][0]["source"], "second");
    // Who sees one of them alone need not say which.
    let narrow = Token::with(&json!({"sources": ["second", "tanma"]})).bearer();
    let headers = [("authorization", narrow.as_str()), ("content-type", "application/json")];
    let reply = two.send(reqwest::Method::POST, "/v1/remarks", &headers, Some(body.to_string().into_bytes())).await;
    assert_eq!(reply.ok()["meta"]["sources"][0]["source"], "second");
    assert_eq!(two.calls_to(Endpoint::JuzibotSetRemark), 0, "its own account was never meant");
    two.stop().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_batch_costs_one_a_chunk_and_never_more_than_the_burst() {
    let gateway = gateway_with(GatewayOptions {
        rate_limit: "default = { requests = 10, window = \"1h\", burst = 10 }".to_owned(),
        ..GatewayOptions::default()
    })
    .await;
    let items = remarks(&gateway, 1_000);
    let left = |reply: &Reply| {
        let value = reply.header("ratelimit").to_owned();
        let remaining = value.split("r=").nth(1).unwrap().split(';').next().unwrap();
        remaining.parse::<u32>().unwrap()
    };
    let reply = set(&gateway, &items[..150]).await;
    reply.ok();
    assert_eq!(left(&reply), 7, "three chunks");
    let reply = set(&gateway, &items[..500]).await;
    reply.problem(429, "rate_limited");
    assert_eq!(gateway.calls_to(Endpoint::JuzibotSetRemark), 3, "nothing of it was sent");
    gateway.stop().await;

    let fresh = gateway_with(GatewayOptions {
        rate_limit: "default = { requests = 10, window = \"1h\", burst = 10 }".to_owned(),
        ..GatewayOptions::default()
    })
    .await;
    let reply = set(&fresh, &items).await;
    reply.ok();
    assert_eq!(left(&reply), 0, "twenty chunks are within a full burst of ten");
    assert_eq!(fresh.calls_to(Endpoint::JuzibotSetRemark), 20);
    fresh.stop().await;
}
