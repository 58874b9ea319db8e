//! The vendor's samples, asked through the gateway, against answers written by hand from the contract's tables.

use serde_json::json;

use super::TANMA;
use crate::support::{Stage, fixture};

#[tokio::test]
async fn the_sample_list_becomes_the_customers_that_the_table_says() {
    let sample = fixture("tanma/list-by-qw-user-id.ok.json");
    let body = Stage::answering(TANMA, &sample).await.list().await.ok();
    assert_eq!(body["data"], fixture("expected/tanma.list.json"));
    assert_eq!(body["page"]["total"], json!(null));
    assert!(body["page"]["next_cursor"].is_string(), "{}", body["page"]);
    assert_eq!(body["meta"]["sources"][0]["source"], "tanma");
    assert_eq!(body["meta"]["sources"][0]["status"], "ok");
    assert_eq!(body["meta"]["sources"][0]["problem"], json!(null));
    assert_eq!(body["meta"]["warnings"], json!([]));
}

#[tokio::test]
async fn the_sample_detail_becomes_the_customer_that_the_table_says() {
    let sample = fixture("tanma/qw-details.ok.json");
    let id = sample["data"][0]["externalUserId"].as_str().unwrap();
    let body = Stage::answering(TANMA, &sample).await.detail_of(id).await.ok();
    assert_eq!(body["data"], fixture("expected/tanma.detail.json"));
    assert_eq!(body["meta"]["sources"].as_array().unwrap().len(), 1);
    assert_eq!(body["meta"]["sources"][0]["source"], "tanma");
    assert_eq!(body["meta"]["sources"][0]["status"], "ok");
    assert_eq!(body["meta"]["warnings"], json!([]));
}

#[tokio::test]
async fn include_raw_adds_the_sources_own_json_and_changes_nothing_else() {
    let sample = fixture("tanma/list-by-qw-user-id.ok.json");
    let stage = Stage::answering(TANMA, &sample).await;
    let path = format!("{}&include=raw", TANMA.list_path());
    let mut expected = fixture("expected/tanma.list.json");
    for (index, customer) in expected.as_array_mut().unwrap().iter_mut().enumerate() {
        customer["records"][0]["raw"] = sample["data"]["list"][index].clone();
    }
    assert_eq!(stage.gateway.get(&path).await.ok()["data"], expected);

    let sample = fixture("tanma/qw-details.ok.json");
    let stage = Stage::answering(TANMA, &sample).await;
    let id = sample["data"][0]["externalUserId"].as_str().unwrap();
    let path = format!("/v1/customers/{id}?source=tanma&include=raw");
    let mut expected = fixture("expected/tanma.detail.json");
    expected["records"][0]["raw"] = sample["data"].clone();
    assert_eq!(stage.gateway.get(&path).await.ok()["data"], expected);
}
