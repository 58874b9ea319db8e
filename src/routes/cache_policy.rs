//! Answers and the headers that say how long they hold (contract §5).

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::Response;
use serde::Serialize;
use sfv::{Integer, KeyRef, ListSerializer, StringRef, TokenRef};

use crate::model::SourceName;
use crate::service::customers::Detail;
use crate::service::details::CacheNote;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// An answer that nobody keeps.
pub fn uncached<T: Serialize>(answer: &T) -> Response {
    json(answer, NO_STORE)
}

/// A customer: kept by nobody but its caller, and asked for again each time.
pub fn detail(detail: &Detail, raw: bool) -> Response {
    let policy = if raw {
        NO_STORE
    } else {
        HeaderValue::from_static("private, no-cache")
    };
    let mut response = json(&detail.answer, policy);
    if let Some(status) = cache_status(&detail.cache) {
        response.headers_mut().insert(CACHE_STATUS, status);
    }
    response
}

fn json<T: Serialize>(answer: &T, policy: HeaderValue) -> Response {
    let body = serde_json::to_vec(answer).expect("an answer has a JSON form");
    let mut response = Response::new(Body::from(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, policy);
    response
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
