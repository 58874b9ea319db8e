//! That the net is cast where the fish are: what is seeded does go out to the sources and does come back to callers.

use serde_json::json;

use super::scan::{Canary, Scanner};
use super::seeds;
use super::service::{Asked, Service};
use crate::support::{APP_KEY, JUZIBOT_TOKEN, Stage, Vendor};

#[tokio::test]
async fn the_secrets_are_in_what_is_sent_to_the_sources() {
    for (vendor, secret, keys) in
        [(Vendor::Juzibot, JUZIBOT_TOKEN, ""), (Vendor::Tanma, APP_KEY, "send_app_key_header = true")]
    {
        let stage = Stage::with(vendor, keys, &vendor.ok(json!([]))).await;
        let scanner = Scanner::new(&[Canary::new("secret", secret)]);
        stage.list().await;
        let call = stage.calls().await.remove(0);
        let headers: Vec<_> = call.headers.values().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let sent = format!("{} {}", call.url, headers.join(" "));
        assert!(scanner.find(&sent).is_some(), "{vendor:?}");
    }
}

#[tokio::test]
async fn customers_data_is_in_the_answers_to_callers() {
    let mut service = Service::start("json").await;
    let asked = Asked::get("/v1/customers?source=juzibot").customers();
    assert_eq!(service.ask("a list", vec![asked]).await, [200]);
    let list = crate::cli::http()
        .get(format!("{}/v1/customers?source=juzibot", service.url))
        .header("authorization", seeds::bearer().bearer());
    let body = list.send().await.unwrap().text().await.unwrap();
    let all = seeds::customer_data(service.sandbox.state());
    for kind in ["a customer's name", "a customer's mobile number", "a customer's remark"] {
        let of_kind: Vec<Canary> = all.iter().filter(|canary| canary.name == kind).cloned().collect();
        assert!(of_kind.len() > 10, "{kind}");
        assert!(Scanner::new(&of_kind).find(&body).is_some(), "{kind}");
    }
    service.sandbox.stop().await;
}
