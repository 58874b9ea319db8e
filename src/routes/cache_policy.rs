//! Answers and the headers that say how long they hold and how they came about (contract §5).

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use serde::Serialize;
use sfv::{Integer, KeyRef, ListSerializer, StringRef, TokenRef};
use sha2::{Digest, Sha256};

use crate::model::{CustomerAnswer, SourceName, SourceStatus};
use crate::service::customers::Detail;
use crate::service::details::{CacheNote, Freshness};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// Bytes of the hash that an `ETag` is made of.
const ETAG_BYTES: usize = 16;

/// An answer that nobody keeps.
pub fn uncached<T: Serialize>(answer: &T) -> Response {
    uncached_bytes(serde_json::to_vec(answer).expect("an answer has a JSON form").into())
}

/// The same, of JSON that is written already.
pub fn uncached_bytes(json: axum::body::Bytes) -> Response {
    let mut response = Response::new(Body::from(json));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

/// A customer: kept by nobody but its caller, who asks each time whether it still holds.
pub fn detail(detail: &Detail, raw: bool, request: &HeaderMap) -> Response {
    let mut response = if raw { uncached(&detail.answer) } else { revalidated(&detail.answer, request) };
    let headers = response.headers_mut();
    headers.extend(cache_status(&detail.cache).map(|status| (CACHE_STATUS, status)));
    headers.insert(SERVER_TIMING, server_timing(&detail.cache));
    response
}

/// Whether the caller asks for an answer of now: `Cache-Control: no-cache` (RFC 9111 §5.2.1.4). Names of directives are
/// compared without regard to case (§5.2), which the reader of the `headers` crate does not do.
///
/// `fetch` in browsers and in Node adds `no-cache` to each request that has `If-None-Match` (Fetch, "HTTP-network-or-cache
/// fetch"), so the directive is ignored beside that header.
pub fn freshness(request: &HeaderMap) -> Freshness {
    if request.contains_key(IF_NONE_MATCH) {
        return Freshness::Cached;
    }
    let values = request.get_all(CACHE_CONTROL).iter();
    let mut directives = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    if directives.any(|directive| directive.trim().eq_ignore_ascii_case("no-cache")) {
        Freshness::Revalidate
    } else {
        Freshness::Cached
    }
}

fn revalidated(answer: &CustomerAnswer, request: &HeaderMap) -> Response {
    let etag = etag(answer);
    let holds = etag.parse::<ETag>().is_ok_and(|etag| {
        request.typed_get::<IfNoneMatch>().is_some_and(|condition| !condition.precondition_passes(&etag))
    });
    let mut response = if holds { Response::new(Body::empty()) } else { uncached(answer) };
    if holds {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(VARY, HeaderValue::from_static("Accept, Authorization"));
    headers.extend(HeaderValue::from_str(&etag).ok().map(|etag| (ETAG, etag)));
    response
}

/// Weak: over what is said, not over when it was fetched.
fn etag(answer: &CustomerAnswer) -> String {
    let statuses: Vec<(&SourceName, SourceStatus)> =
        answer.meta.sources.iter().map(|report| (&report.source, report.status)).collect();
    let said = serde_json::to_vec(&(&answer.data, statuses, &answer.meta.warnings)).expect("it has a JSON form");
    format!("W/\"{}\"", URL_SAFE_NO_PAD.encode(&Sha256::digest(said)[..ETAG_BYTES]))
}

/// One member a source that was asked (RFC 9211).
fn cache_status(notes: &[(SourceName, CacheNote)]) -> Option<HeaderValue> {
    let mut list = ListSerializer::new();
    for (source, note) in notes {
        let name = format!("scrm-gateway/{source}");
        let mut member = list.bare_item(StringRef::from_str(&name).ok()?);
        if note.hit {
            member = member.parameter(KeyRef::from_str("hit").ok()?, true);
        } else {
            let why = if note.bypass { "request" } else { "miss" };
            member = member.parameter(KeyRef::from_str("fwd").ok()?, TokenRef::from_str(why).ok()?);
        }
        if let Some(ttl) = note.ttl {
            member = member.parameter(KeyRef::from_str("ttl").ok()?, Integer::try_from(ttl).ok()?);
        }
        for (name, said) in [("stored", note.stored), ("collapsed", note.collapsed)] {
            if said {
                member = member.parameter(KeyRef::from_str(name).ok()?, true);
            }
        }
        drop(member);
    }
    HeaderValue::from_str(&list.finish()?).ok()
}

/// The cache's part (W3C Server Timing); the edge adds its own, and each source's.
fn server_timing(notes: &[(SourceName, CacheNote)]) -> HeaderValue {
    let hits = notes.iter().filter(|(_, note)| note.hit).count();
    HeaderValue::from_static(match hits {
        0 => "cache;desc=miss",
        hits if hits == notes.len() => "cache;desc=hit",
        _ => "cache;desc=partial",
    })
}
