//! Enforces the caller's quota and its limit of requests in flight, and adds the `RateLimit` headers (IETF draft).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sfv::{Integer, KeyRef, ListSerializer, StringRef};

use crate::error::ceil_seconds;
use crate::memory::InFlight;
use crate::model::{Caller, Problem, ProblemCode};
use crate::service::{QuotaHandle, RequestContext, Timings, Told};
use crate::store::concurrency::{ConcurrencyLimit, Exceeded};
use crate::store::quota::{Charge, Quotas};
use crate::upstream::Deadline;

use super::access_log::AccessNotes;
use super::answer;
use super::deadline::TimeAllowed;
use super::request::RequestId;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The limits of callers.
#[derive(Clone)]
pub(super) struct Limits {
    pub(super) quotas: Arc<Quotas>,
    pub(super) in_flight: ConcurrencyLimit,
    pub(super) memory: InFlight,
    /// As in [`super::Edge`].
    pub(super) public_url: Arc<str>,
}

pub(super) async fn limit(State(limits): State<Limits>, mut request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    let (Some(caller), Some(deadline), Some(TimeAllowed(allowed)), Some(RequestId(request_id)), Some(notes)) = (
        extensions.get::<Arc<Caller>>(),
        extensions.get::<Deadline>(),
        extensions.get::<TimeAllowed>(),
        extensions.get::<RequestId>(),
        extensions.get::<AccessNotes>(),
    ) else {
        return Problem::new(ProblemCode::Internal, "a layer of the edge is missing").into_response();
    };
    let (caller, deadline, allowed) = (caller.clone(), *deadline, *allowed);
    let (request_id, queried) = (request_id.clone(), notes.sources.clone());
    match QuotaHandle::open(limits.quotas, caller.clone()) {
        Ok(quota) => {
            // Before the body is read. A refused request costs its quota as well.
            let permit = match limits.in_flight.try_acquire(&caller.id) {
                Ok(permit) => permit,
                Err(exceeded) => return with_headers(busy(exceeded).into_response(), &quota.last()),
            };
            let timings = Timings::default();
            let told = Told::default();
            let memory = limits.memory.open(Some(caller.id.clone()));
            request.extensions_mut().insert(RequestContext {
                caller,
                deadline,
                allowed,
                quota: quota.clone(),
                request_id: request_id.clone(),
                timings: timings.clone(),
                told,
                queried,
                memory: memory.clone(),
                permit: Some(permit.clone()),
            });
            let response = next.run(request).await;
            let mut response = answer::hold(response, (&request_id, &limits.public_url), permit, memory);
            if let Some(spent) = spent(&timings) {
                response.headers_mut().append(SERVER_TIMING, spent);
            }
            with_headers(response, &quota.last())
        }
        Err(charge) => {
            let refusal = QuotaHandle::refusal(charge.wait.unwrap_or_default());
            with_headers(refusal.into_response(), &charge)
        }
    }
}

fn busy(exceeded: Exceeded) -> Problem {
    let (code, detail) = match exceeded {
        Exceeded::Caller => (ProblemCode::RateLimited, "the caller has too many requests in flight"),
        Exceeded::Total => (ProblemCode::Overloaded, "too many requests are in flight"),
    };
    Problem::new(code, detail).with_retry_after(Duration::from_secs(1))
}

/// What each source took, in milliseconds (W3C Server Timing).
fn spent(timings: &Timings) -> Option<HeaderValue> {
    let entries: Vec<String> = timings
        .so_far()
        .iter()
        .map(|(source, took)| format!("{source};dur={:.1}", took.as_secs_f64() * 1000.0))
        .collect();
    HeaderValue::from_str(&entries.join(", ")).ok().filter(|_| !entries.is_empty())
}

fn with_headers(mut response: Response, charge: &Charge) -> Response {
    let policy = [
        ("q", u64::from(charge.config.burst.get())),
        ("w", ceil_seconds(charge.config.period() * charge.config.burst.get())),
    ];
    let limit = [("r", u64::from(charge.remaining)), ("t", ceil_seconds(charge.refilled_in()))];
    for (name, parameters) in [("ratelimit-policy", policy), ("ratelimit", limit)] {
        if let Some(value) = caller_item(parameters) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// `"caller";a=1;b=2`
fn caller_item(parameters: [(&'static str, u64); 2]) -> Option<HeaderValue> {
    let mut list = ListSerializer::new();
    let mut item = list.bare_item(StringRef::from_str("caller").ok()?);
    for (name, value) in parameters {
        let value = Integer::try_from(i64::try_from(value).ok()?).ok()?;
        item = item.parameter(KeyRef::from_str(name).ok()?, value);
    }
    drop(item);
    HeaderValue::from_str(&list.finish()?).ok()
}
