//! Tokens as nobody honest writes them (RFC 8725 §2), well signed all the same: the form alone is what is wrong.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use jsonwebtoken::crypto::sign;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{ask, refuses};
use crate::support::{Gateway, JWT_SECRET, Token};

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const CLAIMS: &str =
    r#"{"iss":"https://login.test","aud":"scrm-gateway","sub":"tester","exp":4102444800,"scope":"customers:read"}"#;

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// The value of the `authorization` header for these two parts, signed as they are.
fn signed(header: &str, claims: &str) -> String {
    let message = format!("{header}.{claims}");
    let signature =
        sign(message.as_bytes(), &EncodingKey::from_secret(JWT_SECRET.as_bytes()), Algorithm::HS256).unwrap();
    format!("Bearer {message}.{signature}")
}

fn of_texts(header: &str, claims: &str) -> String {
    signed(&encoded(header), &encoded(claims))
}

/// The usual claims with this text after the brace.
fn claims_and(more: &str) -> String {
    CLAIMS.replacen('{', &format!("{{{more},"), 1)
}

fn header_and(more: &str) -> String {
    HEADER.replacen('{', &format!("{{{more},"), 1)
}

#[tokio::test]
async fn the_helpers_make_good_tokens() {
    let gateway = Gateway::start().await;
    ask(&gateway, &of_texts(HEADER, CLAIMS)).await.ok();
    ask(&gateway, &of_texts(&header_and(r#""x":1"#), &claims_and(r#""y":{"a":1,"b":[]}"#))).await.ok();
    gateway.stop().await;
}

#[tokio::test]
async fn a_member_that_is_there_twice_has_no_meaning() {
    let gateway = Gateway::start().await;
    for again in [
        r#""alg":"HS256""#,
        r#""alg":"none""#,
        r#""typ":"JWT""#,
        r#""x":1,"x":1"#,
        r#""kid":"a","kid":"a""#,
        // The same name in another spelling.
        r#""\u0061lg":"HS256""#,
    ] {
        refuses(&ask(&gateway, &of_texts(&header_and(again), CLAIMS)).await);
    }
    for again in [
        r#""sub":"tester""#,
        r#""sub":"admin""#,
        r#""iss":"https://login.test""#,
        r#""aud":"scrm-gateway""#,
        r#""exp":4102444800"#,
        r#""scope":"customers:read customers:raw""#,
        r#""sources":["juzibot"],"sources":["tanma"]"#,
        r#""nbf":0,"nbf":0"#,
        r#""of_nobody":1,"of_nobody":1"#,
        r#""s\u0075b":"admin""#,
    ] {
        refuses(&ask(&gateway, &of_texts(HEADER, &claims_and(again))).await);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_part_that_is_no_object_or_not_in_its_one_encoding_is_refused() {
    let gateway = Gateway::start().await;
    for text in ["", "null", "[]", "1", "\"text\"", "{", "{}x", "\u{feff}{}", "\0", "{\"alg\":\"HS256\"} {}"] {
        refuses(&ask(&gateway, &of_texts(text, CLAIMS)).await);
        refuses(&ask(&gateway, &of_texts(HEADER, text)).await);
    }
    refuses(&ask(&gateway, &of_texts(&format!("{HEADER},"), CLAIMS)).await);
    refuses(&ask(&gateway, &of_texts(HEADER, &format!("{CLAIMS}x"))).await);
    let deep = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
    refuses(&ask(&gateway, &of_texts(HEADER, &claims_and(&format!(r#""deep":{deep}"#)))).await);
    // No UTF-8.
    let broken = URL_SAFE_NO_PAD.encode([CLAIMS.trim_end_matches('}').as_bytes(), b",\"x\":\"\xff\"}"].concat());
    refuses(&ask(&gateway, &signed(&encoded(HEADER), &broken)).await);
    // Base64 as RFC 7515 §2 has it, and in no other way.
    let padded = claims_and(r#""pad":"??>>~~""#);
    for claims in
        [URL_SAFE.encode(format!("{padded} ")), URL_SAFE.encode(format!("{padded}  ")), STANDARD.encode(&padded)]
    {
        if claims.contains(['=', '+', '/']) {
            refuses(&ask(&gateway, &signed(&encoded(HEADER), &claims)).await);
        }
    }
    // Bits that are left over and not zero: a second spelling of the same bytes.
    let claims = encoded(&format!("{CLAIMS} "));
    let last = claims.len() - 1;
    let spelt = (b'A'..=b'z').map(|byte| format!("{}{}", &claims[..last], char::from(byte)));
    let spelt: Vec<_> = spelt.filter(|other| *other != claims && URL_SAFE_NO_PAD.decode(other).is_err()).collect();
    for other in spelt.iter().filter(|other| other.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))) {
        refuses(&ask(&gateway, &signed(&encoded(HEADER), other)).await);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_token_in_a_token_and_an_encrypted_one_are_refused() {
    let gateway = Gateway::start().await;
    let inner = Token::default().sign();
    for header in [r#""cty":"JWT""#, r#""cty":"jwt""#, r#""cty":"application/jwt""#, r#""cty":7"#] {
        refuses(&ask(&gateway, &of_texts(&header_and(header), &inner)).await);
        refuses(&ask(&gateway, &of_texts(&header_and(header), CLAIMS)).await);
    }
    refuses(&ask(&gateway, &of_texts(HEADER, &inner)).await);
    refuses(&ask(&gateway, &of_texts(HEADER, &format!("\"{inner}\""))).await);
    for header in [r#""enc":"A256GCM""#, r#""enc":null"#, r#""zip":"DEF""#] {
        refuses(&ask(&gateway, &of_texts(&header_and(header), CLAIMS)).await);
    }
    // Five parts, as an encrypted one has them (RFC 7516 §7.1), and other numbers.
    let dir = encoded(r#"{"alg":"dir","enc":"A256GCM"}"#);
    refuses(&ask(&gateway, &format!("Bearer {dir}..{}.{}.{}", encoded("iv"), encoded("text"), encoded("tag"))).await);
    for more in [".", "..", ".AAAA", ".AAAA.AAAA", "...."] {
        refuses(&ask(&gateway, &format!("Bearer {inner}{more}")).await);
        refuses(&ask(&gateway, &format!("Bearer {}{inner}", more.replace("AAAA", &encoded(HEADER)))).await);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_header_of_extensions_or_of_wrong_types_is_refused() {
    let gateway = Gateway::start().await;
    for header in [
        r#""crit":["exp"]"#,
        r#""crit":["b64"],"b64":false"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""crit":"exp""#,
        r#""crit":{"a":1}"#,
        r#""kid":7"#,
        r#""kid":null"#,
        r#""kid":["a"]"#,
    ] {
        refuses(&ask(&gateway, &of_texts(&header_and(header), CLAIMS)).await);
    }
    for header in [
        r#"{"alg":"HS256","typ":7}"#,
        r#"{"alg":"HS256","typ":null}"#,
        r#"{"alg":"HS256","typ":["JWT"]}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":" HS256"}"#,
        r#"{"alg":null}"#,
        r#"{"alg":{"HS256":null}}"#,
        r#"{"ALG":"HS256"}"#,
    ] {
        refuses(&ask(&gateway, &of_texts(header, CLAIMS)).await);
    }
    gateway.stop().await;
}

/// Where keys are is the configuration's to say (RFC 8725 §3.10).
#[tokio::test]
async fn what_a_token_says_of_its_keys_is_neither_believed_nor_followed() {
    let gateway = Gateway::start().await;
    let elsewhere = MockServer::start().await;
    let secret = URL_SAFE_NO_PAD.encode("attacker-secret-0123456789abcdef0123");
    let key = json!({"kty": "oct", "k": secret, "alg": "HS256", "kid": "x"});
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"keys": [key]})))
        .mount(&elsewhere)
        .await;
    let url = elsewhere.uri();
    let attacker = EncodingKey::from_secret(b"attacker-secret-0123456789abcdef0123");
    for member in [
        json!({"jku": format!("{url}/jwks.json"), "kid": "x"}),
        json!({"x5u": format!("{url}/cert.pem")}),
        json!({"jwk": key}),
        json!({"x5c": ["MIIB"]}),
        json!({"x5t": "AAAA", "x5t#S256": "AAAA"}),
        json!({"kid": format!("{url}/jwks.json")}),
        json!({"kid": "../../../../etc/passwd"}),
        json!({"kid": "/dev/null"}),
        json!({"kid": "x' UNION SELECT 'AAAA' -- "}),
        json!({"kid": "x\u{0}|/usr/bin/id"}),
        json!({"kid": "k".repeat(3_000)}),
    ] {
        let mut header: Value = serde_json::from_str(HEADER).unwrap();
        header.as_object_mut().unwrap().extend(member.as_object().unwrap().clone());
        // Honest but for the member: the configured key decides.
        let honest = of_texts(&header.to_string(), CLAIMS);
        assert_eq!(ask(&gateway, &honest).await.status, 200, "{header}");
        let message = format!("{}.{}", encoded(&header.to_string()), encoded(CLAIMS));
        for key in [&attacker, &EncodingKey::from_secret(b""), &EncodingKey::from_secret(b"\0")] {
            let signature = sign(message.as_bytes(), key, Algorithm::HS256).unwrap();
            refuses(&ask(&gateway, &format!("Bearer {message}.{signature}")).await);
        }
    }
    assert!(elsewhere.received_requests().await.unwrap().is_empty(), "nobody configured it");
    gateway.stop().await;
}

#[tokio::test]
async fn times_and_subjects_that_are_none_are_refused() {
    let gateway = Gateway::start().await;
    let exp = |exp: &str| of_texts(HEADER, &CLAIMS.replace("4102444800", exp));
    for bad in [
        "\"4102444800\"",
        "\"never\"",
        "-1",
        "-4102444800",
        "0",
        "1",
        "1e-300",
        "1e300",
        "1e400",
        "null",
        "true",
        "[4102444800]",
        "{\"at\":4102444800}",
        "18446744073709551616",
        "NaN",
        "Infinity",
        "0x7fffffff",
        "",
    ] {
        let reply = ask(&gateway, &exp(bad)).await;
        assert_eq!(reply.status, 401, "{bad}");
        refuses(&reply);
    }
    for good in ["4102444800.5", "4.1024448e9", "9007199254740993", "9223372036854775807"] {
        assert_eq!(ask(&gateway, &exp(good)).await.status, 200, "{good}");
    }
    for nbf in ["\"0\"", "-1", "1e300", "[]", "4102444800", "18446744073709551615"] {
        refuses(&ask(&gateway, &of_texts(HEADER, &claims_and(&format!(r#""nbf":{nbf}"#)))).await);
    }
    let sub = |length: usize| Token::with(&json!({"sub": "s".repeat(length)})).bearer();
    ask(&gateway, &sub(255)).await.ok();
    for bad in [sub(0), sub(256), Token::with(&json!({"sub": "语".repeat(86)})).bearer()] {
        refuses(&ask(&gateway, &bad).await);
    }
    refuses(&ask(&gateway, &of_texts(HEADER, &CLAIMS.replace("\"tester\"", "[\"tester\"]"))).await);
    gateway.stop().await;
}

#[tokio::test]
async fn the_longest_token_is_8_kib() {
    let gateway = Gateway::start().await;
    // 3 bytes more of the claims are 4 more of the token.
    let of = |bytes: usize| of_texts(HEADER, &claims_and(&format!(r#""note":"{}""#, "x".repeat(bytes))));
    let length = |bearer: &str| bearer.len() - "Bearer ".len();
    let most = (0..8_192).rev().find(|bytes| length(&of(*bytes)) <= 8_192).unwrap();
    ask(&gateway, &of(most)).await.ok();
    refuses(&ask(&gateway, &of(most + 1)).await);
    gateway.stop().await;
}

/// The reasons that are told, each in the challenge as in the body, and none says more than this.
#[tokio::test]
async fn a_challenge_tells_why_in_words_of_ours() {
    let gateway = Gateway::start().await;
    let why = |of: Value| Token::with(&of).bearer();
    for (bearer, told) in [
        (why(json!({"exp": 1})), "the token has expired"),
        (why(json!({"nbf": 4_102_444_800_i64})), "the token is not valid yet"),
        (why(json!({"aud": "CANARY"})), "the token is for another audience"),
        (why(json!({"iss": "https://CANARY.test"})), "the token's issuer or algorithm is not accepted"),
        (why(json!({"sub": null})), "the token lacks one of exp, iss, aud and sub"),
        (why(json!({"exp": null})), "the token lacks one of exp, iss, aud and sub"),
        (why(json!({"iss": null})), "the token lacks one of exp, iss, aud and sub"),
        (why(json!({"sub": ""})), "the token's sub is empty or longer than 255 bytes"),
        (of_texts(r#"{"alg":"none"}"#, CLAIMS), "the token's algorithm is not accepted"),
        (of_texts(r#"{"alg":"HS256","typ":"CANARY\""}"#, CLAIMS), "the token is of another type"),
        (format!("{}AAAA", of_texts(HEADER, CLAIMS)), "the token's signature is not valid"),
        ("Bearer CANARY".to_owned(), "the token is malformed"),
    ] {
        let reply = ask(&gateway, &bearer).await;
        refuses(&reply);
        assert_eq!(reply.json()["detail"], told);
        let challenge = format!("Bearer realm=\"scrm-gateway\", error=\"invalid_token\", error_description=\"{told}\"");
        assert_eq!(reply.header("www-authenticate"), challenge);
        assert!(!reply.body.contains("CANARY"), "{}", reply.body);
    }
    gateway.stop().await;
}
