//! An issuer that rotates its keys, while tokens name keys that do not exist.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get as route;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::time::{Instant, interval};
use tokio_util::task::AbortOnDropHandle;

use crate::answers::Answers;
use crate::client::{Connection, get};
use crate::load::one;
use crate::stub::serve;
use crate::trial::{Load, Trial};

const PRIVATE_KEY: &[u8] = include_bytes!("../../../tests/fixtures/keys/test-only-p256.private.pem");
const LASTS: Duration = Duration::from_secs(45);
const UNKNOWN_EVERY: Duration = Duration::from_secs(15);
/// The first shortly after an unknown key has caused a fetch.
const ROTATIONS: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(35)];
const VALID_EVERY: Duration = Duration::from_millis(200);

/// An issuer that publishes its keys. It stops when it is dropped.
pub struct Issuer {
    address: SocketAddr,
    /// The identifiers of the published keys.
    published: Arc<Mutex<Vec<String>>>,
    key: EncodingKey,
    _server: AbortOnDropHandle<()>,
}

impl Issuer {
    pub async fn start() -> Self {
        let key = EncodingKey::from_ec_pem(PRIVATE_KEY).unwrap();
        let published = Arc::new(Mutex::new(vec!["key-0".to_owned()]));
        let jwk = serde_json::to_value(Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap()).unwrap();
        let names = published.clone();
        let handler = route(move || {
            let keys: Vec<Value> = names.lock().unwrap().iter().map(|name| named(&jwk, name)).collect();
            std::future::ready(([(CONTENT_TYPE, "application/json")], json!({"keys": keys}).to_string()))
        });
        let (address, server) = serve(Router::new().route("/jwks.json", handler)).await;
        Self { address, published, key, _server: server }
    }

    /// The section of the configuration that trusts this issuer.
    pub fn section(&self) -> String {
        format!(
            "[auth.issuers.rotating]\nissuer = \"https://rotating.test\"\naudience = [\"scrm-gateway\"]\n\
             algorithms = [\"ES256\"]\njwks_url = \"http://{}/jwks.json\"\njwks_cool_down = \"15s\"\n",
            self.address
        )
    }

    /// Returns the `Authorization` header of a token that names `key`.
    fn bearer(&self, key: &str) -> String {
        let claims = json!({
            "iss": "https://rotating.test", "aud": "scrm-gateway", "sub": "load", "exp": 4_102_444_800_i64,
            "scope": "customers:read",
        });
        let header = Header { kid: Some(key.to_owned()), ..Header::new(Algorithm::ES256) };
        format!("Bearer {}", jsonwebtoken::encode(&header, &claims, &self.key).unwrap())
    }
}

/// The key material stays the same: to the gateway another identifier is another key.
fn named(jwk: &Value, name: &str) -> Value {
    let mut jwk = jwk.clone();
    jwk["kid"] = name.into();
    jwk
}

pub async fn run(trial: &Trial) -> Load {
    let Some(issuer) = &trial.issuer else { return Load::default() };
    let (made_up, valid) = (Answers::default(), Answers::default());
    let unknown = async {
        let (began, mut due, mut connection) = (Instant::now(), interval(UNKNOWN_EVERY), None);
        for number in 0.. {
            due.tick().await;
            if began.elapsed() >= LASTS {
                return;
            }
            ask(&mut connection, trial, &issuer.bearer(&format!("unknown-{number}")), &made_up).await;
        }
    };
    tokio::join!(unknown, rotate(trial, issuer, &valid));
    let missed = valid.except(|outcome| outcome == "200");
    let missed = missed.iter().map(|refused| format!("valid tokens: {refused}")).collect();
    Load { answers: made_up, notes: vec![format!("valid tokens: {valid}")], missed, ..Load::default() }
}

/// Signs with the newest key from the moment it is published.
async fn rotate(trial: &Trial, issuer: &Issuer, answers: &Answers) {
    let (began, mut due, mut connection) = (Instant::now(), interval(VALID_EVERY), None);
    let mut rotations = ROTATIONS.iter().zip(1..).peekable();
    let mut key = "key-0".to_owned();
    while began.elapsed() < LASTS {
        due.tick().await;
        if let Some((_, number)) = rotations.next_if(|(at, _)| began.elapsed() >= **at) {
            key = format!("key-{number}");
            issuer.published.lock().unwrap().push(key.clone());
        }
        ask(&mut connection, trial, &issuer.bearer(&key), answers).await;
    }
}

async fn ask(connection: &mut Option<Connection>, trial: &Trial, bearer: &str, answers: &Answers) {
    one(connection, trial.gateway.public, get("/v1/me", Some(bearer)), Duration::from_secs(10), answers).await;
}
