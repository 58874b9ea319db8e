//! Keys at a URL.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use tokio::time::Instant;
use wiremock::ResponseTemplate;

use super::publisher::{Pair, Publisher, set, until};
use super::{ask, refuses};
use crate::support::{Gateway, GatewayOptions, Token};

/// Nothing happens by itself, and tokens with unknown keys cause six fetches a minute.
const ONCE: &str = "jwks_refresh = \"24h\"\njwks_cool_down = \"10m\"";
/// As often as the configuration allows.
const OFTEN: &str = "jwks_refresh = \"1s\"\njwks_cool_down = \"1s\"";
const NOW: Duration = Duration::ZERO;

async fn gateway(sections: &[String]) -> Gateway {
    Gateway::with(GatewayOptions { extra: sections.concat(), ..GatewayOptions::default() }).await
}

#[tokio::test]
async fn each_issuer_is_vouched_for_by_its_own_keys() {
    // The same name for different keys: names are of one issuer.
    let (first, second) = (Pair::named("1"), Pair::named("1"));
    let (at_first, at_second) = (Publisher::of(&[&first]).await, Publisher::of(&[&second]).await);
    let gateway = gateway(&[at_first.section("first", ONCE), at_second.section("second", ONCE)]).await;
    for _ in 0..2 {
        ask(&gateway, &first.bearer("first")).await.ok();
        ask(&gateway, &second.bearer("second")).await.ok();
        ask(&gateway, &Token::default().bearer()).await.ok();
        for other in ["second", "login"] {
            refuses(&ask(&gateway, &first.bearer(other)).await);
        }
        refuses(&ask(&gateway, &second.bearer("first")).await);
    }
    // Their names are known: there was no reason to fetch them again.
    assert_eq!((at_first.fetches().await, at_second.fetches().await), (1, 1));
    gateway.stop().await;
}

