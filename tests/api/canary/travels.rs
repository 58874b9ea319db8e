//! That the net is cast where the fish are: what is seeded does go out to the sources and does come back to callers.

use serde_json::json;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::requests::of_all_operations;
use super::scan::{Canary, Scanner};
use super::seeds;
use super::service::{Asked, Service};
use super::settings::Patience;
use crate::support::{APP_KEY, Gateway, GatewayOptions, JUZIBOT_TOKEN, JWT_SECRET, Stage, Token, Vendor};

#[tokio::test]
async fn the_secrets_are_in_what_is_sent_to_the_sources() {
    for (vendor, secret, keys) in
        [(Vendor::Juzibot, JUZIBOT_TOKEN, ""), (Vendor::Tanma, APP_KEY, "send_app_key_header = true")]
    {
        let stage = Stage::with(vendor, keys, &vendor.ok(json!([]))).await;
        let scanner = Scanner::new(&[Canary::new("secret", secret)]);
        stage.list().await;
        assert!(scanner.find(sent(&stage.calls().await[0])).is_some(), "{vendor:?}");
    }
}

/// All that a source reads of a call.
fn sent(call: &Request) -> String {
    let headers =
        call.headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
    let headers = headers.collect::<Vec<_>>().join("\n");
    format!("{} {}\n{headers}\n\n{}", call.method, call.url, String::from_utf8_lossy(&call.body))
}

/// Of every operation, with what a careless gateway might hand on.
#[tokio::test]
async fn no_source_is_sent_the_secret_of_another_or_the_token_of_a_caller() {
    const COOKIE: &str = "Ck9xLw4vTz7mRq2n";
    // Each with its endpoints.
    let sources = [(Vendor::Juzibot, 4, MockServer::start().await), (Vendor::Tanma, 2, MockServer::start().await)];
    for (vendor, _, source) in &sources {
        let answer = ResponseTemplate::new(200).set_body_json(vendor.ok(json!([])));
        Mock::given(any()).respond_with(answer).mount(source).await;
    }
    let gateway = Gateway::with(GatewayOptions {
        juzibot_url: Some(sources[0].2.uri()),
        tanma_url: Some(sources[1].2.uri()),
        tanma: "send_app_key_header = true".to_owned(),
        extra: "[telemetry]\npropagate_to_sources = true".to_owned(),
        ..GatewayOptions::default()
    });
    let gateway = gateway.await;
    for asked in of_all_operations(gateway.sandbox.state()) {
        let usual =
            [("cookie", COOKIE), ("proxy-authorization", COOKIE), ("x-api-key", COOKIE), ("x-request-id", COOKIE)];
        let headers = asked.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<_> = headers.chain(usual).collect();
        gateway.send(asked.method, &asked.path, &headers, asked.body.map(String::into_bytes)).await;
    }
    let token = Token::default().sign();
    let of_caller = [
        Canary::new("the caller's token", token.split_once('.').unwrap().1),
        Canary::new("the signing secret", JWT_SECRET),
        Canary::new("a header of the caller's", COOKIE),
    ];
    let (juzibot, tanma) = (Canary::new("JuziBot's", JUZIBOT_TOKEN), Canary::new("Tanma's", APP_KEY));
    for ((vendor, endpoints, source), others) in sources.iter().zip([tanma, juzibot]) {
        let scanner = Scanner::new(&[&of_caller[..], &[others]].concat());
        let calls = source.received_requests().await.unwrap();
        let mut paths: Vec<&str> = calls.iter().map(|call| call.url.path()).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), *endpoints, "{vendor:?}: {paths:?}");
        for call in &calls {
            scanner.check(&format!("what {vendor:?} is sent"), sent(call));
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn customers_data_is_in_the_answers_to_callers() {
    let mut service = Service::start("json", Patience::Long).await;
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
