//! Numbers for Prometheus, on the admin port. Labels are route templates, source names and codes, never ids.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Seconds; a shared scale, so that histograms of several replicas add up.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0];

/// How often [`upkeep`] is worth its while.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(5);

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to count, once a process. Without it, nothing is counted and nothing fails.
pub fn install() {
    HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).ok()?;
        let handle = builder.install_recorder().ok()?;
        describe();
        Some(handle)
    });
}

/// The text that Prometheus reads.
pub fn render() -> String {
    HANDLE.get().and_then(Option::as_ref).map(PrometheusHandle::render).unwrap_or_default()
}

/// Folds what was recorded since the last call, so that it does not grow while nobody reads it.
pub fn upkeep() {
    if let Some(handle) = HANDLE.get().and_then(Option::as_ref) {
        handle.run_upkeep();
    }
}

fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_histogram!(REQUESTS, Unit::Seconds, "Requests, by route, method, status and problem code.");
    describe_histogram!(CALLS, Unit::Seconds, "Calls to sources, by operation and decoded outcome.");
    describe_counter!(LOOKUPS, "Lookups of details, by source and what the cache did.");
    describe_counter!(TOKENS, "Good tokens, by issuer and whether their signature was checked or known to be good.");
    describe_counter!(CONNECTIONS, "Connections that the gateway closed or refused, by reason.");
    describe_counter!(JWKS, "Fetches of JWK sets, by issuer and result.");
    describe_gauge!(MEMORY_LIMIT, Unit::Bytes, "The memory limit.");
    describe_gauge!(MEMORY_SHARE, Unit::Bytes, "The parts of the memory limit, by share.");
    describe_gauge!(MEMORY_IN_FLIGHT, Unit::Bytes, "Memory that is reserved for requests in flight.");
    describe_counter!(MEMORY_REFUSALS, "Reservations of memory that were refused, by the limit that was reached.");
}

const REQUESTS: &str = "http_server_request_duration_seconds";
const CALLS: &str = "source_call_duration_seconds";
const LOOKUPS: &str = "detail_cache_lookups_total";
const TOKENS: &str = "good_tokens_total";
const CONNECTIONS: &str = "connections_closed_total";
const JWKS: &str = "jwks_fetches_total";
const MEMORY_LIMIT: &str = "memory_limit_bytes";
const MEMORY_SHARE: &str = "memory_share_bytes";
const MEMORY_IN_FLIGHT: &str = "memory_in_flight_bytes";
const MEMORY_REFUSALS: &str = "memory_refusals_total";

/// A request was answered. `code` is its problem's, or empty.
pub fn request(route: &str, method: &str, status: u16, code: &'static str, took: Duration) {
    let labels = [
        ("route", route.to_owned()),
        ("method", method.to_owned()),
        ("status", status.to_string()),
        ("code", code.to_owned()),
    ];
    metrics::histogram!(REQUESTS, &labels).record(took);
}

/// A source was called. `outcome` is `ok` or the problem's code.
pub fn call(source: &str, operation: &'static str, outcome: &'static str, took: Duration) {
    metrics::histogram!(CALLS, "source" => source.to_owned(), "operation" => operation, "outcome" => outcome)
        .record(took);
}

/// A detail was looked up.
pub fn lookup(source: &str, result: &'static str) {
    metrics::counter!(LOOKUPS, "source" => source.to_owned(), "result" => result).increment(1);
}

/// A token was found good. `issuer` is its name in the configuration, `by` is `signature` or `reuse`.
pub fn good_token(issuer: &str, by: &'static str) {
    metrics::counter!(TOKENS, "issuer" => issuer.to_owned(), "by" => by).increment(1);
}

/// A connection was closed because of a limit. `reason` is `address_limit`, `head_budget`, `slow_response`, `idle_response` or
/// `made_room`.
pub fn connection_closed(reason: &'static str) {
    metrics::counter!(CONNECTIONS, "reason" => reason).increment(1);
}

/// A JWK set was fetched. `result` is `changed`, `same` or `failed`.
pub fn jwks_fetch(issuer: &str, result: &'static str) {
    metrics::counter!(JWKS, "issuer" => issuer.to_owned(), "result" => result).increment(1);
}

/// Records the memory limit and its parts, in bytes.
pub fn memory_limit(limit: u64, shares: [(&'static str, u64); 4]) {
    metrics::gauge!(MEMORY_LIMIT).set(to_f64(limit));
    for (share, bytes) in shares {
        metrics::gauge!(MEMORY_SHARE, "share" => share).set(to_f64(bytes));
    }
    metrics::gauge!(MEMORY_IN_FLIGHT).increment(0.0);
    for scope in ["total", "caller", "request"] {
        metrics::counter!(MEMORY_REFUSALS, "scope" => scope).increment(0);
    }
}

/// Records bytes that were reserved for a request in flight.
pub fn memory_reserved(bytes: usize) {
    metrics::gauge!(MEMORY_IN_FLIGHT).increment(to_f64(bytes as u64));
}

/// Records bytes that a request in flight gave back.
pub fn memory_released(bytes: usize) {
    metrics::gauge!(MEMORY_IN_FLIGHT).decrement(to_f64(bytes as u64));
}

/// Records a reservation that was refused. `scope` is the limit that was reached: `total`, `caller` or `request`.
pub fn memory_refused(scope: &'static str) {
    metrics::counter!(MEMORY_REFUSALS, "scope" => scope).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory stay below 2^53")]
fn to_f64(bytes: u64) -> f64 {
    bytes as f64
}
