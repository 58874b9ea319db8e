//! The vendor's samples, asked through the gateway, against answers written by hand from the contract's table.

use serde_json::json;

use super::JUZIBOT;
use crate::support::{Stage, fixture};

#[tokio::test]
async fn the_sample_list_becomes_the_customers_that_the_table_says() {
    let body = Stage::answering(JUZIBOT, &fixture("juzibot/list.ok.json")).await.list().await.ok();
    assert_eq!(body["data"], fixture("expected/juzibot.list.json"));
    assert_eq!(body["page"]["total"], 100);
    // The sample shows one row of a hundred: the list goes on.
    assert!(body["page"]["next_cursor"].is_string(), "{}", body["page"]);
    assert_eq!(body["meta"]["sources"].as_array().unwrap().len(), 1);
    assert_eq!(body["meta"]["sources"][0]["source"], "juzibot");
    assert_eq!(body["meta"]["sources"][0]["status"], "ok");
    assert_eq!(body["meta"]["sources"][0]["problem"], json!(null));
    assert_eq!(body["meta"]["warnings"], json!([]));
}

#[tokio::test]
async fn the_sample_details_become_the_customers_that_the_table_says() {
    for (sample, expected) in [
        ("juzibot/detail.ok.json", "expected/juzibot.detail.json"),
        ("juzibot/detail.zh-fields.ok.json", "expected/juzibot.detail.zh-fields.json"),
    ] {
        let sample_id = fixture(sample)["data"]["externalUserId"].as_str().unwrap().to_owned();
        let body = Stage::answering(JUZIBOT, &fixture(sample)).await.detail_of(&sample_id).await.ok();
        assert_eq!(body["data"], fixture(expected), "{sample}");
        assert_eq!(body["meta"]["sources"].as_array().unwrap().len(), 1);
        assert_eq!(body["meta"]["sources"][0]["source"], "juzibot");
        assert_eq!(body["meta"]["sources"][0]["status"], "ok");
        assert_eq!(body["meta"]["warnings"], json!([]));
    }
}

#[tokio::test]
async fn include_raw_adds_the_sources_own_json_and_changes_nothing_else() {
    let sample = fixture("juzibot/list.ok.json");
    let stage = Stage::answering(JUZIBOT, &sample).await;
    let mut expected = fixture("expected/juzibot.list.json");
    expected[0]["records"][0]["raw"] = sample["data"][0].clone();
    let path = format!("{}&include=raw", JUZIBOT.list_path());
    assert_eq!(stage.gateway.get(&path).await.ok()["data"], expected);

    let sample = fixture("juzibot/detail.ok.json");
    let stage = Stage::answering(JUZIBOT, &sample).await;
    let mut expected = fixture("expected/juzibot.detail.json");
    expected["records"][0]["raw"] = sample["data"].clone();
    let id = sample["data"]["externalUserId"].as_str().unwrap();
    let path = format!("/v1/customers/{id}?source=juzibot&include=raw");
    assert_eq!(stage.gateway.get(&path).await.ok()["data"], expected);
}
