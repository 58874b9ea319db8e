//! Compression of the API's responses, negotiated by `Accept-Encoding` without ever changing a status. Routes without a
//! token are not compressed; the documentation has its own files in both codings.

use axum::extract::Request;
use axum::http::header::{ACCEPT_ENCODING, VARY};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};

/// The status that the handler answered with.
#[derive(Clone, Copy)]
struct Answered(StatusCode);

/// Compresses everything but streams, whose lines must go out as they come. The fastest level: a page of customers is
/// compressed for each request.
pub(super) fn layer() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(DefaultPredicate::new().and(NotForContentType::const_new("application/x-ndjson")))
}

/// Goes inside of [`layer`]: notes the status for [`keep_status`].
pub(super) fn note_status(mut response: Response) -> Response {
    let status = response.status();
    response.extensions_mut().insert(Answered(status));
    response
}

/// Goes outside of [`layer`], which turns an answer into a 406 where `Accept-Encoding` allows no coding that it knows
/// (`identity;q=0`). The handler has run by then, and a write may have been applied: the caller gets the handler's answer
/// uncompressed (RFC 9110 §12.5.3).
pub(super) async fn keep_status(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(Answered(status)) = response.extensions().get().copied() {
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
