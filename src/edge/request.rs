//! The outermost layer: the request's id, its span, its line in the log, and the form of its problems.

use axum::extract::{MatchedPath, Request};
use axum::http::header::HeaderName;
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;
use tracing::Instrument;

use crate::trace::{self, TRACEPARENT, TraceParent};
use crate::{error, telemetry};

/// The header in which a request's id comes and goes.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken from a caller, in characters.
const MAX_ID_CHARS: usize = 128;

pub async fn identify(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request
        .headers()
        .get(X_REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| !id.is_empty() && id.len() <= MAX_ID_CHARS && id.bytes().all(|byte| byte.is_ascii_graphic()))
        .map_or_else(|| ulid::Ulid::generate().to_string(), str::to_owned);
    // The template, never the path: a path holds ids, a query may hold anything.
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let trace = request.headers().get(TRACEPARENT).and_then(|value| TraceParent::parse(value.to_str().ok()?));
    let trace = trace.map(TraceParent::child);
    let trace_id = trace.map(TraceParent::trace_id);
    let span = tracing::info_span!("request", request_id = %id, trace_id, method = known(&method), %route);
    let mut watch = Watch { span: span.clone(), route, method, started, answered: false };
    async {
        let response = trace::within(trace, next.run(request)).await;
        watch.answered = true;
        let code = error::problem_of(&response).map(|problem| problem.code.as_str());
        let mut response = error::render(response, &id);
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(X_REQUEST_ID, value);
        }
        let status = response.status().as_u16();
        let duration_ms = watch.count(status, code.unwrap_or_default());
        tracing::info!(status, code, duration_ms, "answered");
        response
    }
    .instrument(span)
    .await
}

/// Sees to it that a request whose caller leaves before its answer leaves a trace too.
struct Watch {
    span: tracing::Span,
    route: String,
    method: Method,
    started: Instant,
    answered: bool,
}

/// What a request without an answer is counted as: no status is sent, and this one is usual for it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

impl Watch {
    /// Counts the request; gives the time it took in milliseconds.
    fn count(&self, status: u16, code: &'static str) -> u64 {
        let took = self.started.elapsed();
        telemetry::metrics::request(&self.route, known(&self.method), status, code, took);
        u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.answered {
            let duration_ms = self.count(CLIENT_CLOSED_REQUEST, "");
            let _entered = self.span.enter();
            tracing::info!(duration_ms, "the caller left before the answer");
        }
    }
}

/// A method as a label: a caller may send any word.
fn known(method: &Method) -> &str {
    match *method {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE | Method::OPTIONS => {
            method.as_str()
        }
        _ => "other",
    }
}
