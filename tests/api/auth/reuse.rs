//! A token that was found good is not checked again within its life, and not believed beyond it.

use std::time::Duration;

use serde_json::json;

use super::publisher::until;
use super::{ask, refuses};
use crate::support::{Gateway, GatewayOptions, JWT_SECRET, Token};

/// A gateway whose issuer of this name is no other test's: the numbers are those of the whole process.
async fn gateway(issuer: &str) -> Gateway {
    let section = format!(
        "[auth.issuers.{issuer}]\nissuer = \"https://{issuer}.test\"\naudience = [\"scrm-gateway\"]\n\
         algorithms = [\"HS256\"]\nsecret = \"{JWT_SECRET}\"\n"
    );
    Gateway::with(GatewayOptions { auth: "leeway = \"0s\"".to_owned(), extra: section, ..GatewayOptions::default() })
        .await
}

/// How many tokens were found good by their signature, and how many because they were known.
async fn counted(gateway: &Gateway, issuer: &str) -> (u64, u64) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let text = client.get(format!("{}/metrics", gateway.admin_url())).send().await.unwrap().text().await.unwrap();
    let of = |by: &str| {
        let line = text.lines().find(|line| {
            line.starts_with("good_tokens_total{")
                && line.contains(&format!("issuer=\"{issuer}\""))
                && line.contains(&format!("by=\"{by}\""))
        });
        line.map_or(0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
    };
    (of("signature"), of("reuse"))
}

#[tokio::test]
async fn the_signature_of_a_good_token_is_checked_once() {
    let gateway = gateway("counted").await;
    let of = |sub: &str| Token::with(&json!({"iss": "https://counted.test", "sub": sub})).bearer();
    for _ in 0..5 {
        ask(&gateway, &of("one")).await.ok();
    }
    assert_eq!(counted(&gateway, "counted").await, (1, 4));
    // Each token is itself: the caller of one is never that of another.
    for sub in ["one", "two", "one", "two"] {
        let me = gateway.get_with("/v1/me", &[("authorization", &of(sub))]).await.ok();
        assert_eq!(me["data"]["subject"], sub);
    }
    assert_eq!(counted(&gateway, "counted").await, (2, 7));
    // What is not the same to the letter is another one.
    let good = of("one");
    let changed = format!("{}{}", &good[..good.len() - 2], if good.ends_with("AA") { "BA" } else { "AA" });
    for _ in 0..2 {
        refuses(&ask(&gateway, &changed).await);
        refuses(&ask(&gateway, &format!("{good}A")).await);
    }
    assert_eq!(counted(&gateway, "counted").await, (2, 7));
    gateway.stop().await;
}

#[tokio::test]
async fn a_known_token_ends_with_its_life() {
    let gateway = gateway("ending").await;
    let exp = jiff::Timestamp::now().as_second() + 5;
    let bearer = Token::with(&json!({"iss": "https://ending.test", "exp": exp})).bearer();
    ask(&gateway, &bearer).await.ok();
    ask(&gateway, &bearer).await.ok();
    assert_eq!(counted(&gateway, "ending").await, (1, 1));
    let reply = tokio::time::timeout(Duration::from_secs(15), until(&gateway, &bearer, 401)).await.unwrap();
    refuses(&reply);
    assert_eq!(reply.json()["detail"], "the token has expired");
    assert!(jiff::Timestamp::now().as_second() > exp, "not before its time");
    assert_eq!(counted(&gateway, "ending").await.0, 1);
    gateway.stop().await;
}
