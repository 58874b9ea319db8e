//! Contract §3.3: one customer over many sources.

use std::sync::Arc;

use scrm_gateway::sandbox::Endpoint;

use crate::support::Gateway;

#[tokio::test]
async fn a_customer_known_to_both_sources_has_relations_from_both() {
    let gateway = Gateway::start().await;
    let id = gateway.sandbox.state().people().featured().external_user_id;
    let body = gateway.get(&format!("/v1/customers/{id}")).await.ok();
    let sources: Vec<_> = body["data"]["relations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["source"].as_str())
        .collect();
    assert!(
        sources.contains(&Some("juzibot")) && sources.contains(&Some("tanma")),
        "{sources:?}"
    );
    let statuses: Vec<_> = body["meta"]["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["status"].as_str())
        .collect();
    assert_eq!(statuses, [Some("ok"), Some("ok")]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_thousand_requests_for_one_cold_detail_make_one_call_to_each_source() {
    let gateway = Arc::new(Gateway::start().await);
    let path = format!(
        "/v1/customers/{}",
        gateway.sandbox.state().people().featured().external_user_id
    );
    gateway.sandbox.state().reset_calls();
    let asked: Vec<_> = (0..1000)
        .map(|_| {
            let (gateway, path) = (gateway.clone(), path.clone());
            tokio::spawn(async move { gateway.get(&path).await.ok() })
        })
        .collect();
    for reply in asked {
        assert_eq!(
            reply.await.unwrap()["data"]["external_user_id"],
            path.rsplit('/').next().unwrap()
        );
    }
    assert_eq!(gateway.sandbox.state().calls_to(Endpoint::JuzibotDetail), 1);
    assert_eq!(gateway.sandbox.state().calls_to(Endpoint::TanmaDetails), 1);
}
