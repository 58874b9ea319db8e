//! Enforces the caller's quota and its limit of requests in flight, and adds the `RateLimit` headers (IETF draft).

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sfv::{Integer, KeyRef, ListSerializer, StringRef};

use crate::error::ceil_seconds;
use crate::memory::{InFlight, Reservation};
use crate::model::{Caller, Problem, ProblemCode};
use crate::service::{QuotaHandle, RequestContext, Timings, Told};
use crate::store::concurrency::{ConcurrencyLimit, Exceeded};
use crate::store::quota::{Charge, Quotas};
use crate::upstream::Deadline;

use super::access_log::AccessNotes;
use super::deadline::TimeAllowed;
use super::held::Held;
use super::request::RequestId;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The limits of callers.
#[derive(Clone)]
pub(super) struct Limits {
    pub(super) quotas: Arc<Quotas>,
    pub(super) in_flight: ConcurrencyLimit,
    pub(super) memory: InFlight,
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
                request_id,
                timings: timings.clone(),
                told,
                queried,
                memory: memory.clone(),
                permit: Some(permit.clone()),
            });
            let mut response = hold(next.run(request).await, permit, memory);
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

/// Keeps the permit, and a reservation of the bytes of the response, until it is written, however slowly it is read.
fn hold<P: Send + Unpin + 'static>(response: Response, permit: P, memory: Arc<Reservation>) -> Response {
    // Streams reserve what they hold themselves.
    let bytes = response.body().size_hint().exact().unwrap_or(0);
    memory.shrink_to(usize::try_from(bytes).unwrap_or(usize::MAX));
    let memory = memory.is_counted().then_some(memory);
    response.map(|body| Body::new(Held::new(body, (permit, memory))))
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

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    const MIB: usize = 1 << 20;

    /// The reservation of a request, and an answer of a mebibyte.
    async fn answer() -> (Arc<Reservation>, Response) {
        let memory = InFlight::new(64 << 20).open(None);
        memory.grow(4 * MIB).await.unwrap();
        (memory.clone(), hold(Response::new(Body::from(vec![b'x'; MIB])), (), memory))
    }

    #[tokio::test]
    async fn answer_is_reserved_until_it_is_written() {
        let (memory, answer) = answer().await;
        assert_eq!(memory.bytes(), MIB, "what it was made of is free");
        let mut body = answer.into_body();
        assert!(body.frame().await.is_some());
        assert_eq!(Arc::strong_count(&memory), 2);
        assert!(body.frame().await.is_none());
        drop(body);
        assert_eq!(Arc::strong_count(&memory), 1);
    }

    #[tokio::test]
    async fn unwritten_answer_is_freed_when_the_caller_disconnects() {
        let (memory, answer) = answer().await;
        drop(answer);
        assert_eq!(Arc::strong_count(&memory), 1);
    }

    #[tokio::test]
    async fn small_answer_holds_no_memory() {
        let memory = InFlight::new(64 << 20).open(None);
        memory.grow(4 * MIB).await.unwrap();
        let _answer = hold(Response::new(Body::from("small")), (), memory.clone());
        assert_eq!(Arc::strong_count(&memory), 1);
        assert!(!memory.is_counted());
    }
}
