//! One problem of every kind that can be provoked.

use std::time::Duration;

use reqwest::Method;
use scrm_gateway::model::{CATALOGUE, ProblemCode};
use scrm_gateway::sandbox::faults::{Effect, Rule};
use scrm_gateway::sandbox::{Endpoint, Source};
use serde_json::{Map, Value, json};

use super::{json_example, usual};
use crate::auth::publisher::Pair;
use crate::support::{Gateway, GatewayOptions, Reply, Token};

const LIST: &str = "/v1/customers?source=juzibot";
const NOTE: &str = r#"{"items": [{"staff_id": "rocky", "union_id": "oz_nobody", "content": "c"}]}"#;

/// What was provoked, by its code.
#[derive(Default)]
struct Problems(Map<String, Value>);

impl Problems {
    #[track_caller]
    fn add(&mut self, status: u16, code: &str, reply: &Reply) {
        let problem = reply.problem(status, code);
        assert!(self.0.insert(code.to_owned(), problem).is_none(), "{code} twice");
    }
}

async fn post(gateway: &Gateway, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    gateway.send(Method::POST, path, headers, Some(body.as_bytes().to_vec())).await
}

#[tokio::test]
async fn the_examples_of_problems_are_answers() {
    let mut found = Problems::default();
    of_callers(&mut found).await;
    of_limits(&mut found).await;
    of_issuers(&mut found).await;
    of_sources(&mut found).await;
    // All but a fault of ours, and what no operation of the document answers: it is asked with another method.
    let never = [ProblemCode::Internal, ProblemCode::MethodNotAllowed];
    for row in CATALOGUE.iter().filter(|row| !never.contains(&row.code)) {
        assert!(found.0.contains_key(row.code.as_str()), "{} is not provoked", row.title);
    }
    json_example("problems.json", Value::Object(found.0));
}

async fn of_callers(found: &mut Problems) {
    let gateway = Gateway::with(usual()).await;
    let json = [("content-type", "application/json")];
    found.add(400, "invalid_request", &gateway.get(&format!("{LIST}&limit=0&colour=red")).await);
    found.add(400, "cursor_invalid", &gateway.get(&format!("{LIST}&cursor=AAAA")).await);
    found.add(401, "unauthenticated", &gateway.get_with("/v1/me", &[("authorization", "")]).await);
    let reader = Token::with(&json!({"scope": "customers:read"})).bearer();
    let as_reader = [json[0], ("authorization", reader.as_str())];
    found.add(403, "forbidden", &post(&gateway, "/v1/remarks", &as_reader, NOTE).await);
    found.add(404, "not_found", &gateway.get("/v1/customers/wm_nobody").await);
    found.add(406, "not_acceptable", &gateway.get_with(LIST, &[("accept", "text/csv")]).await);
    let as_text = [("content-type", "text/plain")];
    found.add(415, "unsupported_media_type", &post(&gateway, "/v1/remarks", &as_text, NOTE).await);
    let faulty = r#"{"items": [{"union_id": "", "remark": "more than twenty characters"}]}"#;
    found.add(422, "validation_failed", &post(&gateway, "/v1/remarks", &json, faulty).await);
    let remark = r#"{"items": [{"staff_id": "rocky", "union_id": "oz_nobody", "remark": "r"}]}"#;
    found.add(422, "not_offered", &post(&gateway, "/v1/remarks?source=tanma", &json, remark).await);
    under_a_key(&gateway, found).await;
    gateway.stop().await;
}

async fn under_a_key(gateway: &Gateway, found: &mut Problems) {
    let headers = [("content-type", "application/json"), ("idempotency-key", "example-key")];
    let slow = Effect::Delay { min: Duration::from_millis(1_500), max: None, applied: false };
    gateway.fault(Rule::new(Endpoint::JuzibotAddFollow, slow)).await;
    let mut first = Box::pin(post(gateway, "/v1/follow-ups", &headers, NOTE));
    tokio::select! {
        reply = &mut first => panic!("answered at once: {reply:?}"),
        () = gateway.asked(Endpoint::JuzibotAddFollow, 1) => {}
    }
    let second = post(gateway, "/v1/follow-ups", &headers, NOTE).await;
    found.add(409, "idempotency_in_progress", &second);
    first.await.ok();
    let other = post(gateway, "/v1/follow-ups", &headers, &NOTE.replace("\"c\"", "\"d\"")).await;
    found.add(422, "idempotency_key_reused", &other);
}

async fn of_limits(found: &mut Problems) {
    let server = "body_limit = \"64B\"\nmax_in_flight = 1".to_owned();
    let rate_limit = "default = { requests = 60, window = \"1m\", burst = 2 }".to_owned();
    let gateway = Gateway::with(GatewayOptions { rate_limit, server, ..GatewayOptions::default() }).await;
    let json = [("content-type", "application/json")];
    found.add(413, "payload_too_large", &post(&gateway, "/v1/follow-ups", &json, NOTE).await);
    let slow = Effect::Delay { min: Duration::from_millis(1_500), max: None, applied: false };
    gateway.fault(Rule::new(Endpoint::JuzibotList, slow)).await;
    let mut held = Box::pin(gateway.get(LIST));
    tokio::select! {
        reply = &mut held => panic!("answered at once: {reply:?}"),
        () = gateway.asked(Endpoint::JuzibotList, 1) => {}
    }
    found.add(503, "overloaded", &gateway.get(LIST).await);
    held.await.ok();
    let spent = loop {
        let reply = gateway.get("/v1/me").await;
        if reply.status == 429 {
            break reply;
        }
    };
    found.add(429, "rate_limited", &spent);
    gateway.stop().await;
}

async fn of_issuers(found: &mut Problems) {
    let issuer = "[auth.issuers.down]\nissuer = \"https://down.test\"\naudience = [\"scrm-gateway\"]\n\
                  algorithms = [\"ES256\"]\njwks_url = \"http://127.0.0.1:1/jwks.json\"\n";
    let gateway = Gateway::with(GatewayOptions { extra: issuer.to_owned(), ..GatewayOptions::default() }).await;
    let bearer = Pair::named("a").bearer("down");
    found.add(503, "issuer_unavailable", &gateway.get_with("/v1/me", &[("authorization", &bearer)]).await);
    gateway.stop().await;
}

async fn of_sources(found: &mut Problems) {
    let status = |status| Effect::Status { status, retry_after: None, body: String::new(), applied: false };
    let unknown =
        Effect::Code { code: 45_033, message: "concurrent calls exceed the limit".to_owned(), applied: false };
    let never = Effect::NeverAnswer { applied: false };
    for (code, answered, effect) in [
        ("source_rejected", 502, unknown),
        ("source_bad_payload", 502, Effect::Html { applied: false }),
        ("source_credentials", 502, status(401)),
        ("source_rate_limited", 503, status(429)),
        ("source_unavailable", 503, status(500)),
        ("source_timeout", 504, never),
    ] {
        let gateway = Gateway::with(usual()).await;
        gateway.fault(Rule::new(Source::Juzibot, effect)).await;
        found.add(answered, code, &gateway.get_with(LIST, &[("prefer", "wait=1")]).await);
        gateway.stop().await;
    }
}
