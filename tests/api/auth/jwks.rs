//! What a JWK set may hold, and where it may be.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use scrm_gateway::config::Config;
use serde_json::{Value, json};

use super::keys::pem;
use super::publisher::Pair;
use super::{ask, refuses};
use crate::support::{Gateway, GatewayOptions, JWT_SECRET};

const ALL: &str = r#"["RS256", "PS256", "ES256", "ES384", "EdDSA"]"#;

fn pairs() -> [Pair; 5] {
    let rsa = EncodingKey::from_rsa_pem(&pem("rsa.private")).unwrap();
    [
        Pair::of(Some("rs"), Algorithm::RS256, rsa.clone()),
        Pair::of(Some("ps"), Algorithm::PS256, rsa),
        Pair::of(Some("p256"), Algorithm::ES256, EncodingKey::from_ec_pem(&pem("p256.private")).unwrap()),
        Pair::of(Some("p384"), Algorithm::ES384, EncodingKey::from_ec_pem(&pem("p384.private")).unwrap()),
        Pair::of(Some("ed"), Algorithm::EdDSA, EncodingKey::from_ed_pem(&pem("ed25519.private")).unwrap()),
    ]
}

/// A file with this set, and the section of an issuer that has it.
fn section(folder: &tempfile::TempDir, algorithms: &str, keys: &[Value]) -> String {
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, json!({"keys": keys}).to_string()).unwrap();
    format!(
        "[auth.issuers.file]\nissuer = \"https://file.test\"\naudience = [\"scrm-gateway\"]\n\
         algorithms = {algorithms}\njwks_file = \"{}\"\n",
        file.display()
    )
}

/// Without a source no configuration is valid.
const SOURCE: &str = "[sources.juzibot]\nkind = \"juzibot\"\nbase_url = \"https://hub.test\"\ntoken = \"x\"\n";

async fn gateway(algorithms: &str, keys: &[Value]) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    Gateway::with(GatewayOptions { extra: section(&folder, algorithms, keys), ..GatewayOptions::default() }).await
}

/// The set is of no use: the start says so.
#[track_caller]
fn useless(algorithms: &str, keys: &[Value]) {
    let folder = tempfile::tempdir().unwrap();
    let error = Config::from_toml(&section(&folder, algorithms, keys)).expect_err("no key of use").to_string();
    assert!(error.starts_with("auth.issuers.file.jwks_file") && error.contains("expected a JWK set"), "{error}");
    assert!(!error.contains("CANARY") && !error.contains("kty"), "{error}");
}

fn changed(jwk: &Value, changes: &Value) -> Value {
    let mut jwk = jwk.clone();
    for (name, value) in changes.as_object().unwrap() {
        jwk[name] = value.clone();
    }
    jwk
}

#[tokio::test]
async fn keys_of_every_kind_vouch_each_with_its_own_algorithm() {
    let pairs = pairs();
    let keys: Vec<Value> = pairs.iter().map(Pair::jwk).collect();
    let gateway = gateway(ALL, &keys).await;
    for pair in &pairs {
        ask(&gateway, &pair.bearer("file")).await.ok();
        for other in &pairs {
            let other = Pair { kid: other.kid.clone(), ..pair.clone() };
            let reply = ask(&gateway, &other.bearer("file")).await;
            if other.kid == pair.kid {
                reply.ok();
            } else {
                refuses(&reply);
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_that_names_its_algorithm_is_taken_with_no_other() {
    let [rs, ps, ..] = pairs();
    let gateway = gateway(ALL, &[rs.jwk()]).await;
    ask(&gateway, &rs.bearer("file")).await.ok();
    refuses(&ask(&gateway, &Pair { kid: rs.kid.clone(), ..ps.clone() }.bearer("file")).await);
    gateway.stop().await;
    let mut open = rs.jwk();
    open.as_object_mut().unwrap().remove("alg");
    let gateway = self::gateway(ALL, &[open]).await;
    ask(&gateway, &rs.bearer("file")).await.ok();
    ask(&gateway, &Pair { kid: rs.kid.clone(), ..ps }.bearer("file")).await.ok();
    gateway.stop().await;
}

#[test]
fn what_is_no_key_for_verifying_is_passed_over() {
    let [rs, _, p256, p384, ed] = pairs().map(|pair| pair.jwk());
    let bytes = |length: usize| URL_SAFE_NO_PAD.encode(vec![0xFF; length]);
    let unusable = [
        // Secrets, and what would make a public key one.
        json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(JWT_SECRET), "alg": "HS256"}),
        json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(JWT_SECRET)}),
        changed(&rs, &json!({"alg": "HS256"})),
        changed(&rs, &json!({"d": "CANARY"})),
        changed(&ed, &json!({"d": "CANARY"})),
        // For something else.
        changed(&rs, &json!({"use": "enc"})),
        changed(&rs, &json!({"use": "CANARY"})),
        changed(&rs, &json!({"key_ops": ["sign", "encrypt"]})),
        changed(&rs, &json!({"key_ops": []})),
        changed(&rs, &json!({"alg": "RSA-OAEP"})),
        changed(&rs, &json!({"alg": "none"})),
        changed(&rs, &json!({"alg": "RS512"})),
        // Kind, curve and algorithm that do not fit each other.
        changed(&rs, &json!({"alg": "ES256"})),
        changed(&p256, &json!({"alg": "ES384"})),
        changed(&p256, &json!({"crv": "P-384", "alg": "ES384"})),
        changed(&p384, &json!({"crv": "P-256", "alg": "ES256"})),
        changed(&p256, &json!({"crv": "P-521"})),
        changed(&p256, &json!({"crv": "secp256k1"})),
        changed(&p256, &json!({"crv": "Ed25519", "alg": "EdDSA"})),
        changed(&ed, &json!({"crv": "P-256", "alg": "ES256"})),
        changed(&ed, &json!({"crv": "Ed448"})),
        changed(&ed, &json!({"crv": "X25519"})),
        changed(&rs, &json!({"kty": "EC"})),
        changed(&rs, &json!({"kty": "CANARY"})),
        // Weak or broken.
        changed(&rs, &json!({"n": bytes(128)})),
        changed(&rs, &json!({"n": bytes(255)})),
        changed(&rs, &json!({"n": URL_SAFE_NO_PAD.encode([vec![0; 200], vec![0xFF; 128]].concat())})),
        changed(&rs, &json!({"n": bytes(2048)})),
        changed(&rs, &json!({"n": ""})),
        changed(&rs, &json!({"n": "CANARY!"})),
        changed(&rs, &json!({"e": "AQ"})),
        changed(&rs, &json!({"e": "AAAB"})),
        changed(&rs, &json!({"e": "AQAA"})),
        changed(&rs, &json!({"e": ""})),
        changed(&rs, &json!({"kid": 7})),
        changed(&p256, &json!({"x": bytes(31)})),
        changed(&p256, &json!({"y": bytes(33)})),
        changed(&ed, &json!({"x": bytes(31)})),
        json!({"kty": "RSA"}),
        json!({}),
        json!(null),
        json!("CANARY"),
        json!([rs]),
    ];
    for key in &unusable {
        println!("{key}");
        useless(ALL, std::slice::from_ref(key));
    }
    useless(ALL, &[]);
    useless(ALL, &unusable);
    useless("[\"ES256\"]", &[rs.clone(), p384.clone(), ed]);
    // Beside one of use they do no harm.
    let folder = tempfile::tempdir().unwrap();
    let mut keys = unusable.to_vec();
    keys.extend([
        changed(&p256, &json!({"use": "sig", "key_ops": ["verify"], "x5c": ["CANARY"], "more": {"a": 1}})),
        p384,
    ]);
    Config::from_toml(&(section(&folder, ALL, &keys) + SOURCE)).unwrap();
}

