//! What an answer gives a browser, a scanner and another site to work with: as little as there can be.

use std::collections::BTreeSet;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::json;

use crate::support::{Gateway, GatewayOptions, Reply, Token, WireRequest};

const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
const READS: [&str; 5] = ["/v1/customers?source=juzibot", "/v1/customers/x", "/v1/sources", "/v1/errors", "/v1/me"];
const WRITES: [&str; 2] = ["/v1/remarks", "/v1/follow-ups"];

/// Asks for everything that there is, and in every way that is refused; gives each answer with its path.
async fn all_answers(gateway: &Gateway) -> Vec<(String, Reply)> {
    let id = gateway.sandbox.state().people().featured().external_user_id;
    let detail = format!("/v1/customers/{id}");
    let etag = gateway.get(&detail).await.header("etag").to_owned();
    let scopeless = Token::with(&json!({"scope": ""})).bearer();
    let mut answers = Vec::new();
    for path in READS.iter().copied().chain([detail.as_str(), "/openapi.json", "/nope", "/livez", "/docs", "/docs/"]) {
        for header in [
            ("authorization", ""),
            ("authorization", scopeless.as_str()),
            ("accept", "text/csv"),
            ("accept", "application/x-ndjson"),
            ("if-none-match", etag.as_str()),
            ("origin", "https://evil.example"),
        ] {
            answers.push((path.to_owned(), gateway.get_with(path, &[header]).await));
        }
        for method in [Method::OPTIONS, Method::HEAD, Method::DELETE] {
            answers.push((path.to_owned(), gateway.send(method, path, &[], None).await));
        }
    }
    for path in WRITES {
        let item = "{\"items\": [{\"staff_id\": \"s\", \"union_id\": \"o\", \"content\": \"c\"}]}";
        for body in ["", "[", "{}", item, &" ".repeat(5_000)] {
            for headers in [&[][..], &[("content-type", "application/json")]] {
                let answer = gateway.send(Method::POST, path, headers, Some(body.into())).await;
                answers.push((path.to_owned(), answer));
            }
        }
    }
    let seen: BTreeSet<u16> = answers.iter().map(|(_, answer)| answer.status.as_u16()).collect();
    let expected = [200, 304, 400, 401, 403, 404, 405, 406, 413, 415, 422].into();
    assert!(seen.is_superset(&expected), "{seen:?}");
    answers
}

fn small() -> GatewayOptions {
    GatewayOptions { server: "body_limit = \"4KiB\"".to_owned(), ..GatewayOptions::default() }
}

