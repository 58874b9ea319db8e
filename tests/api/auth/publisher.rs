//! An issuer that publishes its keys.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use tokio::sync::watch;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::support::{Gateway, Reply, Token};

use super::ask;

/// A key pair, and the name it goes by.
#[derive(Clone)]
pub struct Pair {
    pub kid: Option<String>,
    pub algorithm: Algorithm,
    pub key: EncodingKey,
}

impl Pair {
    /// A fresh one.
    pub fn named(kid: &str) -> Self {
        let pem = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
        Self::of(Some(kid), Algorithm::ES256, EncodingKey::from_ec_pem(pem.as_bytes()).unwrap())
    }

    pub fn of(kid: Option<&str>, algorithm: Algorithm, key: EncodingKey) -> Self {
        Self { kid: kid.map(str::to_owned), algorithm, key }
    }

    /// The public part, as it is published.
    pub fn jwk(&self) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap();
        if let Some(kid) = &self.kid {
            jwk["kid"] = json!(kid);
        }
        jwk
    }

    /// A token of the issuer `https://NAME.test`, signed with the key.
    pub fn bearer(&self, issuer: &str) -> String {
        self.bearer_with(issuer, &json!({}))
    }

    pub fn bearer_with(&self, issuer: &str, changes: &Value) -> String {
        let mut claims = Token::with(changes).claims;
        claims["iss"] = json!(format!("https://{issuer}.test"));
        let header = Header { kid: self.kid.clone(), ..Header::new(self.algorithm) };
        format!("Bearer {}", jsonwebtoken::encode(&header, &claims, &self.key).unwrap())
    }
}

pub fn set(pairs: &[&Pair]) -> Value {
    json!({"keys": pairs.iter().map(|pair| pair.jwk()).collect::<Vec<_>>()})
}

/// The host of a JWK set.
pub struct Publisher {
    server: MockServer,
    answer: Answer,
    requests: watch::Receiver<usize>,
}

#[derive(Clone)]
struct Answer {
    template: Arc<Mutex<ResponseTemplate>>,
    requests: watch::Sender<usize>,
}

impl Respond for Answer {
    fn respond(&self, _request: &Request) -> ResponseTemplate {
        let template = self.template.lock().unwrap().clone();
        self.requests.send_modify(|requests| *requests += 1);
        template
    }
}

impl Publisher {
    pub async fn of(pairs: &[&Pair]) -> Self {
        Self::answering(ResponseTemplate::new(200).set_body_json(set(pairs))).await
    }

    pub async fn answering(answer: ResponseTemplate) -> Self {
        let (sender, requests) = watch::channel(0);
        let answer = Answer { template: Arc::new(Mutex::new(answer)), requests: sender };
        let publisher = Self { server: MockServer::start().await, answer, requests };
        Mock::given(any()).respond_with(publisher.answer.clone()).mount(&publisher.server).await;
        publisher
    }

    pub fn answer(&self, answer: ResponseTemplate) {
        *self.answer.template.lock().unwrap() = answer;
    }

    /// From now on these keys are there, and so late.
    pub fn publish(&self, pairs: &[&Pair], delay: Duration) {
        self.answer(ResponseTemplate::new(200).set_body_json(set(pairs)).set_delay(delay));
    }

    /// How often the set was fetched.
    pub async fn fetches(&self) -> usize {
        self.server.received_requests().await.unwrap().len()
    }

    /// Waits until the set was requested so often; the answer of the last request may be under way.
    pub async fn requested(&self, times: usize) {
        let mut requested = self.requests.clone();
        let come = tokio::time::timeout(Duration::from_secs(20), requested.wait_for(|requests| *requests >= times));
        come.await.expect("it is requested").unwrap();
    }

    pub fn url(&self) -> String {
        format!("{}/jwks.json", self.server.uri())
    }

    /// The issuer's section of the configuration.
    pub fn section(&self, name: &str, more: &str) -> String {
        format!(
            "[auth.issuers.{name}]\nissuer = \"https://{name}.test\"\naudience = [\"scrm-gateway\"]\n\
             algorithms = [\"ES256\"]\njwks_url = \"{}\"\n{more}\n",
            self.url()
        )
    }
}

/// Asks until the answer has this status. It is bound to come.
pub async fn until(gateway: &Gateway, bearer: &str, status: u16) -> Reply {
    let come = async {
        loop {
            let reply = ask(gateway, bearer).await;
            if reply.status == status {
                return reply;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), come).await.expect("it comes to pass")
}
