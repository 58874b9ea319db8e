//! What the claims must be, and what scopes open.

use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};

use super::{PATH, ask, refuses, with_header};
use crate::support::{Gateway, GatewayOptions, Token};

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

async fn ask_with(gateway: &Gateway, changes: Value) -> crate::support::Reply {
    ask(gateway, &Token::with(&changes).bearer()).await
}

#[tokio::test]
async fn each_required_claim_must_be_there_and_be_what_it_should() {
    let gateway = Gateway::start().await;
    for claim in ["exp", "iss", "aud", "sub"] {
        refuses(&ask_with(&gateway, json!({claim: null})).await);
    }
    for bad in [
        json!({"iss": "https://login.test/"}),
        json!({"iss": "https://evil.test"}),
        json!({"iss": ["https://login.test"]}),
        json!({"aud": "someone-else"}),
        json!({"aud": ["someone-else", "scrm-gateway-2"]}),
        json!({"aud": []}),
        json!({"aud": 7}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"exp": "4102444800"}),
        json!({"exp": now() - 60}),
        json!({"exp": 0}),
        json!({"nbf": now() + 120}),
        json!({"sources": 7}),
        json!({"sources": {"juzibot": true}}),
        json!({"sources": ["juzibot", 7]}),
        json!({"sources": ["juzibot", null]}),
        json!({"scope": 7}),
        json!({"scope": ["customers:read", 7]}),
        json!({"scp": {}}),
        json!({"scp": true}),
    ] {
        let told = bad.clone();
        let reply = ask_with(&gateway, bad).await;
        assert_eq!(reply.status, 401, "{told}");
        refuses(&reply);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_token_may_say_more_than_it_must() {
    let gateway = Gateway::start().await;
    for good in [
        json!({"aud": ["someone-else", "scrm-gateway"]}),
        json!({"nbf": now() - 1, "iat": now(), "jti": "x", "client_id": "tester"}),
        // Clocks differ; half a minute is granted at most.
        json!({"exp": now() - 5}),
        json!({"nbf": now() + 5}),
    ] {
        let told = good.clone();
        assert_eq!(ask_with(&gateway, good).await.status, 200, "{told}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_leeway_is_as_configured() {
    let gateway =
        Gateway::with(GatewayOptions { auth: "leeway = \"0s\"".to_owned(), ..GatewayOptions::default() }).await;
    refuses(&ask_with(&gateway, json!({"exp": now() - 5})).await);
    refuses(&ask_with(&gateway, json!({"nbf": now() + 10})).await);
    gateway.stop().await;
}

#[tokio::test]
async fn what_must_be_understood_and_is_not_refuses_the_token() {
    let gateway = Gateway::start().await;
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("of nobody".to_owned());
    header.jku = Some("https://evil.test/jwks.json".to_owned());
    let reply = ask(&gateway, &with_header(&header, &json!({}))).await;
    assert_eq!(reply.status, 200, "where keys lie is not the token's to say: {}", reply.body);
    // RFC 7515 §4.1.11: an extension that is critical and not understood.
    header.crit = Some(vec!["b64".to_owned()]);
    refuses(&ask(&gateway, &with_header(&header, &json!({}))).await);
    gateway.stop().await;
}

#[tokio::test]
async fn null_claim_is_refused() {
    let gateway = Gateway::start().await;
    for claim in ["exp", "iss", "aud", "sub", "nbf", "scope", "scp", "sources"] {
        let mut token = Token::default();
        token.claims[claim] = Value::Null;
        refuses(&ask(&gateway, &token.bearer()).await);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn scopes_come_as_a_string_or_as_a_list() {
    let gateway = Gateway::start().await;
    let both = "openid customers:read  customers:raw";
    for good in [
        json!({"scope": both}),
        json!({"scope": null, "scp": both}),
        json!({"scope": null, "scp": ["openid", "customers:read", "customers:raw"]}),
        json!({"scope": ["openid", "customers:read", "customers:raw"]}),
        json!({"scope": ["customers:raw"], "scp": "customers:read"}),
        json!({"scope": "customers:raw", "scp": ["customers:read"]}),
    ] {
        let bearer = Token::with(&good).bearer();
        let raw = gateway.get_with(&format!("{PATH}&include=raw"), &[("authorization", &bearer)]).await;
        assert_eq!(raw.status, 200, "{good}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_missing_scope_is_named() {
    let gateway = Gateway::start().await;
    let headers = |bearer: &str| vec![("authorization".to_owned(), bearer.to_owned())];
    let refused = async |scopes: Value, method: &str, path: &str, missing: &str| {
        let bearer = Token::with(&scopes).bearer();
        let headers = headers(&bearer);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let reply = gateway.send(method.parse().unwrap(), path, &headers, None).await;
        let problem = reply.problem(403, "forbidden");
        assert!(problem["detail"].as_str().unwrap().contains(missing));
        let challenge = format!("Bearer realm=\"scrm-gateway\", error=\"insufficient_scope\", scope=\"{missing}\"");
        assert_eq!(reply.header("www-authenticate"), challenge);
    };
    for scopes in [
        json!({"scope": null}),
        json!({"scope": ""}),
        json!({"scope": "customers:write"}),
        json!({"scope": "customers:readx customers Customers:Read"}),
        json!({"scope": null, "scp": []}),
    ] {
        refused(scopes.clone(), "GET", PATH, "customers:read").await;
        refused(scopes, "GET", "/v1/customers/x", "customers:read").await;
    }
    let reads = json!({"scope": "customers:read"});
    for path in ["/v1/customers?source=juzibot&include=raw", "/v1/customers/x?include=raw"] {
        refused(reads.clone(), "GET", path, "customers:raw").await;
    }
    for path in ["/v1/remarks", "/v1/follow-ups"] {
        refused(reads.clone(), "POST", path, "customers:write").await;
    }
    gateway.stop().await;
}
