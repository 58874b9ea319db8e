//! Renders a [`Problem`] as a response, nothing else.
//!
//! A handler returns the problem; the response carries it along, and [`render`] writes it once the request's id is at
//! hand, so problems of all layers have the same form. A response is rendered once.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::model::{Problem, ProblemCode};

/// The media type of problems (RFC 9457 §3).
pub const PROBLEM_JSON: &str = "application/problem+json";

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
        response.extensions_mut().insert(Box::new(self));
        response
    }
}

/// The code of the problem that was written into a response.
#[derive(Clone, Copy)]
struct Rendered(ProblemCode);

/// The code of the problem that a response carries, or that was written into its body.
pub fn code_of(response: &Response) -> Option<ProblemCode> {
    let extensions = response.extensions();
    let rendered = || extensions.get::<Rendered>().map(|Rendered(code)| *code);
    extensions.get::<Box<Problem>>().map(|problem| problem.code).or_else(rendered)
}

/// The problem that a response carries, until it is rendered.
pub fn problem_mut(response: &mut Response) -> Option<&mut Problem> {
    response.extensions_mut().get_mut::<Box<Problem>>().map(AsMut::as_mut)
}

/// Writes the problem that a response carries into its body and headers; leaves other responses as they are. `public_url`
/// is where callers reach the service, without a slash at its end; empty where that is not known.
pub fn render(mut response: Response, request_id: &str, public_url: &str) -> Response {
    let Some(mut problem) = response.extensions_mut().remove::<Box<Problem>>() else {
        return response;
    };
    response.extensions_mut().insert(Rendered(problem.code));
    problem.request_id = Some(request_id.to_owned());
    problem.kind.insert_str(0, public_url);
    let body = serde_json::to_vec(&problem).expect("a problem has a JSON form");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after(&problem) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(challenge) = problem.challenge.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    *response.body_mut() = Body::from(body);
    response
}

/// The seconds of `Retry-After`. Every 429, 503 and 504 has them.
fn retry_after(problem: &Problem) -> Option<u64> {
    let known = problem.retry_after.map(|after| ceil_seconds(after).max(1));
    known.or_else(|| matches!(problem.status, 429 | 503 | 504).then_some(1))
}

/// Whole seconds, rounded up.
pub fn ceil_seconds(duration: std::time::Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
