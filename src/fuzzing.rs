//! What the fuzzer runs (`fuzz/`, `make fuzz`): one function a target. Each takes any bytes, and panics where something does not
//! hold that must. Its corpus is gone through by an ordinary test, so that what was found once stays found.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Map, Value};

use crate::edge::{Auth, Authenticator, Issuer, IssuerKeys, KeySet};
use crate::live::Live;
use crate::model::{Caller, Problem};
use crate::outbound::ClientConfig;
use crate::service::cursor::{Binding, CursorKeys, Cursors, WalkState};
use crate::upstream::Position;

pub use crate::routes::fuzzing::{follow_ups, query, remarks};
pub use crate::upstream::fuzzing::{juzibot, tanma, value_as_text};

/// Cursors that nobody was given, and ones that were tampered with.
pub fn cursor(data: &[u8]) {
    static CURSORS: LazyLock<Cursors> =
        LazyLock::new(|| Cursors::new(Arc::new(Live::fixed(CursorKeys::random())), Duration::from_hours(1)));
    let binding = Binding {
        caller_issuer: "https://login",
        caller_subject: "caller",
        source: "juzibot",
        staff_id: None,
        raw: false,
    };
    let text = String::from_utf8_lossy(data);
    assert!(CURSORS.open(&text, &binding, Timestamp::UNIX_EPOCH).is_err(), "a forged cursor opens");
    let state = WalkState {
        position: Position::Token(text.into_owned()),
        offset: 1,
        page_size: 100,
        total: Some(7),
        rows_before: 100,
        previous: Some(1),
    };
    let sealed = CURSORS.seal(state.clone(), &binding, Timestamp::UNIX_EPOCH);
    match CURSORS.open(&sealed, &binding, Timestamp::UNIX_EPOCH) {
        Ok(opened) => assert_eq!(opened, state),
        Err(_) => assert!(sealed.len() > 4_096, "our own does not open"),
    }
    let tampered: String =
        sealed.bytes().zip(data.iter().chain(std::iter::repeat(&0))).map(|(a, b)| char::from((a ^ b) & 0x7f)).collect();
    assert!(tampered == sealed || CURSORS.open(&tampered, &binding, Timestamp::UNIX_EPOCH).is_err());
}

/// Tokens that nobody signed, and claims that an issuer did.
pub fn token(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    assert!(verify(&text).is_err(), "a forged token is good");
    let encoded = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let message = format!("{}.{}", encoded(br#"{"alg":"HS256"}"#), encoded(data));
    let signature = crypto::sign(message.as_bytes(), &EncodingKey::from_secret(&*SECRET), Algorithm::HS256);
    let signed = format!("{message}.{}", signature.expect("a secret signs anything"));
    if let Ok(caller) = verify(&signed) {
        let claims: Map<String, Value> = serde_json::from_slice(data).expect("good claims are an object");
        assert_eq!((&*caller.id.issuer, claims["iss"].as_str()), (SECRET_ISSUER, Some(SECRET_ISSUER)));
        assert!(!caller.id.subject.is_empty() && claims["sub"] == *caller.id.subject);
        assert!(claims["exp"].is_number() && claims.contains_key("aud"));
        assert!(verify(&signed).is_ok_and(|again| again.id == caller.id), "it is known by now");
    }
}

static SECRET: LazyLock<[u8; 32]> = LazyLock::new(|| rand::random::<[u8; 32]>().map(|byte| b'!' + byte % 64));
const SECRET_ISSUER: &str = "https://secret";

/// By an issuer with a secret and one with a public key.
fn verify(token: &str) -> Result<Arc<Caller>, Problem> {
    use Algorithm::{HS256, HS384, HS512, PS256, RS256};
    static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
        let issuer = |issuer: &str, algorithms: &[Algorithm], keys: Result<KeySet, String>| Issuer {
            name: "any".to_owned(),
            issuer: issuer.to_owned(),
            audience: vec!["scrm-gateway".to_owned()],
            algorithms: algorithms.to_vec(),
            keys: IssuerKeys::Held(Arc::new(Live::fixed(keys.expect("the keys are good")))),
        };
        let public = include_bytes!("../tests/fixtures/keys/test-only-rsa.public.pem");
        let (symmetric, asymmetric) = ([HS256, HS384, HS512], [RS256, PS256]);
        let issuers = vec![
            issuer(SECRET_ISSUER, &symmetric, KeySet::of_secrets(&*SECRET, &symmetric)),
            issuer("https://public", &asymmetric, KeySet::of_pem(public, &asymmetric)),
        ];
        let auth = Auth { issuers, default_sources_all: true, leeway: Duration::from_secs(30) };
        let authenticator = Authenticator::new(&auth, Vec::new(), Vec::new(), &ClientConfig::default());
        authenticator.expect("nothing is built that could fail")
    });
    AUTHENTICATOR.verify(token).now_or_never().expect("keys at hand are not waited for")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    type Target = (&'static str, fn(&[u8]));

    const TARGETS: [Target; 8] = [
        ("cursor", super::cursor),
        ("follow_ups", super::follow_ups),
        ("juzibot", super::juzibot),
        ("query", super::query),
        ("remarks", super::remarks),
        ("tanma", super::tanma),
        ("token", super::token),
        ("value_as_text", super::value_as_text),
    ];

    #[test]
    fn the_corpus_of_each_target_holds() {
        for (name, target) in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
            let inputs: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(!inputs.is_empty(), "{name} has no corpus");
            for input in inputs {
                println!("{}", input.display());
                target(&std::fs::read(input).unwrap());
            }
        }
    }
}
