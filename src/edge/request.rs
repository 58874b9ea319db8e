//! The outermost layer: the request's id, its span, its line in the access log, and the form of its problems.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::http::header::HeaderName;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;
use tracing::Instrument;

use crate::error;
use crate::trace::{self, TRACEPARENT, TraceParent};

use super::access_log::{AccessLine, AccessNotes, known};
use super::address::ClientAddress;

/// The header in which a request's id comes and goes.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken from a caller, in characters.
const MAX_ID_CHARS: usize = 128;

/// The id of a request, for the layers within.
#[derive(Clone)]
pub(super) struct RequestId(pub(super) Arc<str>);

/// Configuration of [`identify`].
#[derive(Clone)]
pub(super) struct Identification {
    pub(super) client: ClientAddress,
    /// `server.public_url` without a slash at its end, or nothing: what the `type` of a problem begins with.
    pub(super) public_url: Arc<str>,
}

pub(super) async fn identify(State(by): State<Identification>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id: Arc<str> = request
        .headers()
        .get(X_REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| !id.is_empty() && id.len() <= MAX_ID_CHARS && id.bytes().all(|byte| byte.is_ascii_graphic()))
        .map_or_else(|| ulid::Ulid::generate().to_string().into(), Into::into);
    let notes = AccessNotes::default();
    request.extensions_mut().insert(RequestId(id.clone()));
    request.extensions_mut().insert(notes.clone());
    let client = by.client.of(&request);
    let line = line(&request, &id, started, client, notes);
    let (span, trace) = (line.span.clone(), line.trace);
    async {
        let response = trace::within(trace, next.run(request)).await;
        let mut response = error::render(response, &id, &by.public_url);
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(X_REQUEST_ID, value);
        }
        line.follow(response)
    }
    .instrument(span)
    .await
}

/// Begins the line of a request, and the span under which everything about it is logged.
fn line(request: &Request, id: &str, started: Instant, client: Option<IpAddr>, notes: AccessNotes) -> AccessLine {
    // The template, never the path: a path holds ids, a query may hold anything.
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let trace = request.headers().get(TRACEPARENT).and_then(|value| TraceParent::parse(value.to_str().ok()?));
    let trace = trace.map(TraceParent::child);
    let trace_id = trace.map(TraceParent::trace_id);
    let span = tracing::info_span!("request", request_id = %id, trace_id, method = known(&method), %route);
    AccessLine { span, trace, route, method, started, client, notes, answer: None, bytes: 0, complete: false }
}
