//! Contract §5: headers of the answers.

use std::collections::BTreeSet;

use reqwest::Method;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use scrm_gateway::sandbox::{Endpoint, Source};

use serde_json::{Value, json};
use wiremock::matchers::{any, query_param};
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

    let same = gateway.get_with(&path, &[("if-none-match", &etag)]).await;
    assert_eq!((same.status.as_u16(), same.body.as_str()), (304, ""));
    assert_eq!(same.header("etag"), etag);
    // The sources were queried again: the time of fetching is another, the content is the same.
    assert_eq!(gateway.get_with(&path, &[("cache-control", "no-cache")]).await.header("etag"), etag);
    assert_eq!(gateway.get_with(&path, &[("if-none-match", "W/\"other\"")]).await.status, 200);

    let narrowed = gateway.get(&format!("{path}?staff_id=rocky")).await;
    assert_ne!(narrowed.header("etag"), etag);
    gateway.stop().await;
}

#[tokio::test]
async fn not_modified_has_vary_of_ok() {
    let cors = "[cors]\norigins = [\"https://app.example\"]".to_owned();
    for extra in [String::new(), cors] {
        let gateway = Gateway::with(GatewayOptions { extra, ..GatewayOptions::default() }).await;
        let path = featured(&gateway);
        let etag = gateway.get(&path).await.header("etag").to_owned();
        let vary = async |headers: &[(&str, &str)], status: u16| -> Vec<String> {
            let reply = gateway.open(&path, headers).await;
            assert_eq!(reply.status(), status);
            let lines = reply.headers().get_all("vary").iter().map(|line| line.to_str().unwrap().to_lowercase());
            let mut names: Vec<String> =
                lines.flat_map(|line| line.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>()).collect();
            names.sort();
            names
        };
        for encoding in ["", "gzip", "identity", "identity;q=0"] {
            for origin in ["https://app.example", "https://other.example"] {
                let usual = [("accept-encoding", encoding), ("origin", origin)];
                let ok = vary(&usual, 200).await;
                assert!(["accept", "accept-encoding", "authorization"].iter().all(|name| ok.contains(&(*name).into())));
                let conditional = [usual[0], usual[1], ("if-none-match", &etag)];
                assert_eq!(vary(&conditional, 304).await, ok, "{encoding:?}");
            }
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn no_cache_is_ignored_beside_if_none_match() {
    let gateway = Gateway::start().await;
    let path = format!("{}?source=juzibot", featured(&gateway));
    let etag = gateway.get(&path).await.header("etag").to_owned();
    let calls = || gateway.calls_to(Endpoint::JuzibotDetail);
    assert_eq!(calls(), 1);
    for condition in [etag.as_str(), "W/\"other\"", "*", "nonsense"] {
        // As `fetch` sends it in browsers and in Node.
        let headers = [("if-none-match", condition), ("cache-control", "no-cache"), ("pragma", "no-cache")];
        let reply = gateway.get_with(&path, &headers).await;
        let expected = if [etag.as_str(), "*"].contains(&condition) { 304 } else { 200 };
        assert_eq!(reply.status, expected, "{condition}");
        assert!(reply.header("cache-status").contains(";hit"), "{}", reply.header("cache-status"));
    }
    assert_eq!(calls(), 1, "the cache answered");
    gateway.get_with(&path, &[("cache-control", "no-cache")]).await.ok();
    assert_eq!(calls(), 2, "without If-None-Match it revalidates");
    gateway.stop().await;
}

#[tokio::test]
async fn accept_encoding_never_changes_a_status() {
    let server = "body_limit = \"200B\"".to_owned();
    let gateway = Gateway::with(GatewayOptions { server, ..GatewayOptions::default() }).await;
    let detail = featured(&gateway);
    let etag = gateway.get(&detail).await.header("etag").to_owned();
    let union_id = gateway.sandbox.state().people().featured().union_id;
    let remark = json!({"items": [{"staff_id": "rocky", "union_id": union_id, "remark": "r"}]}).to_string();
    let (padding, json) = ("x".repeat(201), ("content-type", "application/json"));
    let mut seen = BTreeSet::new();
    for (method, path, headers, body, status) in [
        (Method::GET, detail.as_str(), &[][..], "", 200),
        (Method::GET, &detail, &[("if-none-match", etag.as_str())], "", 304),
        (Method::GET, "/v1/customers?source=juzibot", &[], "", 200),
        (Method::GET, "/v1/customers?source=juzibot", &[("accept", "application/x-ndjson")], "", 200),
        (Method::GET, "/v1/customers?x=1", &[], "", 400),
        (Method::GET, "/v1/me", &[("authorization", "Bearer x")], "", 401),
        (Method::GET, "/v1/nope", &[], "", 404),
        (Method::DELETE, "/v1/me", &[], "", 405),
        (Method::GET, "/v1/me", &[("accept", "text/csv")], "", 406),
        (Method::POST, "/v1/remarks", &[json], &padding, 413),
        (Method::POST, "/v1/remarks", &[], &remark, 415),
        (Method::POST, "/v1/remarks", &[json], "{}", 422),
        (Method::GET, "/v1/customers/wm-new?include=raw", &[("prefer", "wait=0")], "", 504),
        (Method::POST, "/v1/remarks", &[json], &remark, 200),
        (Method::GET, "/docs/", &[], "", 200),
        (Method::GET, "/openapi.json", &[], "", 200),
        (Method::HEAD, "/v1/me", &[], "", 200),
    ] {
        for encoding in ["identity;q=0", "*;q=0", "gzip;q=0, identity;q=0", "br, identity;q=0", "*;q=0, br;q=1"] {
            let before = gateway.calls_to(Endpoint::JuzibotSetRemark);
            let headers = [headers, &[("accept-encoding", encoding)]].concat();
            let reply = gateway.send(method.clone(), path, &headers, Some(body.into())).await;
            assert_eq!(reply.status, status, "{method} {path} {encoding}: {}", reply.body);
            if method == Method::POST && status == 200 {
                assert_eq!(reply.json()["data"]["summary"]["succeeded"], 1);
                assert_eq!(gateway.calls_to(Endpoint::JuzibotSetRemark), before + 1);
            }
        }
        seen.insert(status);
    }
    assert_eq!(seen.len(), 11, "{seen:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn accept_ranges_with_parameters_match() {
    let gateway = Gateway::start().await;
    let list = "/v1/customers?source=juzibot&limit=1";
    for accept in ["application/json; charset=utf-8", "application/json;odata.metadata=minimal", ""] {
        for path in [list, "/v1/me", &featured(&gateway)] {
            let reply = gateway.get_with(path, &[("accept", accept)]).await;
            reply.ok();
            assert_eq!(reply.header("content-type"), "application/json", "{accept} {path}");
        }
    }
    let stream = "application/json;charset=utf-8;q=0.5, application/x-ndjson; charset=utf-8";
    let reply = gateway.get_with("/v1/customers?source=juzibot", &[("accept", stream)]).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "application/x-ndjson"));
    let excluded = [("accept", "application/json;charset=utf-8;q=0")];
    gateway.get_with("/v1/me", &excluded).await.problem(406, "not_acceptable");
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

#[tokio::test]
async fn every_page_of_a_stream_continues_the_trace() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let source = MockServer::start().await;
    let row = |n: usize| json!({"externalUserId": format!("wm{n}"), "unionId": format!("o{n}"), "name": "n"});
    // Pages of a thousand: the third is asked for while the body is written.
    for (number, rows) in [("1", 0..1_000), ("2", 1_000..2_000), ("3", 2_000..2_001)] {
        let rows: Vec<Value> = rows.map(row).collect();
        let page = json!({"errcode": 0, "data": rows, "total": 2_001});
        Mock::given(query_param("current", number))
            .respond_with(ResponseTemplate::new(200).set_body_json(page))
            .mount(&source)
            .await;
    }
    let gateway = Gateway::with(GatewayOptions {
        juzibot_url: Some(source.uri()),
        extra: "[telemetry]\npropagate_to_sources = true".to_owned(),
        ..GatewayOptions::default()
    })
    .await;
    let headers = [("traceparent", TRACE), ("accept", "application/x-ndjson")];
    let reply = gateway.get_with("/v1/customers?source=juzibot", &headers).await;
    assert!(reply.body.trim_end().lines().last().unwrap().contains("\"count\":2001"), "{}", reply.body.len());
    let sent = source.received_requests().await.unwrap();
    assert_eq!(sent.len(), 3);
    for request in sent {
        let trace = request.headers.get("traceparent").map(|trace| trace.to_str().unwrap()[..36].to_owned());
        assert_eq!(trace.as_deref(), Some(&TRACE[..36]), "{}", request.url);
    }
    gateway.stop().await;
}
