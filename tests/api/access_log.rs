//! The access log, and the log lines about failing sources: one line per request, each under its request id.

use std::time::Duration;

use scrm_gateway::sandbox::faults::{Effect, Rule};
use scrm_gateway::sandbox::{self, Endpoint, Source};
use serde_json::{Value, json};

use crate::support::{Gateway, GatewayOptions, Token, canary};

/// Longer than any test takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The access line of a request whose id begins with `logged-`.
async fn access_line(id: &str) -> Value {
    let is_access = |line: &Value| line.get("duration_ms").is_some();
    canary::logged(id, PATIENCE, |lines| lines.iter().any(is_access)).await;
    let lines: Vec<Value> = canary::log(id).into_iter().filter(is_access).collect();
    assert_eq!(lines.len(), 1, "one line per request: {lines:?}");
    lines.into_iter().next().unwrap()
}

/// The lines about failing sources.
fn failures(id: &str) -> Vec<Value> {
    canary::log(id).into_iter().filter(|line| line["message"] == "a source failed").collect()
}

fn featured(gateway: &Gateway) -> String {
    format!("/v1/customers/{}", gateway.sandbox.state().people().featured().external_user_id)
}

#[tokio::test]
async fn access_line_names_caller_client_and_queried_sources() {
    let gateway = Gateway::start().await;
    let path = featured(&gateway);
    let headers = [("x-request-id", "logged-first"), ("accept-encoding", "identity")];
    let reply = gateway.get_with(&path, &headers).await;
    reply.ok();
    let line = access_line("logged-first").await;
    assert_eq!((&line["message"], &line["status"]), (&json!("request completed"), &json!(200)));
    assert_eq!((&line["issuer"], &line["subject"]), (&json!("https://login.test"), &json!("tester")));
    assert_eq!((&line["client"], &line["bytes"]), (&json!("127.0.0.1"), &json!(reply.body.len())));
    let mut sources: Vec<&str> = line["sources"].as_str().unwrap().split(',').collect();
    sources.sort_unstable();
    assert_eq!(sources, ["juzibot", "tanma"]);
    assert_eq!(line["span"]["route"], "/v1/customers/{id}");
    assert!(!line.to_string().contains(path.rsplit('/').next().unwrap()), "{line}");

    // Both records are cached now: no source is queried.
    gateway.get_with(&path, &[("x-request-id", "logged-cached")]).await.ok();
    assert_eq!(access_line("logged-cached").await.get("sources"), None);

    // A fresh record in place of a failing source: the source was queried.
    let failing = Effect::Status { status: 500, retry_after: None, body: String::new(), applied: false };
    gateway.sandbox.state().set_faults(vec![Rule::new(Source::Juzibot, failing)]).await.unwrap();
    let alone = format!("{path}?source=juzibot");
    gateway.get_with(&alone, &[("x-request-id", "logged-fallback"), ("cache-control", "no-cache")]).await.ok();
    assert_eq!(access_line("logged-fallback").await["sources"], "juzibot");
    gateway.sandbox.state().clear_faults().await;

    let list = "/v1/customers?source=juzibot&limit=1";
    gateway.get_with(list, &[("x-request-id", "logged-list")]).await.ok();
    assert_eq!(access_line("logged-list").await["sources"], "juzibot");

    let body = json!({"items": [{"staff_id": "rocky", "union_id": "o-nobody", "remark": "r"}]});
    let headers = [("x-request-id", "logged-batch"), ("content-type", "application/json")];
    gateway.send(reqwest::Method::POST, "/v1/remarks", &headers, Some(body.to_string().into_bytes())).await;
    assert_eq!(access_line("logged-batch").await["sources"], "juzibot");
    gateway.stop().await;
}

