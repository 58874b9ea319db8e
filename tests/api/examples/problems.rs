//! The examples of error responses: for each component of the document, one problem of every code that it lists, provoked
//! at an operation that has the component.

use std::collections::BTreeMap;
use std::time::Duration;

use scrm_gateway::model::ProblemCode;
use scrm_gateway::openapi::{self, Json};
use scrm_gateway::sandbox::faults::{Effect, Rule, WrongTypes};
use scrm_gateway::sandbox::{Endpoint, Source};
use serde_json::{Value, json};

use super::{JSON, json_example, post, usual};
use crate::auth::publisher::Pair;
use crate::support::{Gateway, GatewayOptions, Reply, Token};

const LIST: &str = "get /v1/customers";
const DETAIL: &str = "get /v1/customers/{id}";
const REMARKS: &str = "post /v1/remarks";
const FOLLOW_UPS: &str = "post /v1/follow-ups";
const SOURCES: &str = "get /v1/sources";
const ME: &str = "get /v1/me";

const PAGE: &str = "/v1/customers?source=juzibot";
const NOTE: &str = r#"{"items": [{"staff_id": "rocky", "union_id": "oz_nobody", "content": "c"}]}"#;
const REMARK: &str = r#"{"items": [{"staff_id": "rocky", "union_id": "oz_nobody", "remark": "r"}]}"#;

/// Codes without a recorded example: their example is made from the catalogue.
const UNPROVOKED: [ProblemCode; 1] = [ProblemCode::Internal];

/// Problems by the component of the document and by code.
struct Problems {
    document: Value,
    found: BTreeMap<String, BTreeMap<String, Json>>,
}

