//! Quotas of callers: GCRA, one bucket a caller, by the `governor` crate.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::clock::TokioClock;
use crate::model::{CallerId, QuotaState};

/// How much a caller may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaConfig {
    pub requests: NonZeroU32,
    pub window: Duration,
    pub burst: NonZeroU32,
}

impl QuotaConfig {
    /// The time in which one request is given back.
    pub fn period(&self) -> Duration {
        (self.window / self.requests.get()).max(Duration::from_nanos(1))
    }
}

/// What was decided of a request, and what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    pub config: QuotaConfig,
    /// What could be spent at once.
    pub remaining: u32,
    /// `None`: granted. Else how long until the same charge would be.
    pub wait: Option<Duration>,
}

impl Charge {
    /// The time until the whole burst is there again.
    pub fn refilled_in(&self) -> Duration {
        self.config.period() * (self.config.burst.get() - self.remaining)
    }

    pub fn state(&self) -> QuotaState {
        QuotaState {
            requests: self.config.requests.get(),
            window_seconds: self.config.window.as_secs(),
            burst: self.config.burst.get(),
            remaining: self.remaining,
        }
    }
}

type Bucket = RateLimiter<NotKeyed, InMemoryState, TokioClock, StateInformationMiddleware>;

/// What the buckets of callers without an entry may take, in bytes: some 30,000 of them.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes that a bucket costs beside its caller's name: its own and the cache's.
const BUCKET_OVERHEAD: usize = 512;
/// How long a bucket is kept at least, and at most, once nobody asks for it. In between it is kept until it is full again,
/// which is when a new one is the same.
const KEPT: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24);

/// The quotas of all callers.
///
/// Callers who have an entry in the configuration keep their bucket for good. The others' are bounded by bytes: the one that
/// was longest not asked for goes first, so that a new caller always gets one and whoever goes on asking keeps its own. A
/// caller whose bucket went finds a full one. Nobody gains by that: to have its bucket go, a caller needs tokens of as many
/// others as there is room for, and each of those others brings a burst of its own, all of them far more than the one that
/// is won. Only an issuer of the configuration can make callers up.
pub struct Quotas {
    default: QuotaConfig,
    clock: TokioClock,
    buckets: Cache<CallerId, Arc<Bucket>>,
    overrides: HashMap<CallerId, (QuotaConfig, Bucket)>,
}

impl Quotas {
    pub fn new(default: QuotaConfig, overrides: impl IntoIterator<Item = (CallerId, QuotaConfig)>) -> Self {
        let clock = TokioClock::default();
        let refill = default.period().saturating_mul(default.burst.get());
        let buckets = Cache::builder()
            .max_capacity(MAX_BYTES)
            // Not the crate's usual policy, which may turn a newcomer away: that caller would never be counted.
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|caller: &CallerId, _| {
                let bytes = caller.issuer.len() + caller.subject.len() + BUCKET_OVERHEAD;
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .time_to_idle(refill.clamp(*KEPT.start(), *KEPT.end()))
            .build();
        let overrides =
            overrides.into_iter().map(|(caller, config)| (caller, (config, bucket(config, &clock)))).collect();
        Self { default, clock, buckets, overrides }
    }

    /// Takes `cost` from the caller's quota, or nothing. A cost above the burst is the burst.
    pub fn charge(&self, caller: &CallerId, cost: u32) -> Charge {
        if let Some((config, bucket)) = self.overrides.get(caller) {
            return take(bucket, *config, cost);
        }
        let new = || Arc::new(bucket(self.default, &self.clock));
        take(&self.buckets.get_with_by_ref(caller, new), self.default, cost)
    }

    /// Forgets callers whose buckets are full again.
    pub fn sweep(&self) {
        self.buckets.run_pending_tasks();
    }
}

/// A full one.
fn bucket(config: QuotaConfig, clock: &TokioClock) -> Bucket {
    let quota = Quota::with_period(config.period()).expect("a period is longer than 0").allow_burst(config.burst);
    RateLimiter::direct_with_clock(quota, clock.clone()).with_middleware()
}

fn take(bucket: &Bucket, config: QuotaConfig, cost: u32) -> Charge {
    let cost = NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN).min(config.burst);
    match bucket.check_n(cost) {
        Ok(Ok(snapshot)) => Charge { config, remaining: snapshot.remaining_burst_capacity(), wait: None },
        Ok(Err(refused)) => {
            let wait = refused.wait_time_from(bucket.clock().now());
            Charge { config, remaining: remaining(config, cost, wait), wait: Some(wait) }
        }
        // Not reached: the cost was cut to the burst.
        Err(_) => Charge { config, remaining: 0, wait: Some(config.window) },
    }
}

/// What is left where a charge of `cost` has to wait: of the cost, what the wait does not have to bring.
fn remaining(config: QuotaConfig, cost: NonZeroU32, wait: Duration) -> u32 {
    let missing = wait.as_nanos().div_ceil(config.period().as_nanos().max(1));
    cost.get().saturating_sub(u32::try_from(missing).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(subject: &str) -> CallerId {
        CallerId { issuer: "i".into(), subject: subject.into() }
    }

    fn config(requests: u32, burst: u32) -> QuotaConfig {
        QuotaConfig {
            requests: NonZeroU32::new(requests).unwrap(),
            window: Duration::from_mins(1),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_spends_its_burst_and_gets_it_back_at_the_sustained_rate() {
        let quotas = Quotas::new(config(60, 3), []);
        let granted = |subject| quotas.charge(&caller(subject), 1).wait.is_none();
        assert!(granted("a") && granted("a") && granted("a"));
        let refused = quotas.charge(&caller("a"), 1);
        assert_eq!(refused.remaining, 0);
        let wait = refused.wait.unwrap();
        assert!(wait > Duration::from_millis(900) && wait <= Duration::from_secs(1), "{wait:?}");
        assert!(granted("b"), "another caller has its own");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(granted("a"));
        assert!(!granted("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cost_above_the_burst_is_the_burst() {
        let quotas = Quotas::new(config(60, 5), []);
        assert_eq!(quotas.charge(&caller("a"), 20).wait, None);
        assert_eq!(quotas.charge(&caller("a"), 2).remaining, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_for_a_caller_stands_over_the_default() {
        let quotas = Quotas::new(config(60, 1), [(caller("big"), config(600, 10))]);
        let charge = quotas.charge(&caller("big"), 1);
        assert_eq!((charge.config.requests.get(), charge.remaining), (600, 9));
        assert_eq!(charge.refilled_in(), Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_million_callers_take_no_more_room_than_there_is() {
        let quotas = Quotas::new(config(60, 2), []);
        let regular = caller("regular");
        assert!((0..2).all(|_| quotas.charge(&regular, 1).wait.is_none()));
        let mut most = 0;
        for n in 0..1_000_000 {
            assert_eq!(quotas.charge(&caller(&format!("caller-{n}")), 1).wait, None, "it is new, and counted");
            if n % 1_000 == 0 {
                assert!(quotas.charge(&regular, 1).wait.is_some(), "its bucket is still there after {n} others");
                most = most.max(quotas.buckets.weighted_size());
            }
        }
        assert!(most <= MAX_BYTES + MAX_BYTES / 100, "{most}");
        quotas.sweep();
        let kept = quotas.buckets.entry_count();
        assert!((20_000..35_000).contains(&kept), "{kept}");
        assert_eq!(quotas.charge(&caller("caller-999999"), 1).remaining, 0, "who came last is remembered");
    }
}
