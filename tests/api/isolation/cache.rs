//! Callers share a cache, and each sees of it what it would see without one.

use std::sync::Arc;
use std::time::Duration;

use scrm_gateway::sandbox::Endpoint;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use scrm_gateway::sandbox::people::Person;
use serde_json::{Value, json};

use super::{ask, gateway, options, tester, whole};
use crate::support::people::everyone;
use crate::support::{Gateway, GatewayOptions};

fn known_to_both(gateway: &Gateway) -> Person {
    everyone(gateway.sandbox.state()).find(|person| person.juzibot.is_some() && person.tanma.is_some()).unwrap()
}

/// Waits for a slow source, alone or beside a fast one.
async fn patient_gateway() -> Gateway {
    let (juzibot, server) = ("timeout = \"9s\"".to_owned(), "merge_grace = \"9s\"".to_owned());
    Gateway::with(GatewayOptions { juzibot, server, ..options("") }).await
}

fn sees(source: &str) -> Value {
    json!({"sub": format!("sees-{source}"), "sources": [source]})
}

#[tokio::test]
async fn what_others_have_loaded_of_a_hidden_source_is_not_shown() {
    let (used, unused) = (gateway().await, gateway().await);
    let person = known_to_both(&used);
    let (id, union_id) = (&person.external_user_id, &person.union_id);
    let details = [format!("/v1/customers/{id}"), format!("/v1/customers/{union_id}?id_type=union_id")];
    for path in &details {
        ask(&used, &tester(), path, &[]).await.ok();
    }
    for (seen, hidden) in [("juzibot", "tanma"), ("tanma", "juzibot")] {
        for path in &details {
            let of_used = ask(&used, &sees(seen), path, &[]).await;
            let of_unused = ask(&unused, &sees(seen), path, &[]).await;
            assert!(!of_used.body.contains(hidden), "{path}: {}", of_used.body);
            assert!(!format!("{:?}", of_used.headers).contains(hidden), "{path}");
            // The whole answer is the same but for the cache's own word on the visible source.
            let without_cache = |reply| {
                let (status, mut headers, body) = whole(reply);
                headers.retain(|(name, _)| name != "cache-status");
                (status, headers, body)
            };
            assert_eq!(without_cache(&of_used), without_cache(&of_unused), "{path}");
        }
    }
    used.stop().await;
    unused.stop().await;
}

/// Tanma is asked by `external_user_id` alone, which `JuziBot` has told to somebody else.
#[tokio::test]
async fn an_id_that_a_hidden_source_has_told_is_not_used() {
    let gateway = gateway().await;
    let path = format!("/v1/customers/{}?id_type=union_id", known_to_both(&gateway).union_id);
    assert_eq!(ask(&gateway, &tester(), &path, &[]).await.ok()["meta"]["sources"][1]["status"], "ok");
    let calls = gateway.sandbox.state().calls();
    ask(&gateway, &sees("tanma"), &path, &[]).await.problem(422, "not_offered");
    assert_eq!(gateway.sandbox.state().calls(), calls);
    gateway.stop().await;
}

#[tokio::test]
async fn who_waits_for_anothers_load_gets_its_own_sources_alone() {
    let gateway = Arc::new(patient_gateway().await);
    let path = format!("/v1/customers/{}", known_to_both(&gateway).external_user_id);
    let slow = Effect::Delay { min: Duration::from_secs(2), max: None, applied: false };
    gateway.fault(Rule::new(Endpoint::JuzibotDetail, slow)).await;
    let begin = |claims: Value| {
        let (gateway, path) = (gateway.clone(), path.clone());
        tokio::spawn(async move { ask(&gateway, &claims, &path, &[]).await })
    };
    let first = begin(tester());
    gateway.asked(Endpoint::JuzibotDetail, 1).await;
    let second = begin(sees("juzibot"));
    let hidden = ask(&gateway, &sees("tanma"), &path, &[]).await;
    assert!(!hidden.body.contains("juzibot") && !hidden.header("cache-status").contains("juzibot"));
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!(first.ok()["meta"]["sources"].as_array().unwrap().len(), 2);
    assert!(second.header("cache-status").contains("collapsed"), "{}", second.header("cache-status"));
    assert!(!second.body.contains("tanma") && !second.header("cache-status").contains("tanma"));
    assert_eq!(second.ok()["data"]["records"].as_array().unwrap().len(), 1);
    assert_eq!(gateway.calls_to(Endpoint::JuzibotDetail), 1);
    Arc::into_inner(gateway).unwrap().stop().await;
}

#[tokio::test]
async fn a_caller_in_a_hurry_or_gone_takes_nothing_from_who_waits_with_it() {
    let gateway = Arc::new(patient_gateway().await);
    let path = format!("/v1/customers/{}?source=juzibot", known_to_both(&gateway).external_user_id);
    let slow = Effect::Delay { min: Duration::from_secs(3), max: None, applied: false };
    gateway.fault(Rule::new(Endpoint::JuzibotDetail, slow)).await;
    let begin = |claims: Value, wait: &'static str| {
        let (gateway, path) = (gateway.clone(), path.clone());
        tokio::spawn(async move { ask(&gateway, &claims, &path, &[("prefer", wait)]).await })
    };
    let leaves = begin(json!({"sub": "leaves"}), "wait=9");
    gateway.asked(Endpoint::JuzibotDetail, 1).await;
    let patient = begin(json!({"sub": "patient"}), "wait=9");
    let hurried = begin(json!({"sub": "hurried"}), "wait=1");
    leaves.abort();
    hurried.await.unwrap().problem(504, "source_timeout");
    assert_eq!(patient.await.unwrap().ok()["meta"]["sources"][0]["status"], "ok");
    assert_eq!(gateway.calls_to(Endpoint::JuzibotDetail), 1);
    assert!(leaves.await.is_err());
    Arc::into_inner(gateway).unwrap().stop().await;
}
