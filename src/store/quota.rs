//! Quotas of callers: GCRA, one bucket a caller, by the `governor` crate.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::{NoOpMiddleware, StateInformationMiddleware};
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use crate::clock::{TokioClock, TokioNanos};
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

type Limiter = RateLimiter<CallerId, DefaultKeyedStateStore<CallerId>, TokioClock, StateInformationMiddleware>;

/// The quotas of all callers.
pub struct Quotas {
    default: (QuotaConfig, Limiter),
    overrides: HashMap<CallerId, (QuotaConfig, Limiter)>,
}

impl Quotas {
    pub fn new(default: QuotaConfig, overrides: impl IntoIterator<Item = (CallerId, QuotaConfig)>) -> Self {
        let clock = TokioClock::default();
        let limiter = |config: QuotaConfig| {
            let quota = Quota::with_period(config.period()).expect("a period is longer than 0");
            let quota = quota.allow_burst(config.burst);
            let state = DefaultKeyedStateStore::default();
            let limiter = RateLimiter::<_, _, _, NoOpMiddleware<TokioNanos>>::new(quota, state, clock.clone());
            (config, limiter.with_middleware())
        };
        let overrides = overrides.into_iter().map(|(caller, config)| (caller, limiter(config))).collect();
        Self { default: limiter(default), overrides }
    }

    /// Takes `cost` from the caller's quota, or nothing. A cost above the burst is the burst.
    pub fn charge(&self, caller: &CallerId, cost: u32) -> Charge {
        let (config, limiter) = self.overrides.get(caller).unwrap_or(&self.default);
        let cost = NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN).min(config.burst);
        match limiter.check_key_n(caller, cost) {
            Ok(Ok(snapshot)) => Charge { config: *config, remaining: snapshot.remaining_burst_capacity(), wait: None },
            Ok(Err(refused)) => {
                let wait = refused.wait_time_from(limiter.clock().now());
                Charge { config: *config, remaining: remaining(config, cost, wait), wait: Some(wait) }
            }
            // Not reached: the cost was cut to the burst.
            Err(_) => Charge { config: *config, remaining: 0, wait: Some(config.window) },
        }
    }

    /// Forgets callers whose buckets are full again.
    pub fn sweep(&self) {
        for (_, limiter) in self.overrides.values().chain([&self.default]) {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// What is left where a charge of `cost` has to wait: of the cost, what the wait does not have to bring.
fn remaining(config: &QuotaConfig, cost: NonZeroU32, wait: Duration) -> u32 {
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
}
