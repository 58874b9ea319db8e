//! Contract §5: headers of the answers.

use scrm_gateway::sandbox::Source;
use scrm_gateway::sandbox::faults::{Effect, Rule};

use serde_json::json;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{Gateway, GatewayOptions, Reply};

fn featured(gateway: &Gateway) -> String {
    format!("/v1/customers/{}", gateway.sandbox.state().people().featured().external_user_id)
}

fn timings(reply: &Reply) -> String {
    let values = reply.headers.get_all("server-timing").iter().map(|value| value.to_str().unwrap());
    values.collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn every_answer_that_a_source_was_asked_for_says_what_it_took_and_no_other() {
    let gateway = Gateway::start().await;
    let union_id = gateway.sandbox.state().people().featured().union_id;
    let body = json!({"items": [{"staff_id": "rocky", "union_id": union_id, "remark": "r"}]});
    let list = "/v1/customers?source=juzibot&limit=1";
    let batch = async || gateway.post("/v1/remarks", &body).await;
    let stream = async || gateway.get_with("/v1/customers?source=juzibot", &[("accept", "application/x-ndjson")]).await;
    let missing = async || gateway.get("/v1/customers/wm_nobody?source=juzibot").await;
    let asks = |reply: &Reply| timings(reply).contains("juzibot;dur=");
    for reply in [gateway.get(list).await, batch().await, stream().await, missing().await] {
        assert!(asks(&reply), "{}", timings(&reply));
    }
    let fault = Effect::Status { status: 500, retry_after: None, body: String::new(), applied: false };
    gateway.sandbox.state().set_faults(vec![Rule::new(Source::Juzibot, fault)]).await.unwrap();
    let failed = gateway.get(list).await;
    failed.problem(503, "source_unavailable");
    assert!(asks(&failed), "{}", timings(&failed));
    for path in ["/v1/me", "/v1/customers?source=nobody"] {
        let reply = gateway.get(path).await;
        assert!(timings(&reply).starts_with("auth;dur=") && !timings(&reply).contains(','), "{}", timings(&reply));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_detail_says_how_it_came_about() {
    let gateway = Gateway::start().await;
    let path = featured(&gateway);
    let miss = gateway.get(&path).await;
    assert_eq!(
        miss.header("cache-status"),
        "\"scrm-gateway/juzibot\";fwd=miss;stored, \"scrm-gateway/tanma\";fwd=miss;stored"
    );
    let timing = timings(&miss);
    for entry in ["auth;dur=", "cache;desc=miss", "juzibot;dur=", "tanma;dur="] {
        assert!(timing.contains(entry), "{timing}");
    }
    let hit = gateway.get(&path).await;
    let member = |name: &str| format!("\"scrm-gateway/{name}\";hit;ttl=");
    assert!(hit.header("cache-status").starts_with(&member("juzibot")), "{}", hit.header("cache-status"));
    assert!(hit.header("cache-status").contains(&member("tanma")));

    let fresh = gateway.get_with(&path, &[("cache-control", "no-cache")]).await;
    assert!(fresh.header("cache-status").contains("fwd=request;stored"), "{}", fresh.header("cache-status"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_stale_answer_has_a_negative_ttl() {
    let options = GatewayOptions { cache: "fresh = \"0s\"\nstale = \"0s\"".to_owned(), ..GatewayOptions::default() };
    let gateway = Gateway::with(options).await;
    let path = format!("{}?source=juzibot", featured(&gateway));
    gateway.get(&path).await.ok();
    let fault = Effect::Status { status: 500, retry_after: None, body: String::new(), applied: false };
    gateway.sandbox.state().set_faults(vec![Rule::new(Source::Juzibot, fault)]).await.unwrap();
    let stale = gateway.get(&path).await;
    assert_eq!(stale.ok()["meta"]["sources"][0]["status"], "stale");
    assert!(stale.header("cache-status").starts_with("\"scrm-gateway/juzibot\";hit;ttl=-"));
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_that_still_holds_is_304_and_one_that_changed_is_not() {
    let gateway = Gateway::start().await;
    let path = featured(&gateway);
    let first = gateway.get(&path).await;
    let etag = first.header("etag").to_owned();
    assert!(etag.starts_with("W/\""), "{etag}");
    assert_eq!(first.header("cache-control"), "private, no-cache");
    let vary = first.header("vary").to_ascii_lowercase().replace(' ', "");
    assert!(vary.contains("accept,authorization"), "{vary}");

    // Asked of the sources anew: the time of fetching is another, what is said is the same.
    let headers = [("if-none-match", etag.as_str()), ("cache-control", "no-cache")];
    let same = gateway.get_with(&path, &headers).await;
    assert_eq!((same.status.as_u16(), same.body.as_str()), (304, ""));
    assert_eq!(same.header("etag"), etag);
    assert_eq!(gateway.get_with(&path, &[("if-none-match", "W/\"other\"")]).await.status, 200);

    let narrowed = gateway.get(&format!("{path}?staff_id=rocky")).await;
    assert_ne!(narrowed.header("etag"), etag);
    gateway.stop().await;
}

#[tokio::test]
async fn raw_answers_lists_and_problems_are_kept_by_nobody() {
    let gateway = Gateway::start().await;
    let path = featured(&gateway);
    let raw = gateway.get(&format!("{path}?include=raw")).await;
    assert_eq!((raw.header("cache-control"), raw.header("etag")), ("no-store", ""));
    assert!(raw.ok()["data"]["records"][0]["raw"].is_object());
    assert_eq!(gateway.get("/v1/customers?source=juzibot").await.header("cache-control"), "no-store");
    gateway.get("/v1/customers/wm_nobody").await.problem(404, "not_found");
    gateway.stop().await;
}

#[tokio::test]
async fn pages_of_named_origins_may_call_and_no_others() {
    let gateway = Gateway::with(GatewayOptions {
        extra: "[cors]\norigins = [\"https://app.example\"]".to_owned(),
        ..GatewayOptions::default()
    })
    .await;
    let allowed = gateway.get_with("/v1/me", &[("origin", "https://app.example")]).await;
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example");
    let other = gateway.get_with("/v1/me", &[("origin", "https://evil.example")]).await;
    assert_eq!(other.header("access-control-allow-origin"), "");
    gateway.stop().await;

    let plain = Gateway::start().await;
    let answer = plain.get_with("/v1/me", &[("origin", "https://app.example")]).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
    plain.stop().await;
}

#[tokio::test]
async fn a_trace_is_continued_to_sources_only_where_that_is_configured() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (propagate, told) in [(true, true), (false, false)] {
        let source = MockServer::start().await;
        let found = json!({"errcode": 0, "data": {"externalUserId": "wm1", "name": "n"}});
        Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(found)).mount(&source).await;
        let gateway = Gateway::with(GatewayOptions {
            juzibot_url: Some(source.uri()),
            extra: format!("[telemetry]\npropagate_to_sources = {propagate}"),
            ..GatewayOptions::default()
        })
        .await;
        let path = "/v1/customers/wm1?source=juzibot";
        gateway.get_with(path, &[("traceparent", TRACE)]).await.ok();
        // One that is not valid is passed over.
        let again = [("traceparent", "00-no-trace"), ("cache-control", "no-cache")];
        gateway.get_with(path, &again).await.ok();
        let sent = source.received_requests().await.unwrap();
        let traces: Vec<_> = sent.iter().map(|request| request.headers.get("traceparent").cloned()).collect();
        assert_eq!(traces[1], None);
        match &traces[0] {
            Some(trace) if told => {
                let trace = trace.to_str().unwrap();
                assert_eq!(trace[..36], TRACE[..36], "the same trace");
                assert_ne!(trace, TRACE, "a hop of its own");
            }
            other => assert!(other.is_none() && !told, "{other:?}"),
        }
        gateway.stop().await;
    }
}
