//! Contract §4: every refusal is a problem.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Gateway, GatewayOptions, Reply, Token, WireRequest};

/// What every problem has, whatever it is about.
#[track_caller]
fn has_the_form(problem: &Value) {
    let keys: Vec<&str> = problem.as_object().unwrap().keys().map(String::as_str).collect();
    let expected =
        ["code", "detail", "errors", "request_id", "retryable", "source", "status", "title", "type", "upstream"];
    assert_eq!(keys.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from(expected));
    assert!(!problem["title"].as_str().unwrap().is_empty());
    assert!(!problem["detail"].as_str().unwrap().is_empty());
    assert!(problem["retryable"].is_boolean());
    for fault in problem["errors"].as_array().unwrap() {
        assert_eq!(fault.as_object().unwrap().len(), 4, "{fault}");
        assert!(fault["pointer"].is_string() != fault["parameter"].is_string(), "{fault}");
    }
}

#[track_caller]
fn problem(reply: &Reply, status: u16, code: &str) -> Value {
    let problem = reply.problem(status, code);
    has_the_form(&problem);
    problem
}

/// The parameters that a 400 names, with their words.
#[track_caller]
fn parameters(reply: &Reply) -> BTreeSet<(String, String)> {
    let problem = problem(reply, 400, "invalid_request");
    let errors = problem["errors"].as_array().unwrap();
    errors
        .iter()
        .map(|error| {
            let text = |key: &str| error[key].as_str().unwrap().to_owned();
            assert!(!text("detail").is_empty());
            (text("parameter"), text("code"))
        })
        .collect()
}

fn set_of(expected: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    expected.iter().map(|(name, code)| ((*name).to_owned(), (*code).to_owned())).collect()
}

