//! Contract §7: who calls.

mod claims;
mod fetched;
mod jwks;
pub mod keys;
pub mod publisher;
mod reuse;
mod sources;
mod table;
mod unknown_keys;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::{Gateway, JWT_SECRET, Reply, Token};

const NO_TOKEN: &str = "Bearer realm=\"scrm-gateway\"";
const PATH: &str = "/v1/customers?source=juzibot&limit=1";

/// Asks with this value of the `authorization` header.
async fn ask(gateway: &Gateway, authorization: &str) -> Reply {
    gateway.get_with(PATH, &[("authorization", authorization)]).await
}

/// The answer refuses a bad token: in status, form and challenge (RFC 6750 §3).
#[track_caller]
fn refuses(reply: &Reply) {
    let problem = reply.problem(401, "unauthenticated");
    assert_eq!(problem["retryable"], false);
    let challenge = reply.header("www-authenticate");
    let rest = challenge.strip_prefix("Bearer realm=\"scrm-gateway\", error=\"invalid_token\"");
    let rest = rest.unwrap_or_else(|| panic!("{challenge}"));
    assert!(rest.is_empty() || rest.starts_with(", error_description=\""), "{challenge}");
    assert_eq!(reply.headers.get_all("www-authenticate").iter().count(), 1);
    assert!(reply.headers.get("ratelimit").is_none(), "a quota is of somebody");
}

/// A token of the usual issuer with this header.
fn with_header(header: &Header, changes: &Value) -> String {
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    let token = jsonwebtoken::encode(header, &Token::with(changes).claims, &key).unwrap();
    format!("Bearer {token}")
}

#[tokio::test]
async fn without_a_token_the_challenge_names_the_scheme_alone() {
    let gateway = Gateway::start().await;
    for headers in [
        &[("authorization", "")][..],
        // Another scheme is no bearer token, neither good nor bad.
        &[("authorization", "Basic dGVzdGVyOnNlY3JldA==")],
        &[("authorization", "Digest username=\"x\"")],
    ] {
        for (method, path) in
            [("GET", PATH), ("GET", "/v1/customers/x"), ("POST", "/v1/remarks"), ("POST", "/v1/follow-ups")]
        {
            let reply = gateway.send(method.parse().unwrap(), path, headers, None).await;
            reply.problem(401, "unauthenticated");
            assert_eq!(reply.header("www-authenticate"), NO_TOKEN, "{headers:?} {path}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_token_in_the_query_is_none() {
    let gateway = Gateway::start().await;
    let token = Token::default().sign();
    let path = format!("{PATH}&access_token={token}");
    let reply = gateway.get_with(&path, &[("authorization", "")]).await;
    reply.problem(401, "unauthenticated");
    assert_eq!(reply.header("www-authenticate"), NO_TOKEN);
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_no_one_bearer_token_is_refused() {
    let gateway = Gateway::start().await;
    let good = Token::default().bearer();
    let token = Token::default().sign();
    ask(&gateway, &good).await.ok();
    ask(&gateway, &format!("bearer {token}")).await.ok();
    for bad in [
        "Bearer".to_owned(),
        "Bearer  ".to_owned(),
        "Bearer x".to_owned(),
        "Bearer a.b.c".to_owned(),
        format!("Bearer {token} {token}"),
        format!("Bearer {token},"),
        format!("Bearer {token}."),
        format!("Bearer \"{token}\""),
    ] {
        refuses(&ask(&gateway, &bad).await);
    }
    for second in [good.as_str(), "Basic dGVzdGVyOnNlY3JldA=="] {
        let two = [("authorization", good.as_str()), ("authorization", second)];
        refuses(&gateway.get_with(PATH, &two).await);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_token_larger_than_any_honest_one_is_refused_however_well_signed() {
    let gateway = Gateway::start().await;
    let padded = |bytes: usize| Token::with(&json!({"note": "x".repeat(bytes)})).bearer();
    ask(&gateway, &padded(4_000)).await.ok();
    refuses(&ask(&gateway, &padded(9_000)).await);
    gateway.stop().await;
}

#[tokio::test]
async fn the_type_is_absent_or_one_of_an_access_token() {
    let gateway = Gateway::start().await;
    let typed = |typ: Option<&str>| {
        let mut header = Header::new(Algorithm::HS256);
        header.typ = typ.map(str::to_owned);
        with_header(&header, &json!({}))
    };
    for typ in [None, Some("JWT"), Some("jwt"), Some("at+jwt"), Some("AT+JWT"), Some("application/at+jwt")] {
        assert_eq!(ask(&gateway, &typed(typ)).await.status, 200, "{typ:?}");
    }
    for typ in ["foo", "", "secevent+jwt", "logout+jwt", "dpop+jwt", "at+jwt "] {
        refuses(&ask(&gateway, &typed(Some(typ))).await);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_changed_byte_anywhere_breaks_the_token() {
    let gateway = Gateway::start().await;
    let token = Token::default().sign();
    let dots: Vec<usize> = token.match_indices('.').map(|(at, _)| at).collect();
    for at in [1, dots[0] - 2, dots[0] + 2, dots[1] - 2, dots[1] + 2, token.len() - 2] {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        refuses(&ask(&gateway, &format!("Bearer {}", String::from_utf8(bytes).unwrap())).await);
    }
    // Another's payload under this signature.
    let other = Token::with(&json!({"sub": "admin"})).sign();
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (mine, theirs) = (parts(&token), parts(&other));
    refuses(&ask(&gateway, &format!("Bearer {}.{}.{}", mine[0], theirs[1], mine[2])).await);
    refuses(&ask(&gateway, &format!("Bearer {}.{}.", mine[0], mine[1])).await);
    gateway.stop().await;
}
