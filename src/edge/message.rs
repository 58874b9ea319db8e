//! Refuses messages that a proxy in front may have read in another way than we do (RFC 9112 §3.2, §6.1). What is no HTTP at
//! all was refused before it got here.

use axum::extract::Request;
use axum::http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::model::{Problem, ProblemCode};

pub(super) async fn check(request: Request, next: Next) -> Response {
    let Some(fault) = fault(&request) else { return next.run(request).await };
    let mut response = Problem::new(ProblemCode::InvalidRequest, fault).into_response();
    // What follows on the connection may be of another message than it seems.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Returns what makes the message ambiguous.
pub(super) fn fault(request: &Request) -> Option<&'static str> {
    let headers = request.headers();
    if request.version() == Version::HTTP_11 && !has_one_host(headers) {
        return Some("expected one Host header, a host with or without a port");
    }
    // hyper goes by the last coding, and passes over what stands before it. A Content-Length beside it is its own affair:
    // it reads chunks, and closes the connection after its answer.
    let one_is_chunked =
        |(index, coding): (usize, &HeaderValue)| index == 0 && coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if !headers.get_all(TRANSFER_ENCODING).iter().enumerate().all(one_is_chunked) {
        return Some("expected no Transfer-Encoding other than chunked");
    }
    None
}

fn has_one_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let one = hosts.next().and_then(|host| Authority::try_from(host.as_bytes()).ok());
    one.is_some_and(|host| !host.as_str().contains('@')) && hosts.next().is_none()
}
