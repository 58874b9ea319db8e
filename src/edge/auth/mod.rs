//! Who calls: bearer tokens (RFC 6750 §2.1), verified after RFC 8725 and RFC 9068 (contract §7).
//!
//! A token is parsed ([`token`]), verified ([`issuer`]) with the issuer's keys ([`keys`], [`jwk`], [`held`], [`fetched`]), and cached
//! as valid ([`verified`]).

mod authenticator;
mod fetched;
mod held;
mod issuer;
mod jwk;
mod keys;
mod refetch_budget;
mod settings;
mod token;
mod verified;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use crate::model::{Problem, ProblemCode};
use crate::upstream::Deadline;

use super::access_log::AccessNotes;

pub use authenticator::Authenticator;
pub use keys::KeySet;
pub use settings::{Auth, CallerConfig, Issuer, IssuerKeys, JwksUrl};

/// For requests without a deadline.
const LONGEST: Duration = Duration::from_secs(10);

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

pub(super) async fn authenticate(
    State(authenticator): State<Arc<Authenticator>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let deadline = request.extensions().get::<Deadline>().map_or(started + LONGEST, |deadline| deadline.0);
    let verified = match bearer(request.headers()) {
        // What it may wait for are keys.
        Ok(token) => tokio::time::timeout_at(deadline, authenticator.verify(token))
            .await
            .unwrap_or_else(|_late| Err(without_keys(Duration::from_secs(1)))),
        Err(problem) => Err(problem),
    };
    match verified {
        Ok(caller) => {
            let took = started.elapsed();
            if let Some(notes) = request.extensions().get::<AccessNotes>() {
                notes.set_caller(&caller.id);
            }
            // The token has done its work; nothing behind this line can print it.
            request.headers_mut().remove(AUTHORIZATION);
            request.extensions_mut().insert(caller);
            let mut response = next.run(request).await;
            let timing = format!("auth;dur={:.1}", took.as_secs_f64() * 1000.0);
            if let Ok(timing) = HeaderValue::from_str(&timing) {
                response.headers_mut().append(SERVER_TIMING, timing);
            }
            response
        }
        Err(problem) => problem.into_response(),
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, more) = (values.next(), values.next());
    // Another scheme is no bearer token, not a bad one: its challenge has no error (RFC 6750 §3.1).
    let Some(value) = value.filter(|value| more.is_some() || names_bearer(value)) else {
        let problem = Problem::new(ProblemCode::Unauthenticated, "a bearer token is required");
        return Err(Problem { challenge: Some("Bearer realm=\"scrm-gateway\"".to_owned()), ..problem });
    };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    token.filter(|_| more.is_none()).ok_or_else(|| invalid("expected one Authorization header: Bearer and a token"))
}

fn names_bearer(value: &HeaderValue) -> bool {
    let scheme = value.as_bytes().split(|byte| *byte == b' ').next();
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
}

/// A token that cannot be verified until the issuer's keys are there, or newer than the token.
fn without_keys(wait: Duration) -> Problem {
    let detail = "the token cannot be verified yet: the issuer's current signing keys are not available";
    Problem::new(ProblemCode::IssuerUnavailable, detail).with_retry_after(wait)
}

/// A bad token: 401, with the challenge that tells why (RFC 6750 §3).
fn invalid(why: &str) -> Problem {
    let challenge = format!("Bearer realm=\"scrm-gateway\", error=\"invalid_token\", error_description=\"{why}\"");
    Problem { challenge: Some(challenge), ..Problem::new(ProblemCode::Unauthenticated, why) }
}
