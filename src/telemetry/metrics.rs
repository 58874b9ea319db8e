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
    use metrics::{Unit, describe_counter, describe_histogram};
    describe_histogram!(REQUESTS, Unit::Seconds, "Requests, by route, method, status and problem code.");
    describe_histogram!(CALLS, Unit::Seconds, "Calls to sources, by operation and decoded outcome.");
    describe_counter!(LOOKUPS, "Lookups of details, by source and what the cache did.");
    describe_counter!(TOKENS, "Good tokens, by issuer and whether their signature was checked or known to be good.");
    describe_counter!(CONNECTIONS, "Connections that the gateway closed or refused, by reason.");
    describe_counter!(JWKS, "Fetches of JWK sets, by issuer and result.");
}

const REQUESTS: &str = "http_server_request_duration_seconds";
const CALLS: &str = "source_call_duration_seconds";
const LOOKUPS: &str = "detail_cache_lookups_total";
const TOKENS: &str = "good_tokens_total";
const CONNECTIONS: &str = "connections_closed_total";
const JWKS: &str = "jwks_fetches_total";

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
