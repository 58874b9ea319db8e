//! Issuers' keys in files: what is there is good, what is gone is not, also for tokens that were good a moment ago.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;

use super::{NEVER, SOON, SecretFile, until};
use crate::auth::keys::pem;
use crate::auth::publisher::{Pair, set};
use crate::support::{Gateway, GatewayOptions};

const PATH: &str = "/v1/me";
/// Callers that never stop asking.
const CALLERS: usize = 3;

/// A way to hold keys in a file, two keys, and the file's text with the first, both, and the second.
struct Kind {
    key: &'static str,
    algorithm: &'static str,
    pairs: [Pair; 2],
    texts: [String; 3],
    /// What cannot be used.
    unusable: Vec<String>,
}

fn secrets() -> Kind {
    let [one, two] = ["CANARY-one-0123456789abcdef0123456789", "CANARY-two-0123456789abcdef0123456789"];
    let pair = |secret: &str| Pair::of(None, Algorithm::HS256, EncodingKey::from_secret(secret.as_bytes()));
    Kind {
        key: "secret_file",
        algorithm: "HS256",
        pairs: [pair(one), pair(two)],
        texts: [one.to_owned(), format!("{two}\r\n\n{one}\n"), format!("{two}\n")],
        unusable: vec![String::new(), "\n".to_owned(), format!("{one}\nCANARY-short\n")],
    }
}

fn public_keys() -> Kind {
    let pair = |name: &str| {
        let key = EncodingKey::from_rsa_pem(&pem(&format!("{name}.private"))).unwrap();
        Pair::of(None, Algorithm::RS256, key)
    };
    let text = |name: &str| String::from_utf8(pem(&format!("{name}.public"))).unwrap();
    let (one, two) = (text("rsa"), text("rsa-other"));
    let private = String::from_utf8(pem("rsa-other.private")).unwrap();
    Kind {
        key: "public_key_file",
        algorithm: "RS256",
        pairs: [pair("rsa"), pair("rsa-other")],
        texts: [one.clone(), format!("the old one\n{one}\nthe new one\n{two}"), two.clone()],
        unusable: vec![
            String::new(),
            "CANARY".to_owned(),
            private,
            text("p256"),
            format!("{one}{}", text("p256")),
            format!("{one}{}", &two[..two.len() / 2]),
        ],
    }
}

fn jwk_sets() -> Kind {
    let pairs = [Pair::named("one"), Pair::named("two")];
    let text = |pairs: &[&Pair]| set(pairs).to_string();
    let [one, two] = &pairs;
    Kind {
        key: "jwks_file",
        algorithm: "ES256",
        texts: [text(&[one]), text(&[one, two]), text(&[two])],
        unusable: vec![String::new(), "CANARY".to_owned(), text(&[]), text(&[two]).replace("P-256", "P-384")],
        pairs,
    }
}

fn section(name: &str, kind: &Kind, file: &SecretFile) -> String {
    format!(
        "[auth.issuers.{name}]\nissuer = \"https://{name}.test\"\naudience = [\"scrm-gateway\"]\n\
         algorithms = [\"{}\"]\n{} = \"{}\"\n",
        kind.algorithm,
        kind.key,
        file.path().display()
    )
}

async fn status(gateway: &Gateway, bearer: &str) -> u16 {
    gateway.get_with(PATH, &[("authorization", bearer)]).await.status.as_u16()
}