#[tokio::test]
async fn keys_that_are_fetched_in_clear_from_this_machine_do_not_come_through_the_proxy() {
    let (key, forged) = (Pair::named("1"), Pair::named("1"));
    let (host, proxy) = (Publisher::of(&[&key]).await, Publisher::of(&[&forged]).await);
    let outbound = format!("[outbound]\nproxy = \"{}\"\n", proxy.url());
    let gateway = gateway(&[host.section("local", ONCE), outbound]).await;
    ask(&gateway, &key.bearer("local")).await.ok();
    refuses(&ask(&gateway, &forged.bearer("local")).await);
    assert_eq!(proxy.fetches().await, 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_new_key_is_fetched_once_for_all_who_come_with_it() {
    let (old, new) = (Pair::named("old"), Pair::named("new"));
    let host = Publisher::of(&[&old]).await;
    let gateway = gateway(&[host.section("rotating", ONCE)]).await;
    ask(&gateway, &old.bearer("rotating")).await.ok();
    // Slow enough for all to come while it is under way.
    host.publish(&[&old, &new], Duration::from_millis(300));
    let tokens: Vec<_> = (0..20).map(|n| new.bearer_with("rotating", &json!({"jti": n}))).collect();
    for reply in join_all(tokens.iter().map(|token| ask(&gateway, token))).await {
        reply.ok();
    }
    assert_eq!(host.fetches().await, 2);
    gateway.stop().await;
}

#[tokio::test]
async fn no_good_token_is_refused_while_keys_change_under_load() {
    const CALLERS: usize = 4;
    const ROTATIONS: usize = 3;
    let pairs: Vec<Pair> = (0..=ROTATIONS).map(|n| Pair::named(&format!("key-{n}"))).collect();
    let host = Publisher::of(&[&pairs[0]]).await;
    let gateway = gateway(&[host.section("rotating", OFTEN)]).await;
    let (signing, asked, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let callers = join_all((0..CALLERS).map(async |caller| {
        while !over.load(Ordering::SeqCst) {
            let n = asked.fetch_add(1, Ordering::SeqCst);
            // A new token each time, and the same one twice.
            let claims = json!({"jti": n, "sub": format!("caller-{caller}")});
            let token = pairs[signing.load(Ordering::SeqCst)].bearer_with("rotating", &claims);
            ask(&gateway, &token).await.ok();
            ask(&gateway, &token).await.ok();
        }
    }));
    let a_while = async || {
        let wanted = asked.load(Ordering::SeqCst) + 5 * CALLERS;
        while asked.load(Ordering::SeqCst) < wanted {
            tokio::task::yield_now().await;
        }
    };
    let issuer = async {
        for next in 1..=ROTATIONS {
            a_while().await;
            let (old, new) = (&pairs[next - 1], &pairs[next]);
            // Both are there before the new one signs, and until the old one's tokens have ended.
            host.publish(&[old, new], NOW);
            signing.store(next, Ordering::SeqCst);
            a_while().await;
            let known = old.bearer("rotating");
            ask(&gateway, &known).await.ok();
            host.publish(&[new], NOW);
            // What was good is not for longer than the key is there, though it was found good before.
            refuses(&until(&gateway, &known, 401).await);
        }
        over.store(true, Ordering::SeqCst);
    };
    tokio::join!(callers, issuer);
    gateway.stop().await;
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn keys_are_kept_while_their_host_is_down_or_talks_nonsense() {
    let (good, new) = (Pair::named("good"), Pair::named("new"));
    let elsewhere = Publisher::of(&[&new]).await;
    let json = |value| ResponseTemplate::new(200).set_body_json(value);
    let secret = json!({"kty": "oct", "kid": "new", "k": "Q0FOQVJZ", "alg": "HS256"});
    let many: Vec<_> = (0..100).map(|n| Pair { kid: Some(n.to_string()), ..new.clone() }.jwk()).collect();
    let padding = "x".repeat(300 << 10);
    let nonsense = [
        ResponseTemplate::new(500),
        ResponseTemplate::new(204),
        ResponseTemplate::new(404).set_body_json(set(&[&new])),
        ResponseTemplate::new(302).insert_header("location", elsewhere.url()),
        ResponseTemplate::new(200).set_body_string("<html>CANARY</html>"),
        ResponseTemplate::new(200).set_body_string(set(&[&new]).to_string().trim_end_matches('}')),
        json(json!({"keys": []})),
        json(json!({"keys": {}})),
        json(json!([new.jwk()])),
        json(json!({"keys": [secret]})),
        json(json!({"keys": many})),
        json(json!({"keys": [new.jwk()], "padding": padding})),
        ResponseTemplate::new(200)
            .insert_header("content-encoding", "gzip")
            .set_body_bytes(gzipped(json!({"keys": [new.jwk()], "padding": padding}).to_string().as_bytes())),
    ];
    for (n, answer) in nonsense.into_iter().enumerate() {
        let host = Publisher::of(&[&good]).await;
        let gateway = gateway(&[host.section("kept", ONCE)]).await;
        ask(&gateway, &good.bearer("kept")).await.ok();
        host.answer(answer);
        // Whether it is of a new key cannot be told; within the second nobody looks again.
        let unknown = ask(&gateway, &new.bearer("kept")).await;
        unknown.problem(503, "issuer_unavailable");
        assert_eq!(unknown.header("retry-after"), "1", "{n}");
        assert_eq!(host.fetches().await, 2, "{n}");
        ask(&gateway, &good.bearer("kept")).await.ok();
        ask(&gateway, &good.bearer_with("kept", &json!({"jti": "another"}))).await.ok();
        gateway.stop().await;
    }
    assert_eq!(elsewhere.fetches().await, 0, "nobody configured it");
}

#[tokio::test]
async fn a_new_key_is_taken_once_its_host_is_back_whatever_the_cool_down() {
    let (old, new) = (Pair::named("old"), Pair::named("new"));
    let host = Publisher::of(&[&old]).await;
    let gateway = gateway(&[host.section("back", ONCE)]).await;
    ask(&gateway, &old.bearer("back")).await.ok();
    host.answer(ResponseTemplate::new(500));
    ask(&gateway, &new.bearer("back")).await.problem(503, "issuer_unavailable");
    host.publish(&[&old, &new], NOW);
    until(&gateway, &new.bearer("back"), 200).await.ok();
    gateway.stop().await;
}

#[tokio::test]
async fn those_who_wait_for_keys_leave_room_for_the_callers_of_other_issuers() {
    let pair = Pair::named("never");
    let host = Publisher::answering(ResponseTemplate::new(200).set_delay(Duration::from_mins(5))).await;
    let options = GatewayOptions {
        server: "max_in_flight = 60".to_owned(),
        extra: host.section("hanging", ONCE),
        ..GatewayOptions::default()
    };
    let gateway = Gateway::with(options).await;
    let bearer = pair.bearer("hanging");
    let mut asked: FuturesUnordered<_> = (0..60).map(|_| ask(&gateway, &bearer)).collect();
    // 32 wait for the keys.
    for _ in 0..28 {
        asked.next().await.unwrap().problem(503, "issuer_unavailable");
    }
    for _ in 0..10 {
        ask(&gateway, &Token::default().bearer()).await.ok();
    }
    drop(asked);
    gateway.stop().await;
}

#[tokio::test]
async fn of_two_issuers_with_one_name_the_keys_at_hand_come_first() {
    let pair = Pair::named("there");
    let hanging = Publisher::answering(ResponseTemplate::new(200).set_delay(Duration::from_mins(5))).await;
    let host = Publisher::of(&[&pair]).await;
    let same = hanging.section("a", ONCE).replace("https://a.test", "https://b.test");
    let gateway = gateway(&[same, host.section("b", ONCE)]).await;
    until(&gateway, &pair.bearer("b"), 200).await.ok();
    for n in 0..3 {
        let bearer = pair.bearer_with("b", &json!({"jti": n}));
        gateway.get_with("/v1/me", &[("authorization", &bearer), ("prefer", "wait=1")]).await.ok();
    }
    gateway.stop().await;
}

#[tokio::test]
async fn tokens_wait_for_keys_that_were_never_there_and_are_not_called_bad() {
    let pair = Pair::named("late");
    let host = Publisher::answering(ResponseTemplate::new(500)).await;
    let gateway = gateway(&[host.section("late", OFTEN)]).await;
    let problem = ask(&gateway, &pair.bearer("late")).await.problem(503, "issuer_unavailable");
    assert_eq!(problem["retryable"], true);
    // What is bad whatever the keys are is told so, and other issuers are not concerned.
    refuses(&ask(&gateway, &pair.bearer("nobody")).await);
    ask(&gateway, &Token::default().bearer()).await.ok();
    host.publish(&[&pair], NOW);
    until(&gateway, &pair.bearer("late"), 200).await.ok();
    gateway.stop().await;
}

#[tokio::test]
async fn a_host_that_hangs_delays_neither_the_start_nor_other_issuers() {
    let pair = Pair::named("never");
    let host = Publisher::answering(ResponseTemplate::new(200).set_delay(Duration::from_mins(5))).await;
    let begun = Instant::now();
    let gateway = gateway(&[host.section("hanging", ONCE)]).await;
    ask(&gateway, &Token::default().bearer()).await.ok();
    assert!(begun.elapsed() < Duration::from_secs(5));
    let bearer = pair.bearer("hanging");
    // Nobody waits longer than they said.
    let impatient = [("authorization", bearer.as_str()), ("prefer", "wait=1")];
    gateway.get_with("/v1/me", &impatient).await.problem(503, "issuer_unavailable");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let asked = (0..10).map(|_| ask(&gateway, &bearer));
    for reply in join_all(asked).await {
        reply.problem(503, "issuer_unavailable");
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_without_a_name_and_one_of_several_with_the_same_name_vouch_too() {
    let (nameless, one, two) = (Pair { kid: None, ..Pair::named("") }, Pair::named("same"), Pair::named("same"));
    let host = Publisher::of(&[&nameless, &one, &two]).await;
    let gateway = gateway(&[host.section("loose", ONCE)]).await;
    for pair in [&nameless, &one, &two] {
        ask(&gateway, &pair.bearer("loose")).await.ok();
        // A token need not name its key.
        ask(&gateway, &Pair { kid: None, ..pair.clone() }.bearer("loose")).await.ok();
    }
    ask(&gateway, &Pair { kid: Some("any".to_owned()), ..nameless }.bearer("loose")).await.ok();
    assert_eq!(host.fetches().await, 1);
    // A name that is another key's is no name of this one.
    refuses(&ask(&gateway, &Pair { kid: Some("other".to_owned()), ..one }.bearer("loose")).await);
    gateway.stop().await;
}

#[tokio::test]
async fn a_new_key_is_looked_for_too_where_neither_it_nor_the_token_has_a_name() {
    let [old, new] = [(); 2].map(|()| Pair { kid: None, ..Pair::named("") });
    let host = Publisher::of(&[&old]).await;
    let gateway = gateway(&[host.section("nameless", ONCE)]).await;
    ask(&gateway, &old.bearer("nameless")).await.ok();
    host.publish(&[&new], NOW);
    // What is wrong with the claims of a token that a key has signed is no reason.
    refuses(&ask(&gateway, &old.bearer_with("nameless", &json!({"aud": "someone-else"}))).await);
    assert_eq!(host.fetches().await, 1);
    ask(&gateway, &new.bearer("nameless")).await.ok();
    // It is bad only by keys that were fetched after it arrived.
    refuses(&ask(&gateway, &old.bearer("nameless")).await);
    assert_eq!(host.fetches().await, 3);
    gateway.stop().await;
}
