//! Which representation a caller wants (RFC 9110 §12.5.1).

use std::cmp::Reverse;

use axum::extract::{FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mediatype::{MediaType, MediaTypeList, Name, ReadParams, names};

use crate::model::{Problem, ProblemCode};

const JSON: MediaType<'static> = MediaType::new(names::APPLICATION, names::JSON);
const NDJSON: MediaType<'static> = MediaType::new(names::APPLICATION, Name::new_unchecked("x-ndjson"));
/// The representations of a list, the default first.
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
            None => Err(not_acceptable("application/json, application/x-ndjson")),
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
    Problem::new(ProblemCode::NotAcceptable, format!("Accept allows no supported media type; supported: {offered}"))
}

/// Returns the offered media type that the caller prefers: by quality, then by how specific the matching range is, then
/// by the order in `Accept`. Without `Accept`, or without a readable range in it, that is the first one.
fn choose(headers: &HeaderMap, offered: &'static [MediaType<'static>]) -> Option<&'static MediaType<'static>> {
    let lines: Vec<_> = headers.get_all(ACCEPT).iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    let ranges: Vec<MediaType<'_>> =
        lines.iter().flat_map(|line| MediaTypeList::new(line)).filter_map(Result::ok).collect();
    if ranges.is_empty() {
        return offered.first();
    }
    let preference = |media_type: &MediaType<'static>| {
        let matches = ranges
            .iter()
            .enumerate()
            .filter_map(|(position, range)| Some((specificity(range, media_type)?, quality(range), Reverse(position))));
        // The most specific range decides, also where it excludes what a wider one allows.
        let (specificity, quality, position) = matches.max()?;
        (quality > 0).then_some((quality, specificity, position))
    };
    let preferences = offered.iter().rev().filter_map(|media_type| Some((preference(media_type)?, media_type)));
    preferences.max_by_key(|(preference, _)| *preference).map(|(_, media_type)| media_type)
}

/// How closely a range describes a media type; `None` where it does not match. Parameters such as `charset` do not count.
fn specificity(range: &MediaType<'_>, media_type: &MediaType<'_>) -> Option<u8> {
    let is_same_type = range.ty == media_type.ty;
    if is_same_type && range.subty == media_type.subty && range.suffix == media_type.suffix {
        Some(2)
    } else if is_same_type && range.subty == names::_STAR {
        Some(1)
    } else {
        (range.ty == names::_STAR && range.subty == names::_STAR).then_some(0)
    }
}

/// The range's `q` in thousandths; 1,000 where it is absent or unreadable.
fn quality(range: &MediaType<'_>) -> u16 {
    let quality = range.get_param(names::Q).and_then(|value| value.as_str().parse::<f32>().ok());
    let quality = quality.filter(|quality| quality.is_finite()).unwrap_or(1.0).clamp(0.0, 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 1,000")]
    let thousandths = (quality * 1_000.0).round() as u16;
    thousandths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.extend(accept.iter().map(|accept| (ACCEPT, accept.parse().unwrap())));
        choose(&headers, PAGE_OR_STREAM).map(ToString::to_string)
    }

    #[test]
    fn accept_chooses_json_unless_stream_is_preferred() {
        for accept in [
            &[][..],
            &["*/*"],
            &["application/*"],
            &["application/json, */*;q=0.1"],
            &["application/json, application/x-ndjson"],
            &["application/x-ndjson;q=0.4, application/json;q=0.5"],
            &["application/json", "application/x-ndjson;q=0.9"],
            // A browser, axios, and Java's URLConnection.
            &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
            &["application/json, text/plain, */*"],
            &["text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"],
        ] {
            assert_eq!(form(accept).as_deref(), Some("application/json"), "{accept:?}");
        }
        for accept in [
            &["application/x-ndjson"][..],
            &["application/json;q=0.5, application/x-ndjson"],
            &["application/x-ndjson, application/json"],
            &["*/*, application/x-ndjson"],
            &["application/json;q=0, */*"],
            &["application/json;q=0.1", "application/x-ndjson;q=0.2"],
        ] {
            assert_eq!(form(accept).as_deref(), Some("application/x-ndjson"), "{accept:?}");
        }
        for accept in
            ["text/html", "application/json;q=0, application/x-ndjson;q=0", "*/*;q=0", "application/vnd.api+json"]
        {
            assert_eq!(form(&[accept]), None, "{accept}");
        }
    }

    #[test]
    fn range_parameters_do_not_prevent_match() {
        for accept in [
            "application/json; charset=utf-8",
            "application/json;odata.metadata=minimal",
            "application/json;odata.metadata=minimal;q=0.9, application/x-ndjson;q=0.8",
            "Application/JSON;Charset=\"utf-8\"",
            "application/json;",
            "application/json;profile=\"a, b;q=0\"",
            "application/*;charset=utf-8",
            "*/*;charset=utf-8",
            "application/json;v=2;q=0, application/json",
        ] {
            assert_eq!(form(&[accept]).as_deref(), Some("application/json"), "{accept}");
        }
        for accept in
            ["application/x-ndjson; charset=utf-8", "application/json;v=2;q=0.3, application/x-ndjson;x=y;q=0.4"]
        {
            assert_eq!(form(&[accept]).as_deref(), Some("application/x-ndjson"), "{accept}");
        }
        for accept in ["application/json;charset=utf-8;q=0", "text/csv;charset=utf-8", "application/json; Q=0.000"] {
            assert_eq!(form(&[accept]), None, "{accept}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_accept_is_read(accept in "[ -~é]{0,40}|(\\*/\\*|application/(json|x-ndjson)|[;,=\"\\\\ ]|q=[0-9.]{1,3}|é){0,12}") {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, axum::http::HeaderValue::from_bytes(accept.as_bytes()).unwrap());
            let _chosen = choose(&headers, PAGE_OR_STREAM);
        }
    }

    #[test]
    fn accept_without_readable_range_is_ignored() {
        for accept in ["", " ", ",", ", ,", "json", "application/", "*"] {
            assert_eq!(form(&[accept]).as_deref(), Some("application/json"), "{accept:?}");
        }
        assert_eq!(form(&["", "application/x-ndjson"]).as_deref(), Some("application/x-ndjson"));
    }
}
