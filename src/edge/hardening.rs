//! Headers that keep a browser from doing more with an answer than reading it. Who answers with a page says so itself.

use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, HeaderName, X_CONTENT_TYPE_OPTIONS};
use axum::response::Response;

/// On every answer, whatever was asked (OWASP REST Security Cheat Sheet, "Security Headers"). What TLS needs is for who ends it.
static HEADERS: [(HeaderName, HeaderValue); 3] = [
    // JSON is JSON, also where somebody's markup is in it.
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    // Shown as a page it loads nothing, runs nothing, and stands in no frame.
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    // No other site has it loaded as a script or an image. Pages of `cors.origins` ask in another way, which this does not
    // touch.
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Adds what the answer does not have yet.
pub(super) fn add(mut response: Response) -> Response {
    for (name, value) in &HEADERS {
        response.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    response
}
