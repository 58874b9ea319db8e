//! The parts of the memory limit.

use std::fmt;

use super::limit::Limit;
use super::size::Exact;

/// The smallest limit with which the gateway starts, in bytes. With less, the shares do not hold what one caller may send.
pub const LEAST_LIMIT: u64 = 256 << 20;

const CACHE_PERCENT: u64 = 25;
const IDEMPOTENCY_PERCENT: u64 = 6;
const IN_FLIGHT_PERCENT: u64 = 30;
/// The most of the limit that the two stores may have together. With the bytes in flight that leaves a tenth for connections and
/// the program.
const STORES_PERCENT: u64 = 60;
/// Divisor of the idempotency store's bytes and of those in flight: the quotient is the share of one caller, of the store by default.
pub(super) const CALLERS_PART: usize = 4;
const MIB: u64 = 1 << 20;

/// The memory limit and its parts, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    pub limit: Limit,
    pub cache: u64,
    pub idempotency: u64,
    pub idempotency_per_caller: u64,
    pub in_flight: u64,
}

impl Shares {
    /// Divides the limit. `None` stands for the default of a store's size.
    pub fn new(limit: Limit, cache: Option<u64>, idempotency: Option<u64>, per_caller: Option<u64>) -> Self {
        let percent = |percent| part(limit.bytes, percent);
        let idempotency = idempotency.unwrap_or_else(|| percent(IDEMPOTENCY_PERCENT));
        Self {
            limit,
            cache: cache.unwrap_or_else(|| percent(CACHE_PERCENT)),
            idempotency,
            idempotency_per_caller: per_caller.unwrap_or(idempotency / CALLERS_PART as u64),
            in_flight: percent(IN_FLIGHT_PERCENT),
        }
    }

    /// Returns how many bytes both stores may have at most if they have more.
    pub fn excess(&self) -> Option<u64> {
        let most = part(self.limit.bytes, STORES_PERCENT);
        (self.cache.saturating_add(self.idempotency) > most).then_some(most)
    }

    /// The part of the bytes in flight that one caller may hold.
    pub fn in_flight_per_caller(&self) -> u64 {
        self.in_flight / CALLERS_PART as u64
    }

    /// Every part with its name, in bytes.
    pub fn named(&self) -> [(&'static str, u64); 4] {
        [("cache", self.cache), ("idempotency", self.idempotency), ("in_flight", self.in_flight), ("rest", self.rest())]
    }

    /// The bytes of the limit that remain for connections and the program.
    pub fn rest(&self) -> u64 {
        self.limit.bytes.saturating_sub(self.cache + self.idempotency + self.in_flight)
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", Exact(self.limit.bytes), self.limit.origin)?;
        let shown = |(name, bytes): (&str, u64)| format!("{} {}", name.replace('_', " "), Exact(bytes));
        write!(f, ": {}", self.named().map(shown).join(", "))
    }
}

/// Whole mebibytes, unless that is nothing.
fn part(bytes: u64, percent: u64) -> u64 {
    let exact = u64::try_from(u128::from(bytes) * u128::from(percent) / 100).unwrap_or(u64::MAX);
    if exact < MIB { exact } else { exact / MIB * MIB }
}

#[cfg(test)]
mod tests {
    use super::super::limit::Origin;
    use super::*;

    fn limit(bytes: u64) -> Limit {
        Limit { bytes, origin: Origin::Configured, exceeded: None }
    }

    #[test]
    fn limit_is_divided_by_percent() {
        let shares = Shares::new(limit(1000 << 20), None, None, None);
        assert_eq!((shares.cache >> 20, shares.idempotency >> 20, shares.in_flight >> 20), (250, 60, 300));
        assert_eq!(shares.idempotency_per_caller >> 20, 15);
        assert_eq!(shares.rest() >> 20, 390);
        let shares = Shares::new(limit(1 << 30), None, None, None);
        assert_eq!((shares.cache, shares.idempotency, shares.in_flight), (256 << 20, 61 << 20, 307 << 20));
    }

    #[test]
    fn stores_may_have_sixty_percent_together() {
        let with = |cache: Option<u64>, idempotency: Option<u64>| Shares::new(limit(1000), cache, idempotency, None);
        assert_eq!(with(Some(500), Some(100)).excess(), None);
        assert_eq!(with(Some(500), Some(101)).excess(), Some(600));
        // The default of the one that is not set counts.
        assert_eq!(with(Some(540), None).excess(), None);
        assert_eq!(with(Some(541), None).excess(), Some(600));
        assert_eq!(with(None, Some(351)).excess(), Some(600));
        assert_eq!(with(Some(u64::MAX), Some(u64::MAX)).excess(), Some(600));
    }
}
