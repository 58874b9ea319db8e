//! Start, stop, sameness and size.

use std::time::Duration;

use scrm_gateway::sandbox::{Options, Sandbox};
use serde_json::json;
use tokio::time::Instant;

use crate::clients::{APP_KEY, LIST, Signed, TOKEN, http, juzibot_get, sandbox, small};

async fn bytes(sandbox: &Sandbox) -> (Vec<u8>, Vec<u8>) {
    let list = format!("{}/api/v1/customer/list?token={TOKEN}&current=1&pageSize=1000", sandbox.juzibot_url());
    let juzibot = http().get(list).send().await.expect("an answer").bytes().await.expect("an answer");
    let signed = Signed::new(LIST, &json!({"qwUserId": "rocky", "size": 100}));
    let tanma = signed.send(sandbox).await.bytes().await.expect("an answer");
    (juzibot.to_vec(), tanma.to_vec())
}

#[tokio::test]
async fn the_same_seed_gives_the_same_bytes_and_another_one_does_not() {
    let with = |seed| Options { seed, ..Options::default() };
    let (one, same, other) = (sandbox(with(9)).await, sandbox(with(9)).await, sandbox(with(10)).await);
    let first = bytes(&one).await;
    assert_eq!(first, bytes(&one).await);
    assert_eq!(first, bytes(&same).await);
    assert_ne!(first, bytes(&other).await);
}

#[tokio::test]
async fn a_hundred_thousand_customers_start_quickly() {
    let start = Instant::now();
    let sandbox = sandbox(Options { customers: 100_000, ..Options::default() }).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let last = juzibot_get(&sandbox, "list", "current=80&pageSize=1000").await;
    assert!((80_000..90_000).contains(&last["total"].as_u64().unwrap()));
    assert_eq!(last["data"].as_array().unwrap().len(), 1_000);
}

#[tokio::test]
async fn a_stopped_sandbox_refuses_connections_and_its_ports_can_be_bound_again() {
    let first = small().await;
    let (juzibot, tanma) = (first.juzibot_url(), first.tanma_url());
    assert!(http().get(&juzibot).send().await.is_ok());
    first.stop().await;
    for url in [&juzibot, &tanma] {
        assert!(http().get(url).send().await.unwrap_err().is_connect());
    }
    let address = |url: &str| url.trim_start_matches("http://").parse().unwrap();
    let options = Options { juzibot_listen: address(&juzibot), tanma_listen: address(&tanma), ..Options::default() };
    let second = sandbox(options).await;
    assert_eq!((second.juzibot_url(), second.tanma_url()), (juzibot, tanma));
}

#[tokio::test]
async fn an_empty_sandbox_serves_too() {
    let sandbox = sandbox(Options { customers: 0, ..Options::default() }).await;
    assert_eq!(juzibot_get(&sandbox, "list", "current=1&pageSize=10").await["total"], 0);
    sandbox.state().insert_customers(3);
    assert_eq!(juzibot_get(&sandbox, "list", "current=1&pageSize=10").await["total"], 3);
}

#[test]
fn debug_prints_no_secret() {
    let shown = format!("{:?}", Options::default());
    assert!(!shown.contains(TOKEN) && !shown.contains(APP_KEY), "{shown}");
}
