//! One deadline a request: the server's, cut by the caller's `Prefer: wait=N` (RFC 7240 §4.3).

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;
use sfv::{BareItem, Dictionary, ListEntry, Parser};
use tokio::time::Instant;

use crate::upstream::Deadline;

/// The server's own bounds.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub request: Duration,
    /// Of writes, which go out in several chunks.
    pub batch: Duration,
}

pub(super) async fn set(State(timeouts): State<Timeouts>, mut request: Request, next: Next) -> Response {
    let own = if *request.method() == Method::POST { timeouts.batch } else { timeouts.request };
    let allowed = own.min(preferred_wait(request.headers()).unwrap_or(own));
    request.extensions_mut().insert(Deadline(Instant::now() + allowed));
    next.run(request).await
}

/// What cannot be read is passed over: a preference binds nobody (RFC 7240 §2).
fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    headers.get_all("prefer").iter().find_map(|value| {
        let preferences = Parser::new(value.as_bytes()).parse::<Dictionary>().ok()?;
        let ListEntry::Item(item) = preferences.get("wait")? else {
            return None;
        };
        let BareItem::Integer(seconds) = item.bare_item else {
            return None;
        };
        u64::try_from(i64::from(seconds)).ok().map(Duration::from_secs)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_seconds_is_read_and_anything_else_passed_over() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", text.parse().unwrap());
            preferred_wait(&headers)
        };
        assert_eq!(wait("wait=3"), Some(Duration::from_secs(3)));
        assert_eq!(wait("respond-async, wait=10"), Some(Duration::from_secs(10)));
        assert_eq!(wait("wait=-1"), None);
        assert_eq!(wait("wait=soon"), None);
        assert_eq!(wait("return=minimal"), None);
    }
}
