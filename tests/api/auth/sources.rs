//! Which sources a caller sees.

use serde_json::{Value, json};

use crate::support::{Gateway, GatewayOptions, JWT_SECRET, Token};

const CALLERS: &str = r#"
[callers.reporting]
issuer = "test"
subject = "reporting"
sources = ["juzibot"]
[callers.nothing]
issuer = "test"
subject = "nothing"
sources = []
[callers.everything]
issuer = "test"
subject = "everything"
sources = ["tanma", "juzibot"]
"#;

async fn gateway(default_sources: &str) -> Gateway {
    let other = format!(
        "[auth.issuers.other]\nissuer = \"https://other.test\"\naudience = [\"scrm-gateway\"]\n\
         algorithms = [\"HS256\"]\nsecret = \"{JWT_SECRET}\"\n"
    );
    Gateway::with(GatewayOptions {
        auth: format!("default_sources = \"{default_sources}\""),
        extra: format!("{CALLERS}{other}"),
        ..GatewayOptions::default()
    })
    .await
}

/// The sources that a caller's detail speaks of.
async fn seen(gateway: &Gateway, claims: &Value) -> Vec<String> {
    let id = gateway.sandbox.state().people().featured().external_user_id;
    let bearer = Token::with(claims).bearer();
    let reply = gateway.get_with(&format!("/v1/customers/{id}"), &[("authorization", &bearer)]).await;
    if reply.status == 422 {
        reply.problem(422, "not_offered");
        return Vec::new();
    }
    let body = reply.ok();
    let names: Vec<String> = body["meta"]["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|source| source["source"].as_str().unwrap().to_owned())
        .collect();
    for relation in body["data"]["relations"].as_array().unwrap() {
        assert!(names.iter().any(|name| relation["source"] == name.as_str()), "{relation}");
    }
    names
}

#[tokio::test]
async fn a_caller_sees_what_its_token_and_its_entry_both_allow() {
    let both = &["juzibot", "tanma"][..];
    let (first, second, none) = (&both[..1], &both[1..], &both[..0]);
    for (default, of_nobody) in [("all", both), ("none", none)] {
        let gateway = gateway(default).await;
        for (claims, expected) in [
            // Neither claim nor entry: the default.
            (json!({}), of_nobody),
            (json!({"sources": null}), of_nobody),
            // The claim alone.
            (json!({"sources": ["juzibot", "tanma"]}), both),
            (json!({"sources": ["tanma", "juzibot", "tanma"]}), both),
            (json!({"sources": ["tanma"]}), second),
            (json!({"sources": ["tanma", "nobody"]}), second),
            (json!({"sources": ["nobody"]}), none),
            (json!({"sources": []}), none),
            (json!({"sources": "tanma"}), second),
            (json!({"sources": " tanma  juzibot "}), both),
            (json!({"sources": "nobody"}), none),
            (json!({"sources": ""}), none),
            // The entry alone.
            (json!({"sub": "reporting"}), first),
            (json!({"sub": "nothing"}), none),
            (json!({"sub": "everything"}), both),
            // Both: the intersection.
            (json!({"sub": "reporting", "sources": ["juzibot", "tanma"]}), first),
            (json!({"sub": "reporting", "sources": ["tanma"]}), none),
            (json!({"sub": "nothing", "sources": ["juzibot"]}), none),
            (json!({"sub": "everything", "sources": ["tanma"]}), second),
            // An entry is of one issuer's caller.
            (json!({"iss": "https://other.test", "sub": "nothing"}), of_nobody),
            (json!({"iss": "https://other.test", "sub": "reporting", "sources": ["tanma"]}), second),
        ] {
            assert_eq!(seen(&gateway, &claims).await, expected, "{default} {claims}");
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_source_that_is_not_visible_is_as_one_that_is_not_there() {
    let gateway = gateway("all").await;
    let bearer = Token::with(&json!({"sources": ["juzibot"]})).bearer();
    let item = json!({"items": [{"staff_id": "s", "union_id": "o", "remark": "r", "content": "c"}]});
    let requests = [
        ("GET", "/v1/customers?staff_id=rocky&source=", None),
        ("GET", "/v1/customers?cursor=x&source=", None),
        ("GET", "/v1/customers/x?source=", None),
        ("GET", "/v1/customers/x?id_type=union_id&source=", None),
        ("POST", "/v1/remarks?source=", Some(json!({"items": [{"staff_id": "s", "union_id": "o", "remark": "r"}]}))),
        (
            "POST",
            "/v1/follow-ups?source=",
            Some(json!({"items": [{"staff_id": "s", "union_id": "o", "content": "c"}]})),
        ),
        // A body with faults.
        ("POST", "/v1/remarks?source=", Some(item)),
    ];
    for (method, path, body) in requests {
        let ask = async |source: &str| {
            let headers =
                [("authorization", bearer.as_str()), ("content-type", "application/json"), ("x-request-id", "same")];
            let body = body.as_ref().map(|body| body.to_string().into_bytes());
            let reply = gateway.send(method.parse().unwrap(), &format!("{path}{source}"), &headers, body).await;
            let mut headers = reply.headers.clone();
            for varying in ["date", "ratelimit", "server-timing"] {
                headers.remove(varying);
            }
            (reply.status, reply.body, headers)
        };
        let (hidden, absent) = (ask("tanma").await, ask("nobody").await);
        assert_eq!(hidden, absent, "{method} {path}");
        assert!(!hidden.1.contains("tanma"), "{}", hidden.1);
    }
    let problem = gateway
        .get_with("/v1/customers?source=tanma", &[("authorization", &bearer)])
        .await
        .problem(400, "invalid_request");
    let fault = &problem["errors"][0];
    assert_eq!((&fault["parameter"], &fault["code"]), (&json!("source"), &json!("not_visible")));
    assert!(fault["detail"].as_str().unwrap().contains("juzibot"), "the visible ones are listed");
    gateway.stop().await;
}
