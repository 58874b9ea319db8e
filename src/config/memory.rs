//! Checks the memory limit and the sizes within it.

use bytesize::ByteSize;

use crate::memory::limit::{Limit, Origin};
use crate::memory::size::{About, Exact};
use crate::memory::{LEAST_LIMIT, Shares, largest_body};

use super::Config;
use super::check::Checker;
use super::raw::Raw;

/// What a batch of 1,000 items reserves in the idempotency store, in bytes: 1,200 for each item, and the entry.
const KEYED_BATCH: u64 = 1_200 << 10;

/// Returns the warnings about sizes that the memory does not allow, in a sentence each.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let memory = &config.memory;
    if let Some((bytes, origin)) = memory.limit.exceeded {
        let configured = Exact(memory.limit.bytes);
        warnings.push(format!("server.memory_limit ({configured}) is above {} ({})", origin.of_limit(), Exact(bytes)));
    }
    let share = usize::try_from(memory.in_flight_per_caller()).unwrap_or(usize::MAX);
    let (limit, largest) = (config.server.body_limit, largest_body(share));
    if limit > largest {
        warnings.push(format!(
            "server.body_limit ({}) is above {}, the largest body for which one caller's share has memory; larger bodies get 413",
            Exact(limit as u64),
            About(largest as u64),
        ));
    }
    for (key, bytes) in [
        ("idempotency.max_bytes", memory.idempotency),
        ("idempotency.max_bytes_per_caller", memory.idempotency_per_caller),
    ] {
        if bytes < KEYED_BATCH {
            warnings.push(format!(
                "{key} ({}) is below {}, which a batch of 1,000 items with an Idempotency-Key reserves: such batches are refused",
                Exact(bytes),
                Exact(KEYED_BATCH),
            ));
        }
    }
    warnings
}

impl Checker<'_> {
    /// Divides the memory limit. Sizes that are not set follow from it.
    pub(super) fn memory(&mut self, raw: &Raw) -> Shares {
        let bytes = |size: Option<ByteSize>| size.map(|size| size.as_u64());
        let limit = Limit::of_process(bytes(raw.server.memory_limit));
        let (cache, idempotency) = (&raw.cache, &raw.idempotency);
        let shares = Shares::new(
            limit,
            bytes(cache.max_bytes),
            bytes(idempotency.max_bytes),
            bytes(idempotency.max_bytes_per_caller),
        );
        if limit.bytes < LEAST_LIMIT {
            let least = Exact(LEAST_LIMIT);
            self.reject(
                "server.memory_limit",
                match limit.origin {
                    Origin::Configured => format!("expected at least {least}"),
                    origin => format!("expected at least {least}; {} is {}", origin.of_limit(), Exact(limit.bytes)),
                },
            );
        } else if let Some(most) = shares.excess() {
            self.reject_stores(shares, most, [cache.max_bytes.is_some(), idempotency.max_bytes.is_some()]);
        }
        shares
    }

    /// Stores that are too large together. `are_set`: the cache, the idempotency store.
    fn reject_stores(&mut self, shares: Shares, most: u64, are_set: [bool; 2]) {
        let shown = |key: &str, bytes: u64, is_set: bool| {
            format!("{key} ({}{})", Exact(bytes), if is_set { "" } else { ", default" })
        };
        let [cache_is_set, idempotency_is_set] = are_set;
        let message = format!(
            "{} + {} exceed {}, 60 % of the memory limit ({}); lower one of them or raise server.memory_limit",
            shown("cache.max_bytes", shares.cache, cache_is_set),
            shown("idempotency.max_bytes", shares.idempotency, idempotency_is_set),
            Exact(most),
            Exact(shares.limit.bytes),
        );
        self.reject(if cache_is_set { "cache.max_bytes" } else { "idempotency.max_bytes" }, message);
    }
}
