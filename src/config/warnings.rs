//! Settings that are valid and probably not meant.

use std::net::SocketAddr;

use crate::outbound::Way;
use crate::telemetry;

use super::{Config, limits, memory};

/// Returns the warnings about a valid configuration, in a sentence each.
pub(super) fn of(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |applies: bool, text: &str| {
        if applies {
            warnings.push(text.to_owned());
        }
    };
    let (server, cache) = (&config.server, &config.cache_windows);
    warn(
        is_same_port(server.listen, server.admin_listen),
        "server.listen and server.admin_listen use the same port: the gateway cannot listen on both",
    );
    warn(
        server.drain_timeout < server.batch_timeout,
        "server.drain_timeout is shorter than server.batch_timeout: a stop may cut off writes in progress",
    );
    warn(
        server.drain_timeout < server.request_timeout,
        "server.drain_timeout is shorter than server.request_timeout: a stop may cut off reads in progress",
    );
    warn(
        server.merge_grace >= server.request_timeout,
        "server.merge_grace is not shorter than server.request_timeout: a slow source delays every merged detail until the deadline",
    );
    warn(
        server.trusted_proxies.iter().any(|network| network.prefix_len() == 0),
        "server.trusted_proxies contains all addresses: every client can choose the address that its limit is counted by",
    );
    warn(
        server.streams.per_caller > server.streams.total,
        "server.max_streams_per_caller is above server.max_streams and has no effect",
    );
    warn(
        config.cursor_keys.is_none(),
        "cursor.key_file is not set: cursors do not survive a restart and do not work across replicas",
    );
    warn(config.cursor_lifetime.is_zero(), "cursor.lifetime is 0: every cursor has expired when it is used");
    warn(
        cache.fresh > cache.stale || cache.stale > cache.stale_if_error,
        "cache.fresh, cache.stale and cache.stale_if_error are not in ascending order",
    );
    warn(
        config.idempotency_bounds.per_caller > config.idempotency_bounds.total,
        "idempotency.max_bytes_per_caller is above idempotency.max_bytes: one caller can fill the store",
    );
    warn(
        !config.auth.default_sources_all && config.callers.iter().all(|caller| caller.sources.is_none()),
        "auth.default_sources is \"none\" and no caller has sources: only tokens with the claim sources see any source",
    );
    warn(
        !telemetry::applies_to_gateway(&config.log.level),
        "no directive of log.level applies to scrm_gateway: its log is off",
    );
    warnings.extend(memory::warnings(config));
    for caller in config.callers.iter().filter(|caller| caller.sources.as_ref().is_some_and(Vec::is_empty)) {
        warnings
            .push(format!("the caller with subject \"{}\" has an empty list of sources and sees none", caller.subject));
    }
    warnings.extend(limits::warnings(server));
    for source in &config.sources {
        warnings.extend(of_source(config, source));
    }
    warnings
}

fn of_source(config: &Config, source: &crate::upstream::SourceConfig) -> Vec<String> {
    let (name, settings, server) = (&source.name, &source.settings, &config.server);
    let mut warnings = Vec::new();
    for (key, timeout, deadline_key, deadline) in [
        ("timeout", settings.timeout, "request_timeout", server.request_timeout),
        ("write_timeout", settings.write_timeout, "batch_timeout", server.batch_timeout),
    ] {
        if timeout > deadline {
            warnings
                .push(format!("sources.{name}.{key} is longer than server.{deadline_key}, which ends the call first"));
        }
    }
    if Way::to(&settings.base_url) == Way::Plain {
        warnings.push(format!("sources.{name}.base_url is plain http: credentials and customers are sent unencrypted"));
    }
    warnings
}

fn is_same_port(one: SocketAddr, other: SocketAddr) -> bool {
    let overlap = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && overlap
}