#[tokio::test]
async fn a_route_that_is_not_there_is_a_problem_whoever_asks() {
    let gateway = Gateway::start().await;
    for path in ["/v1", "/v1/customers/", "/v1/customers/a/b", "/v2/customers", "/v1/nope?x=1", "/livez", "/metrics"] {
        for headers in [&[][..], &[("authorization", "")]] {
            problem(&gateway.get_with(path, headers).await, 404, "not_found");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_method_that_the_route_has_not_is_told_which_it_has() {
    let gateway = Gateway::start().await;
    for (method, path, allowed) in [
        (Method::DELETE, "/v1/customers", &["GET", "HEAD"][..]),
        (Method::POST, "/v1/customers", &["GET", "HEAD"]),
        (Method::PUT, "/v1/customers/x", &["GET", "HEAD"]),
        (Method::GET, "/v1/remarks", &["POST"]),
        (Method::PATCH, "/v1/remarks", &["POST"]),
        (Method::GET, "/v1/follow-ups", &["POST"]),
        (Method::POST, "/v1/errors", &["GET", "HEAD"]),
        (Method::POST, "/v1/me", &["GET", "HEAD"]),
        (Method::POST, "/v1/sources", &["GET", "HEAD"]),
        (Method::POST, "/", &["GET", "HEAD"]),
        (Method::PUT, "/docs/", &["GET", "HEAD"]),
        (Method::POST, "/openapi.json", &["GET", "HEAD"]),
    ] {
        let reply = gateway.send(method.clone(), path, &[], None).await;
        let refused = problem(&reply, 405, "method_not_allowed");
        let told: BTreeSet<&str> = reply.header("allow").split(',').map(str::trim).collect();
        assert_eq!(told, allowed.iter().copied().collect(), "{method} {path}");
        assert_eq!(refused["detail"], format!("this path allows only: {}", allowed.join(", ")), "{method} {path}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_of_another_media_type_is_refused() {
    let gateway = Gateway::start().await;
    for path in ["/v1/remarks", "/v1/follow-ups"] {
        for media_type in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("application/merge-patch+json"),
            Some("application/jsonx"),
            Some(""),
        ] {
            let headers: Vec<_> = media_type.map(|value| ("content-type", value)).into_iter().collect();
            let reply = gateway.send(Method::POST, path, &headers, Some(b"{\"items\":[]}".to_vec())).await;
            problem(&reply, 415, "unsupported_media_type");
        }
        for media_type in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
            let headers = [("content-type", media_type)];
            let reply = gateway.send(Method::POST, path, &headers, Some(b"{\"items\":[]}".to_vec())).await;
            problem(&reply, 422, "validation_failed");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_that_is_no_json_is_told_where() {
    let gateway = Gateway::start().await;
    for path in ["/v1/remarks", "/v1/follow-ups"] {
        for (body, place) in [
            (&b""[..], "line 1"),
            (b"{", "line 1"),
            (b"{\"items\": [\n{,}]}", "line 2"),
            (b"{\"items\": []} []", "line 1"),
            (b"{'items': []}", "line 1"),
            (b"{\"items\": [NaN]}", "line 1"),
            (b"\xff\xfe", "line 1"),
            (b"\xef\xbb\xbf{}", "line 1"),
        ] {
            let headers = [("content-type", "application/json")];
            let reply = gateway.send(Method::POST, path, &headers, Some(body.to_vec())).await;
            let problem = problem(&reply, 400, "invalid_request");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains(place), "{detail}");
            assert_eq!(problem["errors"], json!([]));
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn every_bad_parameter_of_a_list_is_named_at_once() {
    let gateway = Gateway::start().await;
    let query = "limit=0&colour=red&staff_id=&source=a&source=b&include=all&Limit=5&cursor=%ff";
    let expected = [
        ("limit", "out_of_range"),
        ("colour", "unknown"),
        ("staff_id", "empty"),
        ("source", "duplicate"),
        ("include", "malformed"),
        ("Limit", "unknown"),
        ("cursor", "malformed"),
    ];
    assert_eq!(parameters(&gateway.get(&format!("/v1/customers?{query}")).await), set_of(&expected));
    for (query, name, code) in [
        ("limit=1001", "limit", "out_of_range"),
        ("limit=99999999999999999999", "limit", "out_of_range"),
        ("limit=", "limit", "wrong_type"),
        ("limit", "limit", "wrong_type"),
        ("limit=-1", "limit", "wrong_type"),
        ("limit=1.0", "limit", "wrong_type"),
        ("limit=%2B1", "limit", "wrong_type"),
        ("limit=%EF%BC%91", "limit", "wrong_type"),
        ("limit=5&limit=5", "limit", "duplicate"),
        ("staff_id=a%20b", "staff_id", "malformed"),
        ("staff_id=%E5%BC%A0", "staff_id", "malformed"),
        ("staff_id=a%00", "staff_id", "malformed"),
        ("source=", "source", "not_visible"),
        ("source=JUZIBOT", "source", "not_visible"),
        ("include=", "include", "malformed"),
        ("include=RAW", "include", "malformed"),
        ("=x", "", "unknown"),
        ("id_type=union_id", "id_type", "unknown"),
    ] {
        let reply = gateway.get(&format!("/v1/customers?{query}")).await;
        assert_eq!(parameters(&reply), set_of(&[(name, code)]), "{query}");
    }
    let long = format!("/v1/customers?staff_id={}", "a".repeat(129));
    assert_eq!(parameters(&gateway.get(&long).await), set_of(&[("staff_id", "too_long")]));
    gateway.stop().await;
}

#[tokio::test]
async fn every_bad_parameter_of_a_detail_is_named_at_once() {
    let gateway = Gateway::start().await;
    let query = "id_type=phone&include=x&on_partial=maybe&staff_id=%20&limit=5&limit=6";
    let expected = [
        ("id_type", "malformed"),
        ("include", "malformed"),
        ("on_partial", "malformed"),
        ("staff_id", "malformed"),
        ("limit", "unknown"),
    ];
    assert_eq!(parameters(&gateway.get(&format!("/v1/customers/x?{query}")).await), set_of(&expected));
    for id in ["%20", "a%20b", "%00", "%E5%BC%A0", "%ff", &"a".repeat(129)] {
        let named = parameters(&gateway.get(&format!("/v1/customers/{id}")).await);
        assert!(named.iter().all(|(name, _)| name == "id") && named.len() == 1, "{id}: {named:?}");
    }
    // As long as an id may be, and of the characters it may have: nobody is called so.
    for id in ["a".repeat(128), "!%22%23$%25&'()*+,-.%2F:;%3C=%3E%3F@[]%5E_%60%7B%7C%7D~".to_owned()] {
        problem(&gateway.get(&format!("/v1/customers/{id}")).await, 404, "not_found");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn unknown_parameter_suggests_closest_name() {
    let gateway = Gateway::start().await;
    for (path, detail) in [
        ("/v1/customers?sourc=juzibot", "unknown parameter \"sourc\"; did you mean \"source\"?"),
        ("/v1/customers/x?OnPartial=fail", "unknown parameter \"OnPartial\"; did you mean \"on_partial\"?"),
        ("/v1/customers/x?page=2", "unknown parameter \"page\"; known: id_type, source, staff_id, include, on_partial"),
        ("/v1/me?verbose=1", "unknown parameter \"verbose\"; none is supported here"),
    ] {
        let problem = problem(&gateway.get(path).await, 400, "invalid_request");
        assert_eq!((&problem["detail"], &problem["errors"][0]["detail"]), (&json!(detail), &json!(detail)));
    }
    let item = json!({"staff_id": "s", "union_id": "o", "remrk": "r", "remark": "r"});
    let reply = gateway.post("/v1/remarks", &json!({"items": [item]})).await;
    let problem = problem(&reply, 422, "validation_failed");
    assert_eq!(problem["errors"][0]["detail"], "unknown field \"remrk\"; did you mean \"remark\"?");
    gateway.stop().await;
}

#[tokio::test]
async fn a_batch_knows_one_parameter() {
    let gateway = Gateway::start().await;
    for path in ["/v1/remarks", "/v1/follow-ups"] {
        let reply = gateway.post(&format!("{path}?dry_run=1&source=a&source=b"), &json!({})).await;
        assert_eq!(parameters(&reply), set_of(&[("dry_run", "unknown"), ("source", "duplicate")]));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_query_of_any_number_of_faults_has_an_answer_of_bounded_size() {
    let gateway = Gateway::start().await;
    let query: Vec<String> = (0..2_000).map(|n| format!("p{n}=1")).collect();
    let reply = gateway.get(&format!("/v1/customers?{}", query.join("&"))).await;
    let named = parameters(&reply).len();
    assert!((10..=100).contains(&named), "{named}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_refusal_does_not_echo_what_may_be_a_secret() {
    let gateway = Gateway::start().await;
    let token = Token::default().sign();
    for path in [
        format!("/v1/customers?cursor={token}&source=juzibot"),
        format!("/v1/customers?limit={token}"),
        format!("/v1/customers?source={token}"),
        format!("/v1/customers?staff_id=%20{token}"),
        format!("/v1/customers?access_token={token}"),
        format!("/v1/customers/%20{token}"),
    ] {
        let reply = gateway.get(&path).await;
        assert_eq!(reply.status, 400);
        assert!(!reply.body.contains("eyJ"), "{}", reply.body);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_well_formed_request_id_comes_back_and_any_other_is_replaced() {
    let gateway = Gateway::start().await;
    let id_of = async |sent: &str| {
        let reply = gateway.get_with("/v1/nope", &[("x-request-id", sent)]).await;
        problem(&reply, 404, "not_found");
        reply.header("x-request-id").to_owned()
    };
    for good in ["1", "0c6f2a3e-8f0b-4a9c-9d63-7d3b4f2f5e11", "a/b:c=d,e;f~!", &"x".repeat(128)] {
        assert_eq!(id_of(good).await, good);
    }
    let mut made = BTreeSet::new();
    for bad in ["", " ", "two words", "tab\there", "käse", &"x".repeat(129)] {
        let id = id_of(bad).await;
        assert!(id.len() == 26 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        made.insert(id);
    }
    assert_eq!(made.len(), 6, "each request has its own");
    gateway.stop().await;
}

#[tokio::test]
async fn problem_type_is_absolute_under_public_url() {
    const PUBLIC: &str = "https://gateway.example/scrm";
    let few = "{ requests = 2, window = \"300h\", burst = 2 }";
    let gateway = Gateway::with(GatewayOptions {
        server: format!("public_url = \"{PUBLIC}\"\nbody_limit = \"64B\""),
        rate_limit: format!("default = {few}"),
        ..GatewayOptions::default()
    })
    .await;
    let type_of = |problem: &Value, code: &str| {
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["type"], format!("{PUBLIC}/v1/errors#{code}"));
    };
    let json = [("content-type", "application/json")];
    for (method, path, headers, body, code) in [
        (Method::GET, "/v1/nope", &[][..], "", "not_found"),
        (Method::DELETE, "/v1/me", &[], "", "method_not_allowed"),
        (Method::GET, "/v1/me", &[("authorization", "")], "", "unauthenticated"),
        (Method::GET, "/v1/me?x=1", &[], "", "invalid_request"),
        (Method::POST, "/v1/remarks", &json, &"x".repeat(65), "payload_too_large"),
        (Method::GET, "/v1/me", &[], "", "rate_limited"),
    ] {
        let reply = gateway.send(method, path, headers, Some(body.into())).await;
        type_of(&reply.json(), code);
    }
    // A refusal of the edge, before any route.
    let smuggled = WireRequest::get("/v1/me").with("host", "elsewhere.example").send(&gateway).await.unwrap();
    type_of(&smuggled.problem(), "invalid_request");
    gateway.stop().await;
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let gateway = Gateway::start().await;
    let id = gateway.sandbox.state().people().featured().external_user_id;
    let mut seen = BTreeSet::new();
    for (path, status, headers) in [
        (format!("/v1/customers/{id}"), 200, &[][..]),
        (format!("/v1/customers/{id}"), 401, &[("authorization", "")]),
        ("/v1/customers?source=juzibot".to_owned(), 200, &[]),
        ("/v1/customers".to_owned(), 400, &[]),
        ("/v1/customers/x".to_owned(), 404, &[]),
        ("/openapi.json".to_owned(), 200, &[("authorization", "")]),
    ] {
        let reply = gateway.get_with(&path, headers).await;
        assert_eq!(reply.status.as_u16(), status, "{path}");
        assert!(seen.insert(reply.header("x-request-id").to_owned()), "{path}");
        let named = gateway.get_with(&path, &[headers, &[("x-request-id", "of-the-caller")]].concat()).await;
        assert_eq!(named.header("x-request-id"), "of-the-caller");
    }
    assert!(!seen.contains(""));
    gateway.stop().await;
}
