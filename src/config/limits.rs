//! Limits of connections, requests and transfers that do not fit together.

use std::time::Duration;

use humantime::format_duration;

use crate::memory::size::Exact;
use crate::pace::GRACE;
use crate::store::concurrency::caller_share;

use super::Server;

/// A body that must be able to use `server.body_timeout`, in bytes: the default of `server.body_limit`.
const LARGE_BODY: usize = 8 << 20;
/// Addresses that together may hold all connections, at least.
const ADDRESSES: usize = 4;

/// Returns the warnings, in a sentence each.
pub(super) fn warnings(server: &Server) -> Vec<String> {
    [connections(server), streams(server), body_rate(server)].into_iter().flatten().chain(timeouts(server)).collect()
}

/// Few addresses can hold all connections. `server.max_connections` is what is left of it under the limit of open files.
fn connections(server: &Server) -> Option<String> {
    let (all, one) = (server.max_connections, server.max_connections_per_address);
    if one >= all {
        return Some(format!(
            "server.max_connections_per_address ({one}) is not below server.max_connections ({all}): one address can hold all \
             connections"
        ));
    }
    (one.saturating_mul(ADDRESSES) > all).then(|| {
        format!(
            "server.max_connections_per_address ({one}) is above a quarter of server.max_connections ({all}): {} addresses can \
             hold all connections",
            all.div_ceil(one),
        )
    })
}

/// A stream holds a permit of its caller's share until it ends.
fn streams(server: &Server) -> Option<String> {
    let (share, streams) = (caller_share(server.max_in_flight), server.streams.per_caller);
    (streams > share).then(|| {
        format!(
            "server.max_streams_per_caller ({streams}) is above {share}, the requests that one caller may have in flight (a quarter of \
             server.max_in_flight): further streams are refused"
        )
    })
}

/// `server.min_rate` ends even large bodies before `server.body_timeout`.
fn body_rate(server: &Server) -> Option<String> {
    let (pace, body) = (server.body_pace, server.body_limit.max(LARGE_BODY) as u64);
    // Of a body at a steady rate.
    let longest = GRACE + Duration::from_secs(body / pace.min_rate);
    (GRACE < pace.timeout && longest < pace.timeout).then(|| {
        format!(
            "server.min_rate ({}) ends a body of {} after {}: server.body_timeout ({}) has no effect",
            Exact(pace.min_rate.get()),
            Exact(body),
            format_duration(longest),
            format_duration(pace.timeout),
        )
    })
}

/// Timeouts that end before `server.min_rate` applies.
fn timeouts(server: &Server) -> impl Iterator<Item = String> {
    let of = [("body", "bodies", server.body_pace), ("response", "responses", server.response_pace)];
    of.into_iter().filter(|(_, _, pace)| pace.timeout <= GRACE).map(|(key, transfers, pace)| {
        format!(
            "server.{key}_timeout ({}) is not longer than {}, after which server.min_rate applies: server.min_rate has no effect on \
             {transfers}",
            format_duration(pace.timeout),
            format_duration(GRACE),
        )
    })
}
