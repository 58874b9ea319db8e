//! One deadline per request: the server's, cut by the caller's `Prefer: wait=N` (RFC 7240 §4.3). It begins at the end of the
//! head; that of a write begins again when its body has arrived, which has a limit of its own ([`crate::pace`]).

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

use crate::upstream::Deadline;

/// The server's own bounds.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub request: Duration,
    /// Of writes, which go out in several chunks.
    pub batch: Duration,
}

/// The time from the start of a request's work to its deadline.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeAllowed(pub(super) Duration);

pub(super) async fn set(State(timeouts): State<Timeouts>, mut request: Request, next: Next) -> Response {
    let own = if *request.method() == Method::POST { timeouts.batch } else { timeouts.request };
    let allowed = own.min(preferred_wait(request.headers()).unwrap_or(own));
    request.extensions_mut().insert(Deadline(Instant::now() + allowed));
    request.extensions_mut().insert(TimeAllowed(allowed));
    next.run(request).await
}

/// What cannot be read is passed over: a preference binds nobody; of one that is there twice the first counts (RFC 7240
/// §2). Its grammar is not that of structured fields: names have no case, values may be quoted.
fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(',')).map(|preference| {
        let (name, value) = preference.split(';').next().unwrap_or_default().split_once('=').unwrap_or_default();
        (name.trim(), value.trim().trim_matches('"'))
    });
    let (_, seconds) = preferences.find(|(name, _)| name.eq_ignore_ascii_case("wait"))?;
    seconds.parse().ok().map(Duration::from_secs)
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
        assert_eq!(wait("Wait = \"1\""), Some(Duration::from_secs(1)));
        assert_eq!(wait("wait=2, wait=9"), Some(Duration::from_secs(2)));
        assert_eq!(wait("respond-async; wait=1"), None);
    }
}
