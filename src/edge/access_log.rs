//! The access log: one line per request, written when the last byte of its answer has been sent or the caller has
//! disconnected. It has no path and no query, for these hold customers' ids. Requests that are refused by address have at most
//! one line a second.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::Method;
use axum::response::Response;
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;
use tracing::Span;

use crate::error;
use crate::model::{CallerId, ProblemCode};
use crate::service::QueriedSources;
use crate::telemetry;
use crate::trace::{self, TraceParent};

use super::refusal_log::RefusalLog;

/// Facts that inner layers record about a request for its access line. Clones belong to the same request.
#[derive(Clone, Default)]
pub(super) struct AccessNotes {
    caller: Arc<OnceLock<CallerId>>,
    refusals: Arc<OnceLock<Arc<RefusalLog>>>,
    pub(super) sources: QueriedSources,
}

impl AccessNotes {
    pub(super) fn set_caller(&self, caller: &CallerId) {
        self.caller.get_or_init(|| caller.clone());
    }

    /// Marks the request as refused by address: its line is written only if the log admits it.
    pub(super) fn set_refused(&self, refusals: &Arc<RefusalLog>) {
        self.refusals.get_or_init(|| refusals.clone());
    }
}

/// The line of one request; written when it is dropped, unless the request was refused by address and the line is omitted.
pub(super) struct AccessLine {
    pub(super) span: Span,
    pub(super) trace: Option<TraceParent>,
    pub(super) route: String,
    pub(super) method: Method,
    pub(super) started: Instant,
    pub(super) client: Option<IpAddr>,
    pub(super) notes: AccessNotes,
    /// Status and problem code; `None` until the handler has answered.
    pub(super) answer: Option<(u16, Option<&'static str>)>,
    /// Bytes of the body that were sent, compressed where it is compressed.
    pub(super) bytes: u64,
    /// Whether the whole body was sent.
    pub(super) complete: bool,
}

/// The status under which a request without an answer is counted: none is sent, and this one is usual.
const CLIENT_CLOSED_REQUEST: u16 = 499;

impl AccessLine {
    /// Records the answer, counts the request in the metrics, and attaches the line to the response body.
    pub(super) fn follow(mut self, response: Response) -> Response {
        let (status, code) = (response.status().as_u16(), error::code_of(&response).map(ProblemCode::as_str));
        self.answer = Some((status, code));
        self.count(status, code.unwrap_or_default());
        // The server drops the body of an answer to HEAD unread.
        self.complete = self.method == Method::HEAD || response.body().is_end_stream();
        response.map(|body| {
            let expected = body.size_hint().exact();
            Body::new(LoggedBody { body, expected, line: self })
        })
    }

    fn count(&self, status: u16, code: &'static str) {
        telemetry::metrics::request(&self.route, known(&self.method), status, code, self.started.elapsed());
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        let message = match self.answer {
            Some(_) if self.complete => "request completed",
            Some(_) => "response aborted",
            None => {
                self.count(CLIENT_CLOSED_REQUEST, "");
                "client disconnected before the response"
            }
        };
        if self.notes.refusals.get().is_some_and(|refusals| !refusals.admit()) {
            return;
        }
        let caller = self.notes.caller.get();
        let _entered = self.span.enter();
        tracing::info!(
            status = self.answer.map(|(status, _)| status),
            code = self.answer.and_then(|(_, code)| code),
            duration_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes = self.bytes,
            issuer = caller.map(|caller| &*caller.issuer),
            subject = caller.map(|caller| &*caller.subject),
            client = self.client.map(tracing::field::display),
            sources = self.notes.sources.to_text(),
            "{message}"
        );
    }
}

/// A method as a label; methods that callers make up share one.
pub(super) fn known(method: &Method) -> &str {
    match *method {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE | Method::OPTIONS => {
            method.as_str()
        }
        _ => "other",
    }
}

/// A body whose bytes are counted. It is produced within the span and the trace of its request.
struct LoggedBody {
    body: Body,
    /// The length of the whole body, where it is known.
    expected: Option<u64>,
    line: AccessLine,
}

impl hyper::body::Body for LoggedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        let polled = {
            let _entered = this.line.span.enter();
            trace::entered(this.line.trace, || Pin::new(&mut this.body).poll_frame(cx))
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                this.line.bytes = this.line.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
                this.line.complete |= this.expected == Some(this.line.bytes);
            }
            Poll::Ready(None) => this.line.complete = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
