//! The audit trail: a line for every write and every raw read, whatever became of it.

mod reads;
mod refusals;
mod stopping;
mod writes;

use reqwest::Method;
use scrm_gateway::sandbox::people::Person;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;

use crate::support::people::everyone;
use crate::support::{Gateway, Reply, Token, canary};

/// As long as no test takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// As `printf %s ID | sha256sum` has it, cut.
fn hashed(id: &str) -> String {
    base16ct::lower::encode_string(&Sha256::digest(id)[..16])
}

/// Somebody both sources know.
fn known_to_both(gateway: &Gateway) -> Person {
    everyone(gateway.sandbox.state()).find(|person| person.juzibot.is_some() && person.tanma.is_some()).unwrap()
}

/// Asks under a request id, as a caller of these claims.
async fn ask(gateway: &Gateway, id: &str, claims: &Value, path: &str) -> Reply {
    gateway.get_with(path, &[("x-request-id", id), ("authorization", &Token::with(claims).bearer())]).await
}

/// Posts under a request id, as a caller of these claims.
async fn post(gateway: &Gateway, id: &str, claims: &Value, path: &str, body: &str, more: &[(&str, &str)]) -> Reply {
    let bearer = Token::with(claims).bearer();
    let usual = [("x-request-id", id), ("authorization", &bearer), ("content-type", "application/json")];
    let headers: Vec<_> = usual.iter().chain(more).copied().collect();
    gateway.send(Method::POST, path, &headers, Some(body.as_bytes().to_vec())).await
}

/// The lines of a request that is over, without what a log's line has besides: each is of this caller.
#[track_caller]
fn trail(id: &str) -> Vec<Value> {
    let mut lines = canary::trail(id);
    for line in &mut lines {
        let line = line.as_object_mut().unwrap();
        for (key, value) in [
            ("level", json!("INFO")),
            ("target", json!("audit")),
            ("request_id", json!(id)),
            ("issuer", json!("https://login.test")),
            ("subject", json!("tester")),
        ] {
            assert_eq!(line.remove(key), Some(value), "{key}");
        }
        let at: jiff::Timestamp = line.remove("timestamp").unwrap().as_str().unwrap().parse().unwrap();
        assert!(at.duration_until(jiff::Timestamp::now()).as_secs() < 60, "{at}");
    }
    lines
}

/// Waits for so many lines of a request that nobody waits for.
async fn trail_of(id: &str, lines: usize) -> Vec<Value> {
    canary::told(id, lines, PATIENCE).await;
    trail(id)
}