#[tokio::test]
async fn every_answer_is_data_that_no_browser_runs_and_no_other_site_loads() {
    let gateway = Gateway::with(small()).await;
    for (path, answer) in all_answers(&gateway).await {
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{answer:?}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{answer:?}");
        let policies: Vec<_> = answer.headers.get_all("content-security-policy").iter().collect();
        assert_eq!(policies.len(), 1, "{answer:?}");
        let is_page = path.starts_with("/docs") && answer.status == 200;
        assert_eq!(policies[0] == API_POLICY, !is_page, "{answer:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn no_answer_says_what_it_was_made_with() {
    let gateway = Gateway::with(small()).await;
    let banners = ["server", "x-powered-by", "via", "x-aspnet-version", "x-runtime", "x-version"];
    let named = ["hyper", "axum", "tokio", "tower", "rust", "serde", env!("CARGO_PKG_VERSION")];
    for (_, answer) in all_answers(&gateway).await {
        for banner in banners {
            assert!(!answer.headers.contains_key(banner), "{banner}: {answer:?}");
        }
        if answer.status.is_client_error() || answer.status.is_server_error() {
            let body = answer.body.to_ascii_lowercase();
            for name in named {
                assert!(!body.contains(name), "{name}: {answer:?}");
            }
        }
    }
    // What is refused before it is a request.
    for target in ["/\0", "/v1/customers /x", &"/".repeat(100_000)] {
        let reply = WireRequest::get(target).send(&gateway).await.expect("an answer");
        let said = format!("{}{}", reply.head, reply.body).to_ascii_lowercase();
        assert!((400..500).contains(&reply.status), "{said}");
        for name in banners.map(|banner| format!("\r\n{banner}:")).iter().map(String::as_str).chain(named) {
            assert!(!said.contains(name), "{name}: {said}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_page_of_the_documentation_says_how_little_it_needs() {
    let policy = |connect: &str| {
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
             connect-src 'self'{connect}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    };
    for (server, connect) in [
        ("", ""),
        ("public_url = \"https://gateway.example/scrm\"", " https://gateway.example"),
        ("public_url = \"http://gateway.example:8080\"", " http://gateway.example:8080"),
    ] {
        let gateway = Gateway::with(GatewayOptions { server: server.to_owned(), ..GatewayOptions::default() }).await;
        for path in
            ["/docs/", "/docs/index.html", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/nope.js"]
        {
            let answer = gateway.get_with(path, &[("authorization", "")]).await;
            assert_eq!(answer.header("content-security-policy"), policy(connect), "{path}");
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("referrer-policy", "no-referrer"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
            ] {
                assert_eq!(answer.header(name), value, "{path}: {name}");
            }
        }
        let page = gateway.get("/docs/").await;
        assert!(!page.body.contains("http://") && !page.body.contains("https://"), "all of it is ours");
        assert_eq!(gateway.get("/openapi.json").await.header("content-security-policy"), API_POLICY);
        gateway.stop().await;
    }
    let off = GatewayOptions { extra: "[docs]\nenabled = false".to_owned(), ..GatewayOptions::default() };
    let gateway = Gateway::with(off).await;
    for path in ["/", "/docs", "/docs/", "/docs/index.html", "/openapi.json"] {
        gateway.get(path).await.problem(404, "not_found");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn root_redirects_to_docs() {
    let gateway = Gateway::start().await;
    for method in ["GET", "HEAD"] {
        let mut request = WireRequest::get("/");
        request.method = method;
        let reply = request.send(&gateway).await.unwrap();
        // Relative, so that an ingress that takes a prefix off need not rewrite it.
        assert!(reply.status == 303 && reply.head.contains("\r\nlocation: docs/\r\n"), "{method}: {}", reply.head);
        assert_eq!(reply.body, "");
    }
    assert!(gateway.get("/").await.body.contains("<title>scrm-gateway</title>"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_method_that_a_route_has_not_is_refused_and_head_is_get_without_its_body() {
    let gateway = Gateway::start().await;
    let methods = [
        "HEAD", "OPTIONS", "TRACE", "CONNECT", "PUT", "PATCH", "DELETE", "PROPFIND", "BREW", "get", "G-E.T", "POST",
        "GET",
    ];
    for path in READS.iter().chain(&WRITES) {
        let writes = WRITES.contains(path);
        for method in methods {
            let mut request = WireRequest::get(*path);
            request.method = method;
            let reply = request.send(&gateway).await.expect("an answer");
            match method {
                "GET" | "HEAD" if !writes => {
                    assert_ne!(reply.status, 405, "{method} {path}");
                    assert_eq!(method == "HEAD", reply.body.is_empty(), "{method} {path}");
                }
                "POST" if writes => assert_eq!(reply.status, 415, "{method} {path}"),
                _ => {
                    assert_eq!(reply.status, 405, "{method} {path}");
                    let allowed = if writes { "\r\nallow: post" } else { "\r\nallow: get,head" };
                    assert!(reply.head.contains(allowed), "{method} {path}: {}", reply.head);
                    if method != "HEAD" {
                        assert_eq!(reply.problem()["code"], "method_not_allowed", "{method} {path}");
                    }
                    assert!(!reply.body.contains("Bearer"), "nothing of the request comes back");
                }
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn preflight_allows_every_documented_header_and_answer_exposes_it() {
    let extra = "[cors]\norigins = [\"https://app.example\"]".to_owned();
    let gateway = Gateway::with(GatewayOptions { extra, ..GatewayOptions::default() }).await;
    let document = gateway.get("/openapi.json").await.json();
    let set = |list: &str| -> BTreeSet<String> { list.split(',').map(|name| name.trim().to_lowercase()).collect() };
    let mut documented = BTreeSet::from(["accept", "authorization", "content-type"].map(str::to_owned));
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let parameters = operation["parameters"].as_array().unwrap().iter();
            let headers = parameters.filter(|parameter| parameter["in"] == "header");
            documented.extend(headers.map(|header| header["name"].as_str().unwrap().to_lowercase()));
        }
    }
    for name in ["traceparent", "if-none-match", "cache-control", "idempotency-key", "prefer", "x-request-id"] {
        assert!(documented.contains(name), "{name}");
    }
    for path in READS.iter().chain(&WRITES) {
        let answer = preflight(&gateway, path, "https://app.example").await;
        assert_eq!(set(answer.header("access-control-allow-headers")), documented, "{path}");
    }
    let answered: BTreeSet<String> =
        document["components"]["headers"].as_object().unwrap().keys().map(|name| name.to_lowercase()).collect();
    let answer = gateway.get_with("/v1/me", &[("origin", "https://app.example")]).await;
    assert_eq!(set(answer.header("access-control-expose-headers")), answered);
    gateway.stop().await;
}

/// The headers that open an answer to pages of another origin.
fn cors_headers(headers: &HeaderMap) -> Vec<String> {
    let names = headers.keys().map(|name| name.as_str().to_owned());
    names.filter(|name| name.starts_with("access-control-")).collect()
}

const PREFLIGHT: [(&str, &str); 3] = [
    ("authorization", ""),
    ("access-control-request-method", "POST"),
    ("access-control-request-headers", "authorization,content-type,idempotency-key"),
];

async fn preflight(gateway: &Gateway, path: &str, origin: &str) -> Reply {
    gateway.send(Method::OPTIONS, path, &[&PREFLIGHT[..], &[("origin", origin)]].concat(), None).await
}

#[tokio::test]
async fn no_page_of_another_origin_may_call_unless_that_is_configured() {
    let gateway = Gateway::with(small()).await;
    for (_, answer) in all_answers(&gateway).await {
        assert_eq!(cors_headers(&answer.headers), [""; 0], "{answer:?}");
    }
    for path in READS.iter().chain(&WRITES) {
        let answer = preflight(&gateway, path, "https://app.example").await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(cors_headers(&answer.headers), [""; 0], "{path}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn pages_of_the_origins_that_are_listed_may_call_and_carry_no_credentials_of_the_browser() {
    let extra = "[cors]\norigins = [\"https://app.example\", \"http://localhost:3000\"]".to_owned();
    let gateway = Gateway::with(GatewayOptions { extra, ..GatewayOptions::default() }).await;
    for path in READS.iter().chain(&WRITES) {
        for origin in ["https://app.example", "http://localhost:3000"] {
            let allowed = preflight(&gateway, path, origin).await;
            assert_eq!((allowed.status.as_u16(), allowed.header("access-control-allow-origin")), (200, origin));
            let asked = gateway.get_with(path, &[("origin", origin)]).await;
            assert_eq!(asked.header("access-control-allow-origin"), origin, "{path}: refusals too");
            let vary = asked.headers.get_all("vary").iter().map(|value| value.to_str().unwrap());
            assert!(vary.collect::<Vec<_>>().join(",").to_ascii_lowercase().contains("origin"), "{path}");
            for answer in [allowed, asked] {
                assert_eq!(answer.header("access-control-allow-credentials"), "", "{path}");
                for name in cors_headers(&answer.headers) {
                    assert!(!answer.header(&name).contains('*'), "{path}: {name}");
                }
            }
        }
        for origin in
            ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null", "*", ""]
        {
            for answer in [preflight(&gateway, path, origin).await, gateway.get_with(path, &[("origin", origin)]).await]
            {
                assert_eq!(answer.header("access-control-allow-origin"), "", "{path}: {origin}");
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_preflight_that_two_readers_could_take_for_two_things_is_refused_like_any_message() {
    let extra = "[cors]\norigins = [\"https://app.example\"]".to_owned();
    let gateway = Gateway::with(GatewayOptions { extra, ..GatewayOptions::default() }).await;
    let mut request =
        WireRequest::get("/v1/me").with("origin", b"https://app.example").with("access-control-request-method", b"GET");
    request.method = "OPTIONS";
    assert_eq!(request.send(&gateway).await.unwrap().status, 200);
    for (name, value) in [("host", "elsewhere.example"), ("transfer-encoding", "gzip, chunked")] {
        let reply = request.clone().with(name, value).send(&gateway).await.unwrap();
        assert_eq!((reply.status, &reply.problem()["code"]), (400, &"invalid_request".into()), "{name}");
        assert!(reply.head.to_ascii_lowercase().contains("\r\nconnection: close"), "{name}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_preflight_costs_its_caller_nothing() {
    let gateway = Gateway::with(GatewayOptions {
        rate_limit: "default = { requests = 2, window = \"300h\", burst = 2 }".to_owned(),
        extra: "[cors]\norigins = [\"https://app.example\"]".to_owned(),
        ..GatewayOptions::default()
    })
    .await;
    let ask = async || gateway.get_with("/v1/me", &[("origin", "https://app.example")]).await;
    for left in [1, 0] {
        for _ in 0..5 {
            let answer = preflight(&gateway, "/v1/me", "https://app.example").await;
            assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""));
        }
        assert_eq!(ask().await.ok()["data"]["quota"]["remaining"], left);
    }
    let refused = ask().await;
    refused.problem(429, "rate_limited");
    assert_eq!(refused.header("access-control-allow-origin"), "https://app.example", "the page can read why");
    gateway.stop().await;
}

#[tokio::test]
async fn preflight_counts_against_its_address() {
    let gateway = Gateway::with(GatewayOptions {
        rate_limit: "per_address = { requests = 2, window = \"300h\", burst = 2 }".to_owned(),
        extra: "[cors]\norigins = [\"https://app.example\"]".to_owned(),
        ..GatewayOptions::default()
    })
    .await;
    for _ in 0..2 {
        assert_eq!(preflight(&gateway, "/v1/me", "https://app.example").await.status, 200);
    }
    preflight(&gateway, "/v1/me", "https://app.example").await.problem(429, "rate_limited");
    let refused = gateway.get_with("/v1/me", &[("origin", "https://app.example")]).await;
    refused.problem(429, "rate_limited");
    assert_eq!(refused.header("access-control-allow-origin"), "https://app.example", "the page can read why");
    assert!(refused.header("access-control-expose-headers").contains("retry-after"));
    let other = gateway.get_with("/v1/me", &[("origin", "https://evil.example")]).await;
    other.problem(429, "rate_limited");
    assert_eq!(other.header("access-control-allow-origin"), "");
    gateway.stop().await;
}

#[tokio::test]
async fn the_admin_port_answers_its_three_paths_and_nothing_else_and_no_other_port_does() {
    let gateway = Gateway::start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let admin = gateway.admin_url();
    let ask = async |method: Method, path: &str| {
        let reply = client.request(method, format!("{admin}{path}")).bearer_auth(Token::default().sign()).send().await;
        let reply = reply.unwrap();
        (reply.status().as_u16(), reply.headers().clone(), reply.text().await.unwrap())
    };
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(ask(Method::GET, path).await.0, 200, "{path}");
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE, Method::PATCH] {
            let (status, headers, body) = ask(method.clone(), path).await;
            assert_eq!((status, body.as_str()), (405, ""), "{method} {path}");
            assert!(!headers.contains_key("server") && cors_headers(&headers).is_empty(), "{headers:?}");
        }
        gateway.get(path).await.problem(404, "not_found");
    }
    for path in READS.iter().chain(&WRITES).copied().chain([
        "/",
        "/docs",
        "/docs/",
        "/openapi.json",
        "/livez/",
        "/metrics/",
        "//metrics",
        "/metrics/x",
        "/debug/pprof",
        "/.env",
        "/admin",
    ]) {
        for method in [Method::GET, Method::POST] {
            let (status, headers, body) = ask(method.clone(), path).await;
            assert_eq!((status, body.as_str()), (404, ""), "{method} {path}");
            assert!(!headers.contains_key("server"), "{headers:?}");
        }
    }
    gateway.stop().await;
}
