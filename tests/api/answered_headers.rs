//! Every header of ours that an answer has is in the document, at its operation and status, and some answer has each.

use std::collections::BTreeSet;

use reqwest::Method;
use scrm_gateway::openapi;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use scrm_gateway::sandbox::{Endpoint, Source};
use serde_json::{Value, json};

use crate::support::{Gateway, GatewayOptions, Reply, Token};

/// What this service may add to an answer; the rest is of HTTP itself.
const OURS: [&str; 13] = [
    "allow",
    "cache-control",
    "cache-status",
    "etag",
    "idempotent-replayed",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "server-timing",
    "vary",
    "www-authenticate",
    "x-accel-buffering",
    "x-request-id",
];
/// Headers of every response, which the document lists at status 200; its introduction describes them for the others.
const LISTED_AT_200: [&str; 5] = ["cache-control", "ratelimit", "ratelimit-policy", "server-timing", "x-request-id"];
/// On every answer alike, so that the document tells of them once, in its introduction; `hardening` has their values.
const ON_ALL: [&str; 3] = ["content-security-policy", "cross-origin-resource-policy", "x-content-type-options"];
/// Of HTTP itself, or about the body that the document tells of elsewhere.
const OF_HTTP: [&str; 5] = ["content-length", "content-type", "date", "transfer-encoding", "connection"];

/// Holds answers against the document.
struct Audit {
    document: Value,
    /// Operation, status and header of what was answered.
    seen: BTreeSet<(String, String, String)>,
}

impl Audit {
    fn new() -> Self {
        let document = serde_json::from_str(&openapi::to_json(&openapi::spec(None))).unwrap();
        Self { document, seen: BTreeSet::new() }
    }

    #[track_caller]
    fn add(&mut self, operation: &str, status: u16, reply: &Reply) {
        let (method, path) = operation.split_once(' ').unwrap();
        assert_eq!(reply.status, status, "{operation}: {}", reply.body);
        let told = told(&self.document, path, method, &status.to_string());
        assert!(told.is_object(), "{operation} is not said to answer {status}");
        for name in reply.headers.keys().map(reqwest::header::HeaderName::as_str) {
            if OF_HTTP.contains(&name) || ON_ALL.contains(&name) {
                continue;
            }
            assert!(OURS.contains(&name), "{operation}: {status}: whose is {name}?");
            if status != 200 && LISTED_AT_200.contains(&name) && told["headers"][name].is_null() {
                continue;
            }
            assert!(told["headers"][name].is_object(), "{operation}: {status}: {name} is not in the document");
            self.seen.insert((operation.to_owned(), status.to_string(), name.to_owned()));
        }
    }

    /// Which headers the document has at the answers that were seen, and no such answer had.
    fn unseen(&self) -> Vec<String> {
        let answers: BTreeSet<_> = self.seen.iter().map(|(operation, status, _)| (operation, status)).collect();
        let mut unseen = Vec::new();
        for (operation, status) in answers {
            let (method, path) = operation.split_once(' ').unwrap();
            let told = &told(&self.document, path, method, status)["headers"];
            for name in told.as_object().into_iter().flatten().map(|(name, _)| name) {
                if !self.seen.contains(&(operation.clone(), status.clone(), name.clone())) {
                    unseen.push(format!("{operation}: {status}: {name}"));
                }
            }
        }
        unseen
    }
}

/// What the document says of a response, whether in place or in a component.
fn told<'a>(document: &'a Value, path: &str, method: &str, status: &str) -> &'a Value {
    let response = &document["paths"][path][method]["responses"][status];
    match response["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => response,
    }
}

#[test]
fn introduction_names_headers_of_all_responses() {
    let document: Value = serde_json::from_str(&openapi::to_json(&openapi::spec(None))).unwrap();
    let introduction = document["info"]["description"].as_str().unwrap().to_ascii_lowercase();
    for name in ON_ALL.iter().chain(&LISTED_AT_200) {
        assert!(introduction.contains(&format!("`{name}`")), "{name}");
    }
}

const LIST: &str = "get /v1/customers";
const DETAIL: &str = "get /v1/customers/{id}";
const REMARKS: &str = "post /v1/remarks";
const FOLLOW_UPS: &str = "post /v1/follow-ups";
const ABOUT: [&str; 3] = ["get /v1/sources", "get /v1/errors", "get /v1/me"];
const JSON: (&str, &str) = ("content-type", "application/json");

async fn post(gateway: &Gateway, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let headers = [&[JSON], headers].concat();
    gateway.send(Method::POST, path, &headers, Some(body.to_string().into_bytes())).await
}

#[tokio::test]
async fn every_header_of_an_answer_is_documented_and_every_documented_one_is_answered() {
    let mut audit = Audit::new();
    reads(&mut audit).await;
    writes(&mut audit).await;
    limits(&mut audit).await;
    assert_eq!(audit.unseen(), Vec::<String>::new(), "documented, and never answered");
}

