//! A source's own JSON is for who has the scope.

use serde_json::{Value, json};

use super::{ask, gateway, tester};
use crate::support::people::everyone;

const STREAM: (&str, &str) = ("accept", "application/x-ndjson");

fn without_raw() -> Value {
    json!({"sub": "reader", "scope": "customers:read customers:write"})
}

/// How many records of an answer have raw JSON.
fn raw_records(body: &Value) -> usize {
    let mine = usize::from(body.get("raw").is_some_and(|raw| !raw.is_null()));
    let below: usize = match body {
        Value::Object(members) => members.values().map(raw_records).sum(),
        Value::Array(items) => items.iter().map(raw_records).sum(),
        _ => 0,
    };
    mine + below
}

#[tokio::test]
async fn without_its_scope_raw_is_refused_wherever_it_can_be_asked_for() {
    let gateway = gateway().await;
    let person = gateway.sandbox.state().people().featured();
    let (id, union_id) = (&person.external_user_id, &person.union_id);
    for path in [
        "/v1/customers?source=juzibot&include=raw".to_owned(),
        format!("/v1/customers/{id}?include=raw"),
        format!("/v1/customers/{union_id}?id_type=union_id&include=raw"),
        "/v1/customers/wmNobody?include=raw".to_owned(),
    ] {
        for accept in [&[][..], &[STREAM]] {
            if !path.starts_with("/v1/customers?") && !accept.is_empty() {
                continue; // A detail is no stream.
            }
            for scope in ["customers:read customers:write", "customers:read raw customers:raws customers:RAW"] {
                let reply = ask(&gateway, &json!({"scope": scope}), &path, accept).await;
                reply.problem(403, "forbidden");
                assert!(reply.header("www-authenticate").contains("scope=\"customers:raw\""), "{path}");
            }
            assert_ne!(ask(&gateway, &tester(), &path, accept).await.status, 403, "{path}");
        }
        // The scope alone reads nothing.
        ask(&gateway, &json!({"scope": "customers:raw"}), &path, &[]).await.problem(403, "forbidden");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_caller_with_the_scope_has_read_is_not_shown_to_one_without() {
    let gateway = gateway().await;
    let known = everyone(gateway.sandbox.state()).find(|person| person.juzibot.is_some() && person.tanma.is_some());
    let path = format!("/v1/customers/{}", known.unwrap().external_user_id);
    let list = "/v1/customers?source=juzibot&limit=5";
    for _ in 0..2 {
        let raw = ask(&gateway, &tester(), &format!("{path}?include=raw"), &[]).await;
        assert_eq!(raw_records(&raw.ok()), 2);
        assert_eq!(raw.header("cache-control"), "no-store");
        assert_eq!(raw.headers.get("etag"), None);
        assert_eq!(raw_records(&ask(&gateway, &without_raw(), &path, &[]).await.ok()), 0);
        assert_eq!(raw_records(&ask(&gateway, &tester(), &path, &[]).await.ok()), 0, "who may ask has to");
        assert_eq!(raw_records(&ask(&gateway, &tester(), &format!("{list}&include=raw"), &[]).await.ok()), 5);
        assert_eq!(raw_records(&ask(&gateway, &without_raw(), list, &[]).await.ok()), 0);
    }
    gateway.stop().await;
}
