//! Signatures: which keys and algorithms vouch for a token.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::{ask, refuses};
use crate::support::{Gateway, GatewayOptions, JWT_SECRET, Token};

/// Issuers with a public key: their name, which is part of their `iss`, their key and their algorithms.
const ISSUERS: [(&str, &str, &str); 4] = [
    ("rsa", "rsa", r#"["RS256", "PS256"]"#),
    ("p256", "p256", r#"["ES256"]"#),
    ("p384", "p384", r#"["ES384"]"#),
    ("ed25519", "ed25519", r#"["EdDSA"]"#),
];

pub(super) fn key_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/keys/test-only-{name}.pem"))
}

pub fn pem(name: &str) -> Vec<u8> {
    std::fs::read(key_file(name)).unwrap()
}

async fn gateway() -> Gateway {
    let issuers = ISSUERS.map(|(name, key, algorithms)| {
        format!(
            "[auth.issuers.{name}]\nissuer = \"https://{name}.test\"\naudience = [\"scrm-gateway\"]\n\
             algorithms = {algorithms}\npublic_key_file = \"{}\"\n",
            key_file(&format!("{key}.public")).display()
        )
    });
    Gateway::with(GatewayOptions { extra: issuers.concat(), ..GatewayOptions::default() }).await
}

fn claims(issuer: &str) -> Value {
    Token::with(&json!({"iss": format!("https://{issuer}.test")})).claims
}

fn signed(issuer: &str, algorithm: Algorithm, key: &EncodingKey) -> String {
    let token = jsonwebtoken::encode(&Header::new(algorithm), &claims(issuer), key).unwrap();
    format!("Bearer {token}")
}

fn rsa(name: &str) -> EncodingKey {
    EncodingKey::from_rsa_pem(&pem(name)).unwrap()
}

#[tokio::test]
async fn a_token_signed_with_the_issuers_key_is_taken() {
    let gateway = gateway().await;
    let p256 = EncodingKey::from_ec_pem(&pem("p256.private")).unwrap();
    let p384 = EncodingKey::from_ec_pem(&pem("p384.private")).unwrap();
    let ed25519 = EncodingKey::from_ed_pem(&pem("ed25519.private")).unwrap();
    let rsa = rsa("rsa.private");
    for (issuer, algorithm, key) in [
        ("rsa", Algorithm::RS256, &rsa),
        ("rsa", Algorithm::PS256, &rsa),
        ("p256", Algorithm::ES256, &p256),
        ("p384", Algorithm::ES384, &p384),
        ("ed25519", Algorithm::EdDSA, &ed25519),
    ] {
        let reply = ask(&gateway, &signed(issuer, algorithm, key)).await;
        assert_eq!(reply.status, 200, "{algorithm:?}: {}", reply.body);
        // The same signature vouches for no other issuer.
        for (other, _, _) in ISSUERS.iter().filter(|(name, _, _)| *name != issuer) {
            refuses(&ask(&gateway, &signed(other, algorithm, key)).await);
        }
        refuses(&ask(&gateway, &signed("login", algorithm, key)).await);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn another_key_of_the_same_kind_is_refused() {
    let gateway = gateway().await;
    for algorithm in [Algorithm::RS256, Algorithm::PS256] {
        refuses(&ask(&gateway, &signed("rsa", algorithm, &rsa("rsa-other.private"))).await);
    }
    let other = Token { secret: "CANARY-another-secret-0123456789abcdef".to_owned(), ..Token::default() };
    refuses(&ask(&gateway, &other.bearer()).await);
    gateway.stop().await;
}

#[tokio::test]
async fn an_algorithm_that_is_not_on_the_issuers_list_is_refused_though_the_key_fits() {
    let gateway = gateway().await;
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS384, Algorithm::PS512] {
        refuses(&ask(&gateway, &signed("rsa", algorithm, &rsa("rsa.private"))).await);
    }
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let token = Token { algorithm, ..Token::default() };
        refuses(&ask(&gateway, &token.bearer()).await);
    }
    gateway.stop().await;
}

/// The public key is known to everyone: were it taken as an HMAC secret, everyone could sign.
#[tokio::test]
async fn a_public_key_is_no_secret() {
    let gateway = gateway().await;
    for (issuer, key, _) in ISSUERS {
        let public = pem(&format!("{key}.public"));
        let text = String::from_utf8(public.clone()).unwrap();
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = base64::engine::general_purpose::STANDARD.decode(&body).unwrap();
        for secret in [public.as_slice(), text.trim_end().as_bytes(), body.as_bytes(), &der] {
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                refuses(&ask(&gateway, &signed(issuer, algorithm, &EncodingKey::from_secret(secret))).await);
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_token_that_nobody_signed_is_refused() {
    let gateway = gateway().await;
    let encoded = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    for alg in ["none", "None", "NONE", "nOnE", "", "HS257"] {
        for issuer in ["login", "rsa", "p256", "ed25519"] {
            let unsigned = format!("{}.{}.", encoded(&json!({"alg": alg, "typ": "JWT"})), encoded(&claims(issuer)));
            refuses(&ask(&gateway, &format!("Bearer {unsigned}")).await);
            refuses(&ask(&gateway, &format!("Bearer {}", unsigned.trim_end_matches('.'))).await);
        }
    }
    // The header's algorithm changed under a good signature, and no algorithm at all.
    let good = Token::default().sign();
    let rest = good.split_once('.').unwrap().1;
    for header in [json!({"alg": "none"}), json!({"typ": "JWT"}), json!({"alg": ["HS256"]}), json!([])] {
        refuses(&ask(&gateway, &format!("Bearer {}.{rest}", encoded(&header))).await);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_file_of_several_secrets_verifies_with_each() {
    let second = "CANARY-second-secret-0123456789abcdef";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secrets");
    std::fs::write(&file, format!("{JWT_SECRET}\n{second}\n")).unwrap();
    let gateway = Gateway::with(GatewayOptions {
        extra: format!(
            "[auth.issuers.rotating]\nissuer = \"https://rotating.test\"\naudience = [\"scrm-gateway\"]\n\
             algorithms = [\"HS256\"]\nsecret_file = \"{}\"\n",
            file.display()
        ),
        ..GatewayOptions::default()
    })
    .await;
    let of = |secret: &str| signed("rotating", Algorithm::HS256, &EncodingKey::from_secret(secret.as_bytes()));
    for secret in [JWT_SECRET, second] {
        ask(&gateway, &of(secret)).await.ok();
    }
    let both = format!("{JWT_SECRET}\n{second}");
    for secret in ["CANARY-third-secret-0123456789abcdef", &both, ""] {
        refuses(&ask(&gateway, &of(secret)).await);
    }
    gateway.stop().await;
}

#[test]
fn what_a_file_of_keys_must_hold_is_told_without_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let text = |name: &str| String::from_utf8(pem(name)).unwrap();
    let (rsa, p256) = (text("rsa.public"), text("p256.public"));
    let certificate = rcgen::generate_simple_self_signed(["login.test".to_owned()]).unwrap().cert.pem();
    let secrets = "expected secrets of 32 bytes or more";
    let keys = "expected public keys in PEM that fit the algorithms";
    let table = [
        ("secret_file", "HS256", String::new(), "expected at least one secret"),
        ("secret_file", "HS256", "\r\n\n".to_owned(), "expected at least one secret"),
        ("secret_file", "HS256", "CANARY-short".to_owned(), secrets),
        ("secret_file", "HS256", format!("{JWT_SECRET}\nCANARY-short\n"), secrets),
        ("secret_file", "HS256", format!("{JWT_SECRET}\n").repeat(65), "expected at most 64 keys"),
        ("public_key_file", "RS256", String::new(), keys),
        ("public_key_file", "RS256", "CANARY".to_owned(), keys),
        ("public_key_file", "RS256", rsa[..rsa.len() / 2].to_owned(), keys),
        ("public_key_file", "RS256", rsa.replace("MII", "!!!"), keys),
        ("public_key_file", "RS256", rsa.replace("PUBLIC", "CANARY"), "is no public key"),
        ("public_key_file", "RS256", text("rsa.private"), "is no public key"),
        ("public_key_file", "ES256", text("p256.private"), "is no public key"),
        ("public_key_file", "ES256", certificate, "is no public key"),
        ("public_key_file", "RS256", text("rsa-1024.public"), "less than 2048"),
        ("public_key_file", "RS256", p256.clone(), "fits none"),
        ("public_key_file", "RS256", format!("{rsa}{p256}"), "fits none"),
        ("public_key_file", "RS256", rsa.repeat(65), "expected at most 64 keys"),
        ("jwks_file", "RS256", rsa, "expected a JWK set"),
        ("jwks_file", "ES256", p256, "expected a JWK set"),
    ];
    for (key, algorithm, text, said) in table {
        std::fs::write(&file, &text).unwrap();
        let config = format!(
            "[auth.issuers.x]\nissuer = \"i\"\naudience = [\"a\"]\nalgorithms = [\"{algorithm}\"]\n{key} = \"{}\"\n",
            file.display()
        );
        let error = scrm_gateway::config::Config::from_toml(&config).expect_err(&text).to_string();
        assert!(error.starts_with(&format!("auth.issuers.x.{key}")) && error.contains(said), "{said}: {error}");
        assert!(!error.contains("CANARY") && !error.contains("MII"), "{error}");
    }
}
