//! Checks the memory limit and the sizes of the stores within it.

use bytesize::ByteSize;

use crate::memory::limit::{Limit, Origin};
use crate::memory::{LEAST_LIMIT, Shares};

use super::check::Checker;
use super::raw::Raw;

impl Checker<'_> {
    /// Divides the memory limit, and fills the sizes that are not set in.
    pub(super) fn memory(&mut self, raw: &mut Raw) -> Shares {
        let bytes = |size: Option<ByteSize>| size.map(|size| size.as_u64());
        let limit = Limit::of_process(bytes(raw.server.memory_limit));
        let (cache, idempotency) = (&mut raw.cache, &mut raw.idempotency);
        let shares = Shares::new(
            limit,
            bytes(cache.max_bytes),
            bytes(idempotency.max_bytes),
            bytes(idempotency.max_bytes_per_caller),
        );
        if limit.bytes < LEAST_LIMIT {
            let least = ByteSize(LEAST_LIMIT);
            self.reject(
                "server.memory_limit",
                match limit.origin {
                    Origin::Configured => format!("expected at least {least}"),
                    origin => format!("expected at least {least}; the limit of {origin} is {}", ByteSize(limit.bytes)),
                },
            );
        } else if let Some(most) = shares.excess() {
            self.reject_stores(shares, most, [cache.max_bytes.is_some(), idempotency.max_bytes.is_some()]);
        }
        raw.server.memory_limit = Some(ByteSize(limit.bytes));
        cache.max_bytes = Some(ByteSize(shares.cache));
        idempotency.max_bytes = Some(ByteSize(shares.idempotency));
        idempotency.max_bytes_per_caller = Some(ByteSize(shares.idempotency_per_caller));
        shares
    }

    /// Stores that are too large together. `are_set`: the cache, the idempotency store.
    fn reject_stores(&mut self, shares: Shares, most: u64, are_set: [bool; 2]) {
        let shown = |key: &str, bytes: u64, is_set: bool| {
            format!("{key} ({}{})", ByteSize(bytes), if is_set { "" } else { " by default" })
        };
        let [cache_is_set, idempotency_is_set] = are_set;
        let message = format!(
            "{} and {} may have 60 % of the memory limit of {} ({}) together, which is {}",
            shown("cache.max_bytes", shares.cache, cache_is_set),
            shown("idempotency.max_bytes", shares.idempotency, idempotency_is_set),
            ByteSize(shares.limit.bytes),
            shares.limit.origin,
            ByteSize(most),
        );
        self.reject(if cache_is_set { "cache.max_bytes" } else { "idempotency.max_bytes" }, message);
    }
}
