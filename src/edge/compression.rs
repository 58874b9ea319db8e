//! Compression of the API's responses, negotiated by `Accept-Encoding` without ever changing a status. Routes without a
//! token are not compressed; the documentation has its own files in both codings.

use axum::extract::Request;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};

use crate::error;
use crate::memory::UNCOUNTED;
use crate::service::RequestContext;

use super::answer;

/// Bytes that the encoder of an answer holds: zlib-rs's tables and window, and a buffer.
const ENCODER_BYTES: usize = 384 * 1024;

/// What the handler answered with.
#[derive(Clone, Copy)]
struct Answered {
    status: StatusCode,
    /// The length of the body; 0 of a stream.
    bytes: usize,
    /// Whether there is memory for an encoder.
    has_room: bool,
}

/// Compresses everything but streams, whose lines must go out as they come, and answers whose encoder has no memory. The fastest
/// level: a page of customers is compressed for each request.
pub(super) fn layer() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(DefaultPredicate::new().and(NotForContentType::const_new("application/x-ndjson")).and(has_room))
}

fn has_room(_: StatusCode, _: Version, _: &HeaderMap, extensions: &Extensions) -> bool {
    extensions.get().is_none_or(|answered: &Answered| answered.has_room)
}

/// Goes inside of [`layer`]: notes the status for [`keep_status`] and the length for [`held_bytes`], and reserves the memory of an
/// encoder.
pub(super) async fn note_answer(request: Request, next: Next) -> Response {
    let context = request.extensions().get::<RequestContext>();
    let memory =
        context.filter(|_| request.headers().contains_key(ACCEPT_ENCODING)).map(|context| context.memory.clone());
    let mut response = next.run(request).await;
    let bytes = answer::length(&response);
    let is_problem = error::code_of(&response).is_some();
    let memory = memory.filter(|_| !is_problem);
    let has_room = memory.is_none_or(|memory| answer::reserve(&memory, bytes + encoder_bytes(bytes)));
    let status = response.status();
    response.extensions_mut().insert(Answered { status, bytes, has_room });
    response
}

/// Bytes of the encoder of an answer. That of a small one ends at once, however slowly the answer is read.
fn encoder_bytes(bytes: usize) -> usize {
    if bytes > UNCOUNTED { ENCODER_BYTES } else { 0 }
}

/// Returns the bytes that a compressed answer holds until it is written: all of the uncompressed body, and the encoder.
pub(super) fn held_bytes(response: &Response) -> Option<usize> {
    let Answered { bytes, .. } =
        response.extensions().get().filter(|_| response.headers().contains_key(CONTENT_ENCODING))?;
    Some(bytes + encoder_bytes(*bytes))
}

/// Goes outside of [`layer`], which turns an answer into a 406 where `Accept-Encoding` allows no coding that it knows
/// (`identity;q=0`). The handler has run by then, and a write may have been applied: the caller gets the handler's answer
/// uncompressed (RFC 9110 §12.5.3).
pub(super) async fn keep_status(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(Answered { status, .. }) = response.extensions().get().copied() {
        *response.status_mut() = status;
    }
    // A 304 has no body to compress, and has the same `Vary` as the 200 that it stands for (RFC 9110 §15.4.5).
    if response.status() == StatusCode::NOT_MODIFIED && !varies_by_encoding(&response) {
        response.headers_mut().append(VARY, HeaderValue::from(ACCEPT_ENCODING));
    }
    response
}

fn varies_by_encoding(response: &Response) -> bool {
    let lines = response.headers().get_all(VARY).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|name| name.trim().eq_ignore_ascii_case(ACCEPT_ENCODING.as_str()))
}
