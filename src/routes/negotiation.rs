//! Which representation a caller wants (RFC 9110 §12.5.1).

use axum::extract::{FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use headers::HeaderMapExt;
use headers_accept::Accept;
use mediatype::{MediaType, Name, names};

use crate::model::{Problem, ProblemCode};

const JSON: MediaType<'static> = MediaType::new(names::APPLICATION, names::JSON);
const NDJSON: MediaType<'static> = MediaType::new(names::APPLICATION, Name::new_unchecked("x-ndjson"));
/// What a list may be had as, the usual first.
const PAGE_OR_STREAM: &[MediaType<'static>] = &[JSON, NDJSON];
const JSON_ALONE: &[MediaType<'static>] = &[JSON];

/// A list as a page, or as a stream of all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListForm {
    Page,
    Stream,
}

impl<S: Sync> FromRequestParts<S> for ListForm {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let chosen = choose(&parts.headers, PAGE_OR_STREAM);
        match chosen {
            Some(chosen) if *chosen == NDJSON => Ok(Self::Stream),
            Some(_) => Ok(Self::Page),
            None => Err(not_acceptable("application/json and application/x-ndjson")),
        }
    }
}

/// Refuses callers who do not take JSON, where there is nothing else.
pub async fn json_only(request: Request, next: Next) -> Response {
    if choose(request.headers(), JSON_ALONE).is_none() {
        return not_acceptable("application/json").into_response();
    }
    next.run(request).await
}

fn not_acceptable(offered: &str) -> Problem {
    Problem::new(ProblemCode::NotAcceptable, format!("Accept takes none of what there is: {offered}"))
}

/// No header, and one that cannot be read, take anything.
fn choose(headers: &HeaderMap, offered: &'static [MediaType<'static>]) -> Option<&'static MediaType<'static>> {
    match headers.typed_try_get::<Accept>() {
        Ok(Some(accept)) => accept.negotiate(offered),
        Ok(None) | Err(_) => offered.first(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: Option<&str>) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.extend(accept.map(|accept| (axum::http::header::ACCEPT, accept.parse().unwrap())));
        choose(&headers, PAGE_OR_STREAM).map(ToString::to_string)
    }

    #[test]
    fn json_unless_a_stream_is_asked_for() {
        assert_eq!(form(None).as_deref(), Some("application/json"));
        assert_eq!(form(Some("*/*")).as_deref(), Some("application/json"));
        assert_eq!(form(Some("application/*")).as_deref(), Some("application/json"));
        assert_eq!(form(Some("application/json, */*;q=0.1")).as_deref(), Some("application/json"));
        assert_eq!(form(Some("application/x-ndjson")).as_deref(), Some("application/x-ndjson"));
        assert_eq!(form(Some("application/json;q=0.5, application/x-ndjson")).as_deref(), Some("application/x-ndjson"));
        assert_eq!(form(Some("text/html")), None);
        assert_eq!(form(Some("application/json;q=0, application/x-ndjson;q=0")), None);
    }
}