impl Problems {
    /// Adds a problem that an operation answered, below the component that the document names there.
    #[track_caller]
    fn add(&mut self, operation: &str, status: u16, code: &str, reply: &Reply) {
        reply.problem(status, code);
        let (method, path) = operation.split_once(' ').unwrap();
        let response = &self.document["paths"][path][method]["responses"][status.to_string()];
        let component = response["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        let known = &self.document["components"]["responses"][component]["content"]["application/problem+json"];
        assert!(known["examples"][code].is_object(), "{component} does not list {code}");
        let problem = Json::parse(&reply.body).unwrap();
        let earlier = self.found.entry(component.to_owned()).or_default().insert(code.to_owned(), problem);
        assert!(earlier.is_none(), "{component}: {code} twice");
    }

    /// The codes that the document lists and no operation answered.
    fn missing(&self) -> Vec<String> {
        let components = self.document["components"]["responses"].as_object().unwrap();
        let listed = components.iter().flat_map(|(component, response)| {
            let examples = response["content"]["application/problem+json"]["examples"].as_object().unwrap();
            examples.keys().map(move |code| (component, code))
        });
        let unprovoked = |code: &str| UNPROVOKED.iter().any(|unprovoked| unprovoked.as_str() == code);
        let found =
            |component: &str, code: &str| self.found.get(component).is_some_and(|codes| codes.contains_key(code));
        listed
            .filter(|(component, code)| !found(component, code) && !unprovoked(code))
            .map(|(component, code)| format!("{component}: {code}"))
            .collect()
    }
}

#[tokio::test]
async fn problem_examples_are_answers_of_their_operation() {
    let document = serde_json::from_str(&openapi::to_json(&openapi::spec(None))).unwrap();
    let mut problems = Problems { document, found: BTreeMap::new() };
    invalid_requests(&mut problems).await;
    callers(&mut problems).await;
    idempotency_keys(&mut problems).await;
    limits(&mut problems).await;
    overload(&mut problems).await;
    issuers(&mut problems).await;
    refused_values(&mut problems).await;
    failing_reads(&mut problems).await;
    failing_writes(&mut problems).await;
    late_write(&mut problems).await;
    assert_eq!(problems.missing(), Vec::<String>::new(), "listed in the document and not provoked");
    json_example("problems.json", &serde_json::to_string(&problems.found).unwrap());
}

fn status(status: u16) -> Effect {
    Effect::Status { status, retry_after: None, body: String::new(), applied: false }
}

fn slow() -> Effect {
    Effect::Delay { min: Duration::from_millis(1_500), max: None, applied: false }
}

async fn invalid_requests(problems: &mut Problems) {
    let gateway = Gateway::with(usual()).await;
    let bad_detail = "/v1/customers/wm_nobody?id_type=mobile&on_partial=maybe";
    problems.add(LIST, 400, "invalid_request", &gateway.get(&format!("{PAGE}&limit=0&include=all")).await);
    problems.add(LIST, 400, "cursor_invalid", &gateway.get(&format!("{PAGE}&cursor=AAAA")).await);
    problems.add(DETAIL, 400, "invalid_request", &gateway.get(bad_detail).await);
    problems.add(REMARKS, 400, "invalid_request", &post(&gateway, "/v1/remarks", &[JSON], r#"{"items": ["#).await);
    problems.add(ME, 400, "invalid_request", &gateway.get("/v1/me?limit=10").await);
    let remark = r#"{"items": [{"union_id": "", "remark": "more than twenty characters"}]}"#;
    problems.add(REMARKS, 422, "validation_failed", &post(&gateway, "/v1/remarks", &[JSON], remark).await);
    let note = r#"{"items": [{"staff_id": "rocky", "union_id": "oz_nobody", "content": "", "occurred_at": "today"}]}"#;
    problems.add(FOLLOW_UPS, 422, "validation_failed", &post(&gateway, "/v1/follow-ups", &[JSON], note).await);
    gateway.stop().await;
}

async fn callers(problems: &mut Problems) {
    let gateway = Gateway::with(usual()).await;
    let with_scope = |scope: &str| Token::with(&json!({"scope": scope})).bearer();
    let (reader, writer) = (with_scope("customers:read"), with_scope("customers:write"));
    let detail = "/v1/customers/wm_nobody";
    let csv = [("accept", "text/csv")];
    problems.add(ME, 401, "unauthenticated", &gateway.get_with("/v1/me", &[("authorization", "")]).await);
    problems.add(DETAIL, 403, "forbidden", &gateway.get_with(detail, &[("authorization", &writer)]).await);
    let as_reader = [JSON, ("authorization", reader.as_str())];
    problems.add(REMARKS, 403, "forbidden", &post(&gateway, "/v1/remarks", &as_reader, REMARK).await);
    problems.add(DETAIL, 404, "not_found", &gateway.get(detail).await);
    problems.add(DETAIL, 406, "not_acceptable", &gateway.get_with(detail, &csv).await);
    problems.add(LIST, 406, "not_acceptable", &gateway.get_with(PAGE, &csv).await);
    let as_text = [("content-type", "text/plain")];
    problems.add(REMARKS, 415, "unsupported_media_type", &post(&gateway, "/v1/remarks", &as_text, REMARK).await);
    gateway.stop().await;
}

async fn idempotency_keys(problems: &mut Problems) {
    let gateway = Gateway::with(usual()).await;
    let keyed = [JSON, ("idempotency-key", "example-key")];
    gateway.fault(Rule::new(Endpoint::JuzibotAddFollow, slow())).await;
    let mut first = Box::pin(post(&gateway, "/v1/follow-ups", &keyed, NOTE));
    tokio::select! {
        reply = &mut first => panic!("answered at once: {reply:?}"),
        () = gateway.asked(Endpoint::JuzibotAddFollow, 1) => {}
    }
    let second = post(&gateway, "/v1/follow-ups", &keyed, NOTE).await;
    problems.add(FOLLOW_UPS, 409, "idempotency_in_progress", &second);
    first.await.ok();
    let other = post(&gateway, "/v1/follow-ups", &keyed, &NOTE.replace("\"c\"", "\"d\"")).await;
    problems.add(FOLLOW_UPS, 422, "idempotency_key_reused", &other);
    let keyed = [JSON, ("idempotency-key", "another-key")];
    post(&gateway, "/v1/remarks", &keyed, REMARK).await.ok();
    let other = post(&gateway, "/v1/remarks", &keyed, &REMARK.replace("\"r\"", "\"s\"")).await;
    problems.add(REMARKS, 422, "idempotency_key_reused", &other);
    gateway.stop().await;
}

async fn limits(problems: &mut Problems) {
    let server = "body_limit = \"64B\"".to_owned();
    let rate_limit = "default = { requests = 60, window = \"1m\", burst = 1 }".to_owned();
    let gateway = Gateway::with(GatewayOptions { rate_limit, server, ..GatewayOptions::default() }).await;
    problems.add(FOLLOW_UPS, 413, "payload_too_large", &post(&gateway, "/v1/follow-ups", &[JSON], NOTE).await);
    let spent = loop {
        let reply = gateway.get("/v1/me").await;
        if reply.status == 429 {
            break reply;
        }
    };
    problems.add(ME, 429, "rate_limited", &spent);
    gateway.stop().await;
}

async fn overload(problems: &mut Problems) {
    let server = "max_in_flight = 1".to_owned();
    let gateway = Gateway::with(GatewayOptions { server, ..usual() }).await;
    gateway.fault(Rule::new(Endpoint::JuzibotList, slow())).await;
    let holder = Token::with(&json!({"sub": "another caller"})).bearer();
    let headers = [("authorization", holder.as_str())];
    let mut held = Box::pin(gateway.get_with(PAGE, &headers));
    tokio::select! {
        reply = &mut held => panic!("answered at once: {reply:?}"),
        () = gateway.asked(Endpoint::JuzibotList, 1) => {}
    }
    problems.add(LIST, 503, "overloaded", &gateway.get(PAGE).await);
    problems.add(REMARKS, 503, "overloaded", &post(&gateway, "/v1/remarks", &[JSON], REMARK).await);
    problems.add(SOURCES, 503, "overloaded", &gateway.get("/v1/sources").await);
    held.await.ok();
    gateway.stop().await;
}

async fn issuers(problems: &mut Problems) {
    let issuer = "[auth.issuers.down]\nissuer = \"https://down.test\"\naudience = [\"scrm-gateway\"]\n\
                  algorithms = [\"ES256\"]\njwks_url = \"http://127.0.0.1:1/jwks.json\"\n";
    let gateway = Gateway::with(GatewayOptions { extra: issuer.to_owned(), ..GatewayOptions::default() }).await;
    let bearer = Pair::named("a").bearer("down");
    let down = ("authorization", bearer.as_str());
    problems.add(LIST, 503, "issuer_unavailable", &gateway.get_with(PAGE, &[down]).await);
    problems.add(REMARKS, 503, "issuer_unavailable", &post(&gateway, "/v1/remarks", &[JSON, down], REMARK).await);
    problems.add(SOURCES, 503, "issuer_unavailable", &gateway.get_with("/v1/sources", &[down]).await);
    gateway.stop().await;
}

/// Sources that refuse values, and operations that they do not offer.
async fn refused_values(problems: &mut Problems) {
    let gateway = Gateway::with(usual()).await;
    let invalid = Effect::Code { code: 40_058, message: "invalid Request Parameter".to_owned(), applied: false };
    gateway.fault(Rule::new(Source::Juzibot, invalid)).await;
    let bad_staff = format!("{PAGE}&staff_id=nobody");
    problems.add(LIST, 422, "validation_failed", &gateway.get(&bad_staff).await);
    problems.add(DETAIL, 422, "validation_failed", &gateway.get("/v1/customers/wm_nobody?source=juzibot").await);
    let by_union_id = "/v1/customers/oz_nobody?id_type=union_id&source=tanma";
    problems.add(DETAIL, 422, "not_offered", &gateway.get(by_union_id).await);
    let (remarks, follow_ups) = ("/v1/remarks?source=tanma", "/v1/follow-ups?source=tanma");
    problems.add(REMARKS, 422, "not_offered", &post(&gateway, remarks, &[JSON], REMARK).await);
    problems.add(FOLLOW_UPS, 422, "not_offered", &post(&gateway, follow_ups, &[JSON], NOTE).await);
    gateway.stop().await;
    let gateway =
        Gateway::with(GatewayOptions { juzibot: "operations = [\"set_remarks\"]".to_owned(), ..usual() }).await;
    problems.add(LIST, 422, "not_offered", &gateway.get(PAGE).await);
    gateway.stop().await;
}

async fn failing_reads(problems: &mut Problems) {
    let unknown =
        Effect::Code { code: 45_033, message: "concurrent calls exceed the limit".to_owned(), applied: false };
    for (code, answered, effect) in [
        ("source_rejected", 502, unknown),
        ("source_bad_payload", 502, Effect::Html { applied: false }),
        ("source_bad_data", 502, Effect::WrongTypes(WrongTypes::DataIsText)),
        ("source_credentials", 502, status(401)),
        ("source_rate_limited", 503, status(429)),
        ("source_unavailable", 503, status(500)),
        ("source_timeout", 504, Effect::NeverAnswer { applied: false }),
    ] {
        let gateway = Gateway::with(usual()).await;
        gateway.fault(Rule::new(Source::Juzibot, effect)).await;
        problems.add(LIST, answered, code, &gateway.get_with(PAGE, &[("prefer", "wait=1")]).await);
        gateway.stop().await;
    }
}

/// Writes of which every item was refused or not sent: in doubt, the response is a 200 with `unconfirmed` items.
async fn failing_writes(problems: &mut Problems) {
    for (code, answered, effect) in [
        ("source_rejected", 502, status(404)),
        ("source_credentials", 502, status(401)),
        ("source_rate_limited", 503, status(429)),
        ("source_unavailable", 503, Effect::RefuseConnections),
    ] {
        let gateway = Gateway::with(usual()).await;
        gateway.fault(Rule::new(Source::Juzibot, effect)).await;
        problems.add(REMARKS, answered, code, &post(&gateway, "/v1/remarks", &[JSON], REMARK).await);
        gateway.stop().await;
    }
}

/// A write that waits for another one until its deadline.
async fn late_write(problems: &mut Problems) {
    let gateway = Gateway::with(GatewayOptions { juzibot: "max_in_flight = 1".to_owned(), ..usual() }).await;
    gateway.fault(Rule::new(Endpoint::JuzibotSetRemark, slow())).await;
    let mut first = Box::pin(post(&gateway, "/v1/remarks", &[JSON], REMARK));
    tokio::select! {
        reply = &mut first => panic!("answered at once: {reply:?}"),
        () = gateway.asked(Endpoint::JuzibotSetRemark, 1) => {}
    }
    let hurried = [JSON, ("prefer", "wait=1")];
    problems.add(REMARKS, 504, "source_timeout", &post(&gateway, "/v1/remarks", &hurried, REMARK).await);
    first.await.ok();
    gateway.stop().await;
}
