//! What one caller spends is not missing to another, and nobody reads of it.

use serde_json::json;

use super::{ask, options, others, tester};
use crate::support::Gateway;

const PATH: &str = "/v1/me";
const PLENTY: &str = "{ requests = 6000000, window = \"1m\", burst = 1000000 }";

fn limited(extra: &str) -> crate::support::GatewayOptions {
    let mut options = options(extra);
    options.rate_limit = format!("default = {{ requests = 5, window = \"1h\", burst = 5 }}\nper_address = {PLENTY}");
    options
}

#[tokio::test]
async fn a_spent_quota_is_its_callers_alone() {
    let gateway = Gateway::with(limited("")).await;
    let left = |reply: &crate::support::Reply| {
        let header = reply.header("ratelimit").to_owned();
        header.split(";r=").nth(1).and_then(|rest| rest.split(';').next()?.parse::<u32>().ok()).unwrap()
    };
    for _ in 0..5 {
        ask(&gateway, &tester(), PATH, &[]).await.ok();
    }
    ask(&gateway, &tester(), PATH, &[]).await.problem(429, "rate_limited");
    for (who, claims) in others() {
        let reply = ask(&gateway, &claims, PATH, &[]).await;
        assert_eq!(reply.ok()["data"]["quota"]["remaining"], 4, "{who}");
        assert_eq!(left(&reply), 4, "{who}");
    }
    ask(&gateway, &tester(), PATH, &[]).await.problem(429, "rate_limited");
    gateway.stop().await;
}

#[tokio::test]
async fn another_token_of_the_same_caller_has_the_same_quota() {
    let gateway = Gateway::with(limited("")).await;
    for n in 0..5 {
        let claims = json!({"exp": 4_102_444_800_i64 + n, "jti": n.to_string(), "scope": "customers:read"});
        ask(&gateway, &claims, PATH, &[]).await.ok();
    }
    ask(&gateway, &json!({"jti": "one more"}), PATH, &[]).await.problem(429, "rate_limited");
    gateway.stop().await;
}

#[tokio::test]
async fn an_entry_of_the_configuration_is_for_one_caller_of_one_issuer() {
    let entry = "[callers.big]\nissuer = \"test\"\nsubject = \"tester\"\nquota = { requests = 50, window = \"1h\", burst = 50 }\n";
    let gateway = Gateway::with(limited(entry)).await;
    let burst = async |claims| ask(&gateway, &claims, PATH, &[]).await.ok()["data"]["quota"]["burst"].clone();
    assert_eq!(burst(tester()).await, 50);
    for (who, claims) in others() {
        assert_eq!(burst(claims).await, 5, "{who}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_caller_with_all_its_streams_open_leaves_others_theirs() {
    use scrm_gateway::sandbox::Endpoint;
    use scrm_gateway::sandbox::faults::{Effect, Rule};
    let mut options = options("");
    options.server = "max_streams_per_caller = 1".to_owned();
    options.tanma = "page_size = 10".to_owned();
    let gateway = Gateway::with(options).await;
    gateway.fault(Rule::new(Endpoint::TanmaList, Effect::NeverAnswer { applied: false }).after(1)).await;
    let list = "/v1/customers?source=tanma&staff_id=dowen";
    let stream = ("accept", "application/x-ndjson");
    // It stands at its second page.
    let open = gateway.open(list, &[stream]).await;
    assert_eq!(open.status(), 200);
    ask(&gateway, &tester(), list, &[stream]).await.problem(429, "rate_limited");
    gateway.sandbox.state().clear_faults().await;
    for (who, claims) in others() {
        assert_eq!(ask(&gateway, &claims, list, &[stream]).await.status, 200, "{who}");
    }
    drop(open);
    gateway.stop().await;
}

#[tokio::test]
async fn the_numbers_of_the_admin_port_name_no_caller() {
    let gateway = Gateway::with(limited("")).await;
    for subject in ["somebody-very-special", "another-very-special"] {
        for _ in 0..6 {
            ask(&gateway, &json!({"sub": subject}), "/v1/customers?source=juzibot&limit=1", &[]).await;
        }
    }
    for path in ["/metrics", "/livez", "/readyz"] {
        let reply = crate::cli::http().get(format!("{}{path}", gateway.admin_url())).send().await.unwrap();
        let text = format!("{:?}{}", reply.headers().clone(), reply.text().await.unwrap());
        for word in ["very-special", "https://login.test", "tester", "scrm-gateway\"}"] {
            assert!(!text.contains(word), "{path}: {word}");
        }
        assert!(path != "/metrics" || text.contains("route=\"/v1/customers\""), "it counts: {text}");
    }
    gateway.stop().await;
}
