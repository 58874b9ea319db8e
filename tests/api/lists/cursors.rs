//! What a cursor is good for, and what it is not.

use serde_json::json;

use super::{gateway, in_juzibot, next, page};
use crate::support::{Gateway, GatewayOptions, JWT_SECRET, Token};

const LIST: &str = "source=juzibot&staff_id=rocky";

async fn cursor_of(gateway: &Gateway) -> String {
    next(&page(gateway, LIST, 5, None).await).unwrap()
}

#[tokio::test]
async fn a_cursor_is_bound_to_what_was_asked_and_by_whom() {
    let mut options = GatewayOptions {
        extra: format!(
            "[auth.issuers.other]\nissuer = \"https://other.test\"\naudience = [\"scrm-gateway\"]\n\
             algorithms = [\"HS256\"]\nsecret = \"{JWT_SECRET}\"\n"
        ),
        ..GatewayOptions::default()
    };
    options.sandbox.customers = 200;
    let gateway = Gateway::with(options).await;
    let cursor = cursor_of(&gateway).await;
    for other in [
        "source=juzibot",
        "source=juzibot&staff_id=zhangsan",
        "source=juzibot&staff_id=rocky&include=raw",
        "source=tanma&staff_id=rocky",
    ] {
        let reply = gateway.get(&format!("/v1/customers?{other}&cursor={cursor}")).await;
        reply.problem(400, "cursor_invalid");
    }
    let path = format!("/v1/customers?{LIST}&cursor={cursor}");
    for other in [json!({"sub": "another"}), json!({"iss": "https://other.test"}), json!({"sub": "tester "})] {
        let bearer = Token::with(&other).bearer();
        let reply = gateway.get_with(&path, &[("authorization", &bearer)]).await;
        reply.problem(400, "cursor_invalid");
    }
    // The same caller with another token, and another limit.
    let later = Token::with(&json!({"exp": 4_102_444_801_i64})).bearer();
    gateway.get_with(&path, &[("authorization", &later)]).await.ok();
    gateway.get(&format!("{path}&limit=3")).await.ok();
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_no_cursor_of_ours_is_refused() {
    let gateway = gateway(200).await;
    let stranger = super::gateway(200).await;
    let cursor = cursor_of(&gateway).await;
    assert!(
        cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')),
        "it needs no escaping in a query: {cursor}"
    );
    assert!(!cursor.contains("rocky"));
    let flipped = |at: usize| {
        let mut bytes = cursor.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let end = cursor.len();
    let forged = [
        String::new(),
        "1".to_owned(),
        "eyJwIjoxfQ".to_owned(),
        "%00".to_owned(),
        "%E6%B8%B8%E6%A0%87".to_owned(),
        format!("{cursor}A"),
        format!("{cursor}%3D%3D"),
        format!("%20{cursor}"),
        cursor[..end - 1].to_owned(),
        cursor[1..].to_owned(),
        cursor[..end / 2].to_owned(),
        flipped(0),
        flipped(1),
        flipped(end / 2),
        flipped(end - 2),
        "A".repeat(5_000),
        // Of a gateway with another key.
        cursor_of(&stranger).await,
    ];
    for text in forged {
        let reply = gateway.get(&format!("/v1/customers?{LIST}&cursor={text}")).await;
        let problem = reply.problem(400, "cursor_invalid");
        assert_eq!(problem["retryable"], false, "{text}");
        assert_eq!(problem["errors"][0]["parameter"], "cursor", "{text}");
    }
    gateway.get(&format!("/v1/customers?{LIST}&cursor={cursor}")).await.ok();
    gateway.stop().await;
    stranger.stop().await;
}

#[tokio::test]
async fn a_cursor_that_has_expired_says_so() {
    let mut options =
        GatewayOptions { extra: "[cursor]\nlifetime = \"1ms\"\n".to_owned(), ..GatewayOptions::default() };
    options.sandbox.customers = 200;
    let gateway = Gateway::with(options).await;
    let cursor = cursor_of(&gateway).await;
    let reply = gateway.get(&format!("/v1/customers?{LIST}&cursor={cursor}")).await;
    let problem = reply.problem(400, "cursor_invalid");
    assert!(problem["detail"].as_str().unwrap().contains("expired"), "{problem}");
    assert_eq!(problem["errors"][0]["code"], "expired");
    gateway.stop().await;
}

#[tokio::test]
async fn after_a_rotation_of_keys_old_cursors_open_as_long_as_the_old_key_is_listed() {
    let (old, new) = ("CANARY-old-cursor-key-0123456789abcdef", "CANARY-new-cursor-key-0123456789abcdef");
    let folder = tempfile::tempdir().unwrap();
    let with_keys = async |name: &str, keys: &[&str]| {
        let file = folder.path().join(name);
        std::fs::write(&file, format!("{}\n", keys.join("\n"))).unwrap();
        let mut options = GatewayOptions {
            extra: format!("[cursor]\nkey_file = \"{}\"\n", file.display()),
            ..GatewayOptions::default()
        };
        options.sandbox.customers = 200;
        Gateway::with(options).await
    };
    let before = with_keys("before", &[old]).await;
    let rotated = with_keys("rotated", &[new, old]).await;
    let after = with_keys("after", &[new]).await;
    let of = |cursor: &str| format!("/v1/customers?{LIST}&limit=5&cursor={cursor}");
    let old_cursor = cursor_of(&before).await;
    let expected = &in_juzibot(before.sandbox.state(), Some("rocky"))[5..10];
    // Replicas with the same key take each other's cursors.
    assert_eq!(super::ids(&rotated.get(&of(&old_cursor)).await.ok()), expected);
    after.get(&of(&old_cursor)).await.problem(400, "cursor_invalid");
    let new_cursor = cursor_of(&rotated).await;
    assert_eq!(super::ids(&after.get(&of(&new_cursor)).await.ok()), expected);
    before.get(&of(&new_cursor)).await.problem(400, "cursor_invalid");
    for gateway in [before, rotated, after] {
        gateway.stop().await;
    }
}
