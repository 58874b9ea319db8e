//! The control endpoint, on a port of its own: what a test in another process, or a person with `curl`, does to the sources.
//!
//! | request | does |
//! |---|---|
//! | `GET /calls`, `DELETE /calls` | requests per endpoint; back to zero |
//! | `GET /faults`, `PUT /faults` `[rule…]`, `DELETE /faults` | the script of faults; in force when it is answered |
//! | `POST /customers?n=10` | adds customers |
//! | `POST /token` `{"source": "juzibot", "revoked": true}` | refuses or takes the source's secret |
//! | `POST /clock` `{"source": "tanma", "offset_ms": 600000}` | moves the source's clock, ahead where positive |
//! | `GET /people/featured` | ids to try |
//! | `GET /applied` | the remarks and follow-ups that took effect, in order |

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use jiff::SignedDuration;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::exchange::Answer;
use super::faults::Rule;
use super::serve::Handler;
use super::{Source, State, strict};

/// The largest request body, in bytes.
const MAX_BODY: usize = 1 << 20;
/// The most customers added at once.
const MAX_INSERT: usize = 1_000_000;
/// The farthest a source's clock is moved: ten years.
const MAX_OFFSET_MS: i64 = 10 * 366 * 86_400 * 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    source: Source,
    revoked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clock {
    source: Source,
    offset_ms: i64,
}

pub(super) fn handler(state: Arc<State>) -> Handler {
    Arc::new(move |request, _| {
        let state = state.clone();
        Box::pin(async move { answer(&state, request).await })
    })
}

async fn answer(state: &State, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return Answer::text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or was cut short").into_response();
    };
    let body = body.to_bytes();
    let outcome = match (head.method.as_str(), head.uri.path()) {
        ("GET", "/calls") => Ok(Answer::json(&state.calls())),
        ("DELETE", "/calls") => {
            state.reset_calls();
            Ok(done())
        }
        ("GET", "/faults") => Ok(Answer::json(&state.faults())),
        ("PUT", "/faults") => set_faults(state, &body).await,
        ("DELETE", "/faults") => {
            state.clear_faults().await;
            Ok(done())
        }
        ("POST", "/customers") => insert(state, head.uri.query().unwrap_or_default()),
        ("POST", "/token") => token(state, &body),
        ("POST", "/clock") => clock(state, &body),
        ("GET", "/people/featured") => Ok(Answer::json(&state.people().featured())),
        ("GET", "/applied") => {
            let applied = json!({"remarks": state.applied_remarks(), "follow_ups": state.applied_follow_ups()});
            Ok(Answer::json(&applied))
        }
        (_, "/calls" | "/faults" | "/customers" | "/token" | "/clock" | "/people/featured" | "/applied") => {
            Ok(Answer::text(StatusCode::METHOD_NOT_ALLOWED, "no such method here"))
        }
        _ => Ok(Answer::text(StatusCode::NOT_FOUND, "no such path")),
    };
    outcome.unwrap_or_else(|fault| Answer::text(StatusCode::BAD_REQUEST, fault)).into_response()
}

fn done() -> Answer {
    Answer::text(StatusCode::NO_CONTENT, "")
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    strict::json(body)
}

async fn set_faults(state: &State, body: &[u8]) -> Result<Answer, String> {
    let rules: Vec<Rule> = read(body)?;
    state.set_faults(rules).await.map_err(|fault| fault.to_string())?;
    Ok(done())
}

fn insert(state: &State, query: &str) -> Result<Answer, String> {
    let count =
        query.strip_prefix("n=").and_then(|text| text.parse().ok()).filter(|count| (1..=MAX_INSERT).contains(count));
    let count = count.ok_or_else(|| format!("one parameter is taken: n, a number from 1 to {MAX_INSERT}"))?;
    state.insert_customers(count);
    Ok(Answer::json(&json!({"customers": state.people().len()})))
}

fn token(state: &State, body: &[u8]) -> Result<Answer, String> {
    let Token { source, revoked } = read(body)?;
    if revoked {
        state.revoke_token(source);
    } else {
        state.restore_token(source);
    }
    Ok(done())
}

fn clock(state: &State, body: &[u8]) -> Result<Answer, String> {
    let Clock { source, offset_ms } = read(body)?;
    if !(-MAX_OFFSET_MS..=MAX_OFFSET_MS).contains(&offset_ms) {
        return Err(format!("offset_ms is at most {MAX_OFFSET_MS} either way"));
    }
    state.set_clock_offset(source, SignedDuration::from_millis(offset_ms));
    Ok(done())
}