#[tokio::test]
async fn no_good_token_is_refused_while_keys_change_and_none_is_good_without_its_key() {
    for kind in [secrets(), public_keys(), jwk_sets()] {
        let file = SecretFile::holding(&kind.texts[0]);
        let options = GatewayOptions {
            server: SOON.to_owned(),
            extra: section("rotating", &kind, &file),
            ..GatewayOptions::default()
        };
        let gateway = Gateway::with(options).await;
        let [old, new] = &kind.pairs;
        let (signing, asked, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let callers = join_all((0..CALLERS).map(async |_| {
            while !over.load(Ordering::SeqCst) {
                let n = asked.fetch_add(1, Ordering::SeqCst);
                let pair = &kind.pairs[signing.load(Ordering::SeqCst)];
                let token = pair.bearer_with("rotating", &json!({"jti": n}));
                for _ in 0..2 {
                    assert_eq!(status(&gateway, &token).await, 200, "{} {n}", kind.key);
                }
            }
        }));
        let operator = async {
            let kept = old.bearer("rotating");
            assert_eq!(status(&gateway, &kept).await, 200);
            assert_eq!(status(&gateway, &new.bearer("rotating")).await, 401);
            file.change(&kind.texts[1]);
            until(async || status(&gateway, &new.bearer("rotating")).await == 200).await;
            signing.store(1, Ordering::SeqCst);
            // No token of the old key is under way any longer.
            let wanted = asked.load(Ordering::SeqCst) + 3 * CALLERS;
            until(async || asked.load(Ordering::SeqCst) >= wanted).await;
            assert_eq!(status(&gateway, &kept).await, 200, "known as good");
            file.change(&kind.texts[2]);
            until(async || status(&gateway, &kept).await == 401).await;
            assert_eq!(status(&gateway, &old.bearer_with("rotating", &json!({"jti": "x"}))).await, 401);
            over.store(true, Ordering::SeqCst);
        };
        tokio::join!(callers, operator);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_leaves_the_keys_as_they_were() {
    for kind in [secrets(), public_keys(), jwk_sets()] {
        let file = SecretFile::holding(&kind.texts[1]);
        // Files are read in the order of the issuers: when a change of the last one is seen that came after one that was
        // seen, all files have been read in between.
        let beacon = jwk_sets();
        let last = SecretFile::holding(&beacon.texts[0]);
        let extra = section("a-first", &kind, &file) + &section("z-last", &beacon, &last);
        let options = GatewayOptions { server: SOON.to_owned(), extra, ..GatewayOptions::default() };
        let gateway = Gateway::with(options).await;
        for unusable in &kind.unusable {
            file.change(unusable);
            for turn in [2, 0] {
                last.change(&beacon.texts[turn]);
                let bearer = beacon.pairs[usize::from(turn == 2)].bearer("z-last");
                until(async || status(&gateway, &bearer).await == 200).await;
            }
            for pair in &kind.pairs {
                assert_eq!(status(&gateway, &pair.bearer("a-first")).await, 200, "{} {unusable}", kind.key);
            }
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_token_of_a_key_that_is_not_there_has_the_file_read_again() {
    for kind in [secrets(), public_keys(), jwk_sets()] {
        let file = SecretFile::holding(&kind.texts[0]);
        let options = GatewayOptions {
            server: "reread_files = \"1h\"".to_owned(),
            extra: section("asked", &kind, &file),
            ..GatewayOptions::default()
        };
        let gateway = Gateway::with(options).await;
        let [old, new] = &kind.pairs;
        assert_eq!(status(&gateway, &old.bearer("asked")).await, 200);
        file.change(&kind.texts[2]);
        assert_eq!(status(&gateway, &new.bearer("asked")).await, 200, "{}", kind.key);
        assert_eq!(status(&gateway, &old.bearer("asked")).await, 401, "{}", kind.key);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn unknown_key_does_not_delay_the_next_rotation_of_a_file() {
    for kind in [secrets(), public_keys(), jwk_sets()] {
        let file = SecretFile::holding(&kind.texts[0]);
        let extra = section("attacked", &kind, &file);
        let options = GatewayOptions { server: NEVER.to_owned(), extra, ..GatewayOptions::default() };
        let gateway = Gateway::with(options).await;
        let [old, new] = &kind.pairs;
        for turn in [2, 0, 2] {
            // It has the file read just before the change.
            let unknown = if turn == 2 { new } else { old };
            assert_eq!(status(&gateway, &unknown.bearer("attacked")).await, 401, "{}", kind.key);
            file.change(&kind.texts[turn]);
            assert_eq!(status(&gateway, &unknown.bearer("attacked")).await, 200, "{}", kind.key);
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn unknown_key_is_503_while_the_file_cannot_be_used() {
    let kind = jwk_sets();
    let file = SecretFile::holding(&kind.texts[0]);
    let extra = section("damaged", &kind, &file);
    let gateway = Gateway::with(GatewayOptions { server: NEVER.to_owned(), extra, ..GatewayOptions::default() }).await;
    let [known, unknown] = kind.pairs.each_ref().map(|pair| pair.bearer("damaged"));
    file.change("CANARY");
    let problem = gateway.get_with(PATH, &[("authorization", &unknown)]).await;
    problem.problem(503, "issuer_unavailable");
    assert_eq!(problem.header("retry-after"), "1");
    assert_eq!(status(&gateway, &known).await, 200);
    file.change(&kind.texts[0]);
    assert_eq!(status(&gateway, &unknown).await, 401);
    gateway.stop().await;
}
