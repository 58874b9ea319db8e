//! One caller is nothing to another: its cursors, keys, quota and sources are neither of use to others nor seen by them.
//! Each is tried by another caller of the same issuer, and by one of the same name of another issuer.

mod cache;
mod cursors;
mod keys;
mod quotas;
mod raw;
mod sources;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Gateway, GatewayOptions, JWT_SECRET, Reply, Token};

/// Who asks. `tester` is the usual one.
fn tester() -> Value {
    json!({})
}

/// The others, each with a name for messages.
fn others() -> [(&'static str, Value); 3] {
    [
        ("another subject", json!({"sub": "another"})),
        ("the same subject of another issuer", json!({"iss": "https://other.test"})),
        ("a subject that begins alike", json!({"sub": "tester "})),
    ]
}

/// The issuer `https://other.test`.
fn other_issuer() -> String {
    format!(
        "[auth.issuers.other]\nissuer = \"https://other.test\"\naudience = [\"scrm-gateway\"]\n\
         algorithms = [\"HS256\"]\nsecret = \"{JWT_SECRET}\"\n"
    )
}

/// With two issuers, and these sections beside.
fn options(extra: &str) -> GatewayOptions {
    let mut options = GatewayOptions { extra: format!("{}{extra}", other_issuer()), ..GatewayOptions::default() };
    options.sandbox.customers = 200;
    options
}

async fn gateway() -> Gateway {
    Gateway::with(options("")).await
}

/// Asks as a caller of these claims; every request has the same id.
async fn ask(gateway: &Gateway, claims: &Value, path: &str, more: &[(&str, &str)]) -> Reply {
    let bearer = Token::with(claims).bearer();
    let headers: Vec<_> =
        [("authorization", bearer.as_str()), ("x-request-id", "same")].iter().chain(more).copied().collect();
    gateway.get_with(path, &headers).await
}

async fn post(gateway: &Gateway, claims: &Value, path: &str, body: &Value, more: &[(&str, &str)]) -> Reply {
    let bearer = Token::with(claims).bearer();
    let usual = [("authorization", bearer.as_str()), ("x-request-id", "same"), ("content-type", "application/json")];
    let headers: Vec<_> = usual.iter().chain(more).copied().collect();
    gateway.send(Method::POST, path, &headers, Some(body.to_string().into_bytes())).await
}

/// Status, headers and body, without what differs between two answers to one request: times, how long it took, what is left of a
/// quota, and what is sealed anew each time.
fn whole(reply: &Reply) -> (u16, Vec<(String, String)>, String) {
    let mut headers: Vec<(String, String)> = reply
        .headers
        .iter()
        .filter(|(name, _)| !["date", "server-timing", "ratelimit"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    let lines = reply.body.lines().map(|line| match serde_json::from_str(line) {
        Ok(mut value) => {
            level(&mut value);
            value.to_string()
        }
        Err(_) => line.to_owned(),
    });
    let body = lines.collect::<Vec<_>>().join("\n");
    // The length says whether the answer is of one size, where nothing in it was levelled to another.
    if body.len() != reply.body.trim_end().len() {
        headers.retain(|(name, _)| name != "content-length");
    }
    (reply.status.as_u16(), headers, body)
}

fn level(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let varies = ["fetched_at", "at", "last_success_at", "next_cursor", "resume_cursor"];
                if varies.contains(&key.as_str()) && member.is_string() {
                    *member = json!("levelled");
                } else {
                    level(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(level),
        _ => {}
    }
}