#[tokio::test]
async fn access_line_of_refusal_has_code_and_known_caller() {
    let few = "{ requests = 1, window = \"300h\", burst = 1 }";
    let gateway =
        Gateway::with(GatewayOptions { rate_limit: format!("default = {few}"), ..GatewayOptions::default() }).await;
    gateway.get_with("/v1/me", &[("x-request-id", "logged-401"), ("authorization", "Bearer x")]).await;
    gateway.get_with("/v1/nope/wm1?q=1", &[("x-request-id", "logged-404")]).await;
    gateway.get_with("/v1/me", &[("x-request-id", "logged-200")]).await;
    gateway.get_with("/v1/me", &[("x-request-id", "logged-429")]).await;
    for (id, status, code, subject, route) in [
        ("logged-401", 401, Some("unauthenticated"), None, "/v1/me"),
        ("logged-404", 404, Some("not_found"), None, "unmatched"),
        ("logged-200", 200, None, Some("tester"), "/v1/me"),
        ("logged-429", 429, Some("rate_limited"), Some("tester"), "/v1/me"),
    ] {
        let line = access_line(id).await;
        let text = |name: &str| line.get(name).map(|value| value.as_str().unwrap());
        assert_eq!((&line["status"], text("code"), text("subject")), (&json!(status), code, subject), "{id}");
        assert_eq!((&line["span"]["route"], &line["client"]), (&json!(route), &json!("127.0.0.1")), "{id}");
        assert_eq!(text("sources"), None, "{id}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn access_line_has_client_that_trusted_proxy_names() {
    for (trusted, client) in [("\"127.0.0.0/8\"", "198.51.100.7"), ("", "127.0.0.1")] {
        let server = format!("trusted_proxies = [{trusted}]");
        let gateway = Gateway::with(GatewayOptions { server, ..GatewayOptions::default() }).await;
        let id = format!("logged-proxy-{client}");
        gateway.get_with("/v1/me", &[("x-request-id", &id), ("x-forwarded-for", "192.0.2.9, 198.51.100.7")]).await;
        assert_eq!(access_line(&id).await["client"], client);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn access_line_counts_compressed_bytes_and_reader_that_disconnects() {
    let mut options = GatewayOptions::default();
    options.sandbox = sandbox::Options { customers: 20_000, ..options.sandbox };
    let gateway = Gateway::with(options).await;
    // The client decodes what it is sent.
    let whole = gateway.get("/v1/customers?source=juzibot&limit=100").await.body.len() as u64;
    let headers = [("x-request-id", "logged-gzip"), ("accept-encoding", "gzip")];
    gateway.get_with("/v1/customers?source=juzibot&limit=100", &headers).await.ok();
    let line = access_line("logged-gzip").await;
    let sent = line["bytes"].as_u64().unwrap();
    assert!((1_000..whole / 2).contains(&sent), "{sent} of {whole}");

    let headers = [("x-request-id", "logged-left"), ("accept", "application/x-ndjson")];
    let mut stream = gateway.open("/v1/customers?source=juzibot", &headers).await;
    let first = stream.chunk().await.unwrap().unwrap().len() as u64;
    drop(stream);
    let line = access_line("logged-left").await;
    assert_eq!((&line["message"], &line["status"]), (&json!("response aborted"), &json!(200)));
    assert!(line["bytes"].as_u64().unwrap() >= first, "{line}");
    assert_eq!((&line["sources"], &line["subject"]), (&json!("juzibot"), &json!("tester")));
    gateway.stop().await;
}

#[tokio::test]
async fn source_failure_is_logged_in_fields_under_request_id() {
    let gateway = Gateway::start().await;
    let status = Effect::Status { status: 500, retry_after: None, body: String::new(), applied: false };
    let code = Effect::Code { code: 40_001, message: "no such thing".to_owned(), applied: false };
    let html = Effect::Html { applied: false };
    for (id, effect, code, failure, class, status) in [
        ("logged-status", status, "source_unavailable", "refused", Some("retryable"), Some(500)),
        ("logged-code", code, "source_credentials", "refused", Some("credentials"), Some(200)),
        ("logged-html", html, "source_bad_payload", "unreadable_answer", None, None),
        ("logged-closed", Effect::RefuseConnections, "source_unavailable", "unreachable", None, None),
    ] {
        gateway.sandbox.state().set_faults(vec![Rule::new(Source::Juzibot, effect)]).await.unwrap();
        // A detail is loaded in a task of its own.
        for (path, id) in [(featured(&gateway), id.to_owned()), ("/v1/customers".to_owned(), format!("{id}-of-a-list"))]
        {
            let path = format!("{path}?source=juzibot");
            let headers = [("x-request-id", id.as_str()), ("cache-control", "no-cache")];
            gateway.get_with(&path, &headers).await;
            access_line(&id).await;
            let lines = failures(&id);
            let [line] = lines.as_slice() else { panic!("{id}: {lines:?}") };
            assert_eq!((&line["level"], &line["source"]), (&json!("WARN"), &json!("juzibot")), "{line}");
            assert_eq!((&line["code"], &line["failure"]), (&json!(code), &json!(failure)), "{line}");
            assert_eq!(line.get("class").map(|class| class.as_str().unwrap()), class, "{line}");
            assert_eq!(line.get("status").map(|status| status.as_u64().unwrap()), status, "{line}");
            // A cause is text with its own causes behind it, and absent where there is none.
            match line.get("causes") {
                Some(causes) => assert!(!causes.as_str().unwrap().starts_with(['[', '"']), "{line}"),
                None => assert_ne!(failure, "unreachable", "{line}"),
            }
            assert_eq!(line.get("source_code").cloned(), (id.starts_with("logged-code")).then(|| json!("40001")));
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn failure_of_shared_load_is_logged_under_request_that_began_it() {
    let gateway = Gateway::start().await;
    let path = format!("{}?source=juzibot", featured(&gateway));
    let late = Effect::Delay { min: Duration::from_millis(300), max: None, applied: false };
    let fault = Effect::Code { code: 40_001, message: "no".to_owned(), applied: false };
    let endpoint = Endpoint::JuzibotDetail;
    gateway.sandbox.state().set_faults(vec![Rule::new(endpoint, late), Rule::new(endpoint, fault)]).await.unwrap();
    let ask = async |id: &str| gateway.get_with(&path, &[("x-request-id", id)]).await;
    let mut first = Box::pin(ask("logged-begins"));
    tokio::select! {
        reply = &mut first => panic!("answered at once: {reply:?}"),
        () = gateway.asked(endpoint, 1) => {}
    }
    let (first, second) = tokio::join!(first, ask("logged-joins"));
    assert_eq!((first.status, second.status), (second.status, first.status));
    for id in ["logged-begins", "logged-joins"] {
        assert_eq!(access_line(id).await["sources"], "juzibot");
    }
    assert_eq!((failures("logged-begins").len(), failures("logged-joins").len()), (1, 0));
    gateway.stop().await;
}

#[tokio::test]
async fn failure_within_stream_is_logged_under_its_request() {
    let mut options = GatewayOptions::default();
    options.sandbox = sandbox::Options { customers: 3_500, ..options.sandbox };
    let gateway = Gateway::with(options).await;
    let fault = Effect::Code { code: 40_001, message: "no".to_owned(), applied: false };
    // The third page: it is read while the answer's body is written.
    gateway.sandbox.state().set_faults(vec![Rule::new(Source::Juzibot, fault).after(2)]).await.unwrap();
    let headers = [("x-request-id", "logged-stream"), ("accept", "application/x-ndjson")];
    let reply = gateway.get_with("/v1/customers?source=juzibot", &headers).await;
    assert!(reply.body.lines().last().unwrap().contains("source_credentials"));
    assert_eq!(access_line("logged-stream").await["bytes"], reply.body.len());
    assert_eq!(failures("logged-stream").len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn failure_of_write_is_logged_under_its_request() {
    let gateway = Gateway::start().await;
    let fault = Effect::Code { code: 40_001, message: "no".to_owned(), applied: false };
    gateway.sandbox.state().set_faults(vec![Rule::new(Source::Juzibot, fault)]).await.unwrap();
    let body = json!({"items": [{"staff_id": "rocky", "union_id": "o1", "content": "c"}]});
    let bearer = Token::default().bearer();
    let headers = [
        ("x-request-id", "logged-write"),
        ("idempotency-key", "logged-write-key"),
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
    ];
    let body = Some(body.to_string().into_bytes());
    gateway.send(reqwest::Method::POST, "/v1/follow-ups", &headers, body).await.problem(502, "source_credentials");
    access_line("logged-write").await;
    assert_eq!(failures("logged-write").len(), 1);
    gateway.stop().await;
}
