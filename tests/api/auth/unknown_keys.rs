//! Tokens that name a key which the issuer's set does not have: made up, or of a key that was rotated in a moment ago.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::publisher::{Pair, Publisher};
use super::{ask, refuses};
use crate::support::{Gateway, GatewayOptions};

/// Nothing is fetched but for tokens.
const DEFAULT: &str = "jwks_refresh = \"24h\"";
const COOL_DOWN: Duration = Duration::from_secs(30);
/// Fetches in a minute without a pause.
const BUDGET: usize = 6;
const NOW: Duration = Duration::ZERO;

async fn gateway(host: &Publisher) -> Gateway {
    Gateway::with(GatewayOptions { extra: host.section("login", DEFAULT), ..GatewayOptions::default() }).await
}

/// Tokens of one key under ever other names.
struct MadeUp(Pair);

impl MadeUp {
    fn new() -> Self {
        Self(Pair::named("made-up"))
    }

    fn bearer(&self, number: usize) -> String {
        Pair { kid: Some(format!("made-up-{number}")), ..self.0.clone() }.bearer("login")
    }
}

/// Lets time pass without waiting.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn unknown_key_every_cool_down_costs_rotated_key_no_refusal() {
    let first = Pair::named("0");
    let host = Publisher::of(&[&first]).await;
    let (gateway, made_up) = (gateway(&host).await, MadeUp::new());
    let mut old = first;
    for number in 1..=10 {
        // Just before the rotation, which is the worst moment.
        refuses(&ask(&gateway, &made_up.bearer(number)).await);
        let new = Pair::named(&number.to_string());
        host.publish(&[&old, &new], NOW);
        ask(&gateway, &new.bearer("login")).await.ok();
        old = new;
        pass(COOL_DOWN).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn thousand_unknown_keys_cost_the_budget_and_are_503_beyond_it() {
    let (old, new) = (Pair::named("old"), Pair::named("new"));
    let host = Publisher::of(&[&old]).await;
    let (gateway, made_up) = (gateway(&host).await, MadeUp::new());
    ask(&gateway, &old.bearer("login")).await.ok();
    for number in 0..BUDGET {
        refuses(&ask(&gateway, &made_up.bearer(number)).await);
    }
    assert_eq!(host.fetches().await, 1 + BUDGET);
    host.publish(&[&old, &new], NOW);
    let mut statuses = BTreeMap::new();
    for first in (BUDGET..1_000).step_by(25) {
        let bearers: Vec<String> = (first..first + 25).map(|number| made_up.bearer(number)).collect();
        for reply in join_all(bearers.iter().map(|bearer| ask(&gateway, bearer))).await {
            reply.problem(503, "issuer_unavailable");
            *statuses.entry(reply.status.as_u16()).or_insert(0) += 1;
        }
        ask(&gateway, &old.bearer_with("login", &json!({"jti": first}))).await.ok();
    }
    assert_eq!(statuses.len(), 1, "{statuses:?}");
    assert_eq!(host.fetches().await, 1 + BUDGET);
    // A token of a new key is not called bad either, and the time that it is told to wait is enough.
    let reply = ask(&gateway, &new.bearer("login")).await;
    reply.problem(503, "issuer_unavailable");
    let wait: u64 = reply.header("retry-after").parse().unwrap();
    assert!(wait <= COOL_DOWN.as_secs(), "{wait}");
    pass(Duration::from_secs(wait)).await;
    ask(&gateway, &new.bearer("login")).await.ok();
    assert_eq!(host.fetches().await, 2 + BUDGET);
    gateway.stop().await;
}

#[tokio::test]
async fn token_that_arrives_during_a_fetch_gets_the_next_one() {
    let (old, new) = (Pair::named("old"), Pair::named("new"));
    let host = Publisher::of(&[&old]).await;
    let (gateway, made_up) = (gateway(&host).await, MadeUp::new());
    ask(&gateway, &old.bearer("login")).await.ok();
    host.publish(&[&old], Duration::from_millis(300));
    let first = made_up.bearer(0);
    let rotation = async {
        host.requested(2).await;
        // The fetch that is under way does not bring it.
        host.publish(&[&old, &new], NOW);
        let tokens: Vec<String> = (0..10).map(|n| new.bearer_with("login", &json!({"jti": n}))).collect();
        for reply in join_all(tokens.iter().map(|token| ask(&gateway, token))).await {
            reply.ok();
        }
    };
    let (unknown, ()) = tokio::join!(ask(&gateway, &first), rotation);
    refuses(&unknown);
    assert_eq!(host.fetches().await, 3, "one for all who came during the first");
    gateway.stop().await;
}

#[tokio::test]
async fn known_key_with_foreign_signature_causes_no_fetch() {
    let (known, made_up) = (Pair::named("known"), MadeUp::new());
    let host = Publisher::of(&[&known]).await;
    let gateway = gateway(&host).await;
    ask(&gateway, &known.bearer("login")).await.ok();
    for _ in 0..2 * BUDGET {
        refuses(&ask(&gateway, &Pair { kid: known.kid.clone(), ..made_up.0.clone() }.bearer("login")).await);
        refuses(&ask(&gateway, &made_up.0.bearer("nobody")).await);
    }
    assert_eq!(host.fetches().await, 1);
    // A token that names no key counts like one with an unknown name.
    for _ in 0..BUDGET {
        refuses(&ask(&gateway, &Pair { kid: None, ..made_up.0.clone() }.bearer("login")).await);
    }
    ask(&gateway, &Pair { kid: None, ..made_up.0.clone() }.bearer("login")).await.problem(503, "issuer_unavailable");
    assert_eq!(host.fetches().await, 1 + BUDGET);
    gateway.stop().await;
}