#[test]
fn a_bad_place_of_keys_is_told_by_its_key() {
    let with = |algorithms: &str, lines: &str| {
        let text = format!(
            "[auth.issuers.x]\nissuer = \"i\"\naudience = [\"a\"]\nalgorithms = [\"{algorithms}\"]\n{lines}\n{SOURCE}"
        );
        Config::from_toml(&text).map(drop).map_err(|error| error.to_string())
    };
    let url = "jwks_url = \"https://login.test/jwks.json?tenant=1\"";
    for good in [
        url,
        "jwks_url = \"http://127.0.0.1:8080/jwks\"",
        &format!("{url}\njwks_refresh = \"1s\"\njwks_cool_down = \"10m\""),
        &format!("{url}\njwks_refresh = \"24h\"\njwks_cool_down = \"1s\""),
    ] {
        with("RS256", good).unwrap();
    }
    let table = [
        ("jwks_url = \"http://login.test/jwks.json\"", "jwks_url: expected an absolute https URL"),
        ("jwks_url = \"https://CANARY:CANARY@login.test/jwks.json\"", "jwks_url: expected an absolute https URL"),
        ("jwks_url = \"https://login.test/jwks.json#CANARY\"", "jwks_url: expected an absolute https URL"),
        ("jwks_url = \"file:///CANARY\"", "jwks_url: expected an absolute https URL"),
        ("jwks_url = \"CANARY\"", "jwks_url: expected an absolute https URL"),
        (&format!("{url}\njwks_file = \"x\""), "x: expected exactly one of"),
        (&format!("{url}\npublic_key_file = \"x\""), "x: expected exactly one of"),
        ("jwks_file = \"x\"\npublic_key_file = \"x\"", "x: expected exactly one of"),
        ("", "x: expected exactly one of"),
        (&format!("{url}\nsecret = \"{JWT_SECRET}\""), "algorithms: expected HS256"),
        ("jwks_file = \"./of-nobody\"", "jwks_file: ./of-nobody cannot be read"),
        (&format!("{url}\njwks_refresh = \"999ms\""), "jwks_refresh: expected 1s to 24h"),
        (&format!("{url}\njwks_refresh = \"25h\""), "jwks_refresh: expected 1s to 24h"),
        (&format!("{url}\njwks_cool_down = \"0s\""), "jwks_cool_down: expected 1s to 10m"),
        (&format!("{url}\njwks_cool_down = \"11m\""), "jwks_cool_down: expected 1s to 10m"),
        ("public_key_file = \"x\"\njwks_refresh = \"1m\"", "jwks_refresh: goes with jwks_url only"),
        ("public_key_file = \"x\"\njwks_cool_down = \"1m\"", "jwks_cool_down: goes with jwks_url only"),
    ];
    for (lines, said) in table {
        let error = with("RS256", lines).expect_err(lines);
        assert!(error.starts_with("auth.issuers.x") && error.contains(said), "{lines}: {error}");
        assert!(!error.contains("CANARY"), "{error}");
    }
    let error = with("HS256", url).expect_err("published keys are no secrets");
    assert!(error.starts_with("auth.issuers.x.algorithms"), "{error}");
}