async fn reads(audit: &mut Audit) {
    let gateway = Gateway::start().await;
    let id = gateway.sandbox.state().people().featured().external_user_id;
    let path = format!("/v1/customers/{id}");
    let list = "/v1/customers?source=juzibot";
    audit.add(LIST, 200, &gateway.get(list).await);
    audit.add(LIST, 200, &gateway.get_with(list, &[("accept", "application/x-ndjson")]).await);
    let first = gateway.get(&path).await;
    audit.add(DETAIL, 200, &first);
    audit.add(DETAIL, 200, &gateway.get(&format!("{path}?include=raw")).await);
    audit.add(DETAIL, 304, &gateway.get_with(&path, &[("if-none-match", first.header("etag"))]).await);
    audit.add(DETAIL, 404, &gateway.get("/v1/customers/wm_nobody").await);
    audit.add(DETAIL, 504, &gateway.get_with("/v1/customers/wm_late", &[("prefer", "wait=0")]).await);
    audit.add(LIST, 504, &gateway.get_with(list, &[("prefer", "wait=0")]).await);
    let scopeless = Token::with(&json!({"scope": ""})).bearer();
    for (operation, path) in [(LIST, list), (DETAIL, path.as_str())] {
        audit.add(operation, 400, &gateway.get(&format!("{path}{}x=1", if path == list { "&" } else { "?" })).await);
        audit.add(operation, 401, &gateway.get_with(path, &[("authorization", "Bearer x")]).await);
        audit.add(operation, 403, &gateway.get_with(path, &[("authorization", &scopeless)]).await);
        audit.add(operation, 406, &gateway.get_with(path, &[("accept", "text/csv")]).await);
    }
    for operation in ABOUT {
        let (_, path) = operation.split_once(' ').unwrap();
        audit.add(operation, 200, &gateway.get(path).await);
        audit.add(operation, 400, &gateway.get(&format!("{path}?x=1")).await);
    }
    let failures = [(502, 401), (503, 500)];
    for (status, of_source) in failures {
        let effect = Effect::Status { status: of_source, retry_after: None, body: String::new(), applied: false };
        let everything = [Source::Juzibot, Source::Tanma].map(|source| Rule::new(source, effect.clone()));
        gateway.sandbox.state().set_faults(everything.into()).await.unwrap();
        audit.add(LIST, status, &gateway.get(list).await);
        audit.add(DETAIL, status, &gateway.get("/v1/customers/wm_other").await);
    }
    gateway.stop().await;
}

async fn writes(audit: &mut Audit) {
    let gateway = Gateway::start().await;
    let union_id = gateway.sandbox.state().people().featured().union_id;
    let body = json!({"items": [{"staff_id": "rocky", "union_id": union_id, "remark": "r"}]});
    let note = json!({"items": [{"staff_id": "rocky", "union_id": union_id, "content": "c"}]});
    for (operation, path, good) in [(REMARKS, "/v1/remarks", &body), (FOLLOW_UPS, "/v1/follow-ups", &note)] {
        // A key is of a caller, whatever the path.
        let key = [("idempotency-key", &*format!("answered-200-{}", path.len()))];
        for _ in 0..2 {
            audit.add(operation, 200, &post(&gateway, path, &key, good).await);
        }
        audit.add(operation, 401, &post(&gateway, path, &[("authorization", "Bearer x")], good).await);
        let reader = Token::with(&json!({"scope": "customers:read"})).bearer();
        audit.add(operation, 403, &post(&gateway, path, &[("authorization", &reader)], good).await);
        audit.add(operation, 406, &post(&gateway, path, &[("accept", "text/csv")], good).await);
        audit.add(operation, 415, &gateway.send(Method::POST, path, &[], Some(b"{}".to_vec())).await);
        audit.add(operation, 422, &post(&gateway, path, &key, &json!({})).await);
    }
    // Refusals in the source's own envelope are replayed too.
    let refusal = r#"{"errcode": 99999, "errmsg": "no"}"#.to_owned();
    for (status, effect) in [
        (422, Effect::Code { code: 40_058, message: "no".to_owned(), applied: false }),
        (502, Effect::Status { status: 404, retry_after: None, body: refusal, applied: false }),
    ] {
        gateway.sandbox.state().set_faults(vec![Rule::new(Source::Juzibot, effect)]).await.unwrap();
        for (operation, path, good) in [(REMARKS, "/v1/remarks", &body), (FOLLOW_UPS, "/v1/follow-ups", &note)] {
            let key = format!("answered-{status}-{}", path.len());
            for _ in 0..2 {
                audit.add(operation, status, &post(&gateway, path, &[("idempotency-key", &key)], good).await);
            }
        }
    }
    let slow = Effect::Delay { min: std::time::Duration::from_millis(1_500), max: None, applied: false };
    for (operation, path, good, endpoint) in [
        (REMARKS, "/v1/remarks", &body, Endpoint::JuzibotSetRemark),
        (FOLLOW_UPS, "/v1/follow-ups", &note, Endpoint::JuzibotAddFollow),
    ] {
        gateway.sandbox.state().set_faults(vec![Rule::new(endpoint, slow.clone())]).await.unwrap();
        let key = [("idempotency-key", &*format!("answered-409-{}", path.len()))];
        let before = gateway.calls_to(endpoint);
        let mut first = Box::pin(post(&gateway, path, &key, good));
        tokio::select! {
            reply = &mut first => panic!("answered at once: {reply:?}"),
            () = gateway.asked(endpoint, before + 1) => {}
        }
        audit.add(operation, 409, &post(&gateway, path, &key, good).await);
        first.await.ok();
    }
    gateway.stop().await;
}

async fn limits(audit: &mut Audit) {
    let rate_limit = "default = { requests = 1, window = \"1m\", burst = 1 }".to_owned();
    let server = "body_limit = \"64B\"".to_owned();
    let gateway = Gateway::with(GatewayOptions { rate_limit, server, ..GatewayOptions::default() }).await;
    let large = json!({"items": "x".repeat(64)});
    audit.add(REMARKS, 413, &post(&gateway, "/v1/remarks", &[], &large).await);
    for (operation, path) in
        [(LIST, "/v1/customers"), (DETAIL, "/v1/customers/x"), (ABOUT[0], "/v1/sources"), (ABOUT[2], "/v1/me")]
    {
        audit.add(operation, 429, &gateway.get(path).await);
    }
    gateway.stop().await;
}
