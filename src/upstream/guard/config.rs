//! The part of a source's configuration that says how it is guarded.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;
use serde::{Deserialize, Serialize};

use super::breaker::BreakerConfig;
use super::retry::RetryConfig;
use crate::upstream::section::field_names;

/// The settings, validated.
#[derive(Debug, Clone)]
pub(in crate::upstream) struct Resilience {
    pub(super) retry: RetryConfig,
    pub(super) breaker: BreakerConfig,
    pub(super) quota: Option<Quota>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub(in crate::upstream) struct Raw {
    retry: RawRetry,
    breaker: RawBreaker,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<RawQuota>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct RawRetry {
    attempts: u32,
    budget_percent: u32,
}

impl Default for RawRetry {
    fn default() -> Self {
        Self { attempts: 2, budget_percent: 20 }
    }
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct RawBreaker {
    #[serde(with = "crate::clock::duration")]
    window: Duration,
    failure_percent: u32,
    min_calls: u32,
    #[serde(with = "crate::clock::duration")]
    open_for: Duration,
}

impl Default for RawBreaker {
    fn default() -> Self {
        Self { window: Duration::from_secs(10), failure_percent: 50, min_calls: 20, open_for: Duration::from_secs(5) }
    }
}

/// The part of a quota that may be spent at once; the larger it is, the slower the rest must follow.
const BURST_PART: u32 = 5;

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawQuota {
    requests: u32,
    #[serde(with = "crate::clock::duration")]
    window: Duration,
}

/// The sections of a source that are the guard's, and the names of their keys.
pub(in crate::upstream) fn nested_keys() -> Vec<(&'static str, &'static [&'static str])> {
    vec![
        ("retry", field_names::<RawRetry>()),
        ("breaker", field_names::<RawBreaker>()),
        ("quota", field_names::<RawQuota>()),
    ]
}

impl Raw {
    /// # Errors
    /// The keys of values that cannot be used, and what was expected.
    pub(in crate::upstream) fn validate(&self) -> Result<Resilience, Vec<(&'static str, &'static str)>> {
        let above_zero = "expected a duration longer than 0, such as \"10s\"";
        let (retry, breaker) = (&self.retry, &self.breaker);
        let quota = self.quota.as_ref().map(RawQuota::validate);
        let requirements = [
            ("retry.attempts", (1..=10).contains(&retry.attempts), "expected a number from 1 to 10"),
            ("retry.budget_percent", retry.budget_percent <= 100, "expected a number from 0 to 100"),
            ("breaker.window", !breaker.window.is_zero(), above_zero),
            ("breaker.open_for", !breaker.open_for.is_zero(), above_zero),
            ("breaker.min_calls", breaker.min_calls > 0, "expected a number of at least 1"),
            (
                "breaker.failure_percent",
                (1..=100).contains(&breaker.failure_percent),
                "expected a number from 1 to 100",
            ),
            ("quota", quota != Some(None), "expected requests and window above 0"),
        ];
        let broken = requirements.into_iter().filter(|(_, is_met, _)| !is_met);
        let broken: Vec<_> = broken.map(|(key, _, expected)| (key, expected)).collect();
        if !broken.is_empty() {
            return Err(broken);
        }
        Ok(Resilience {
            retry: RetryConfig { attempts: retry.attempts, budget_percent: retry.budget_percent },
            breaker: BreakerConfig {
                window: breaker.window,
                failure_percent: breaker.failure_percent,
                min_calls: breaker.min_calls,
                open_for: breaker.open_for,
            },
            quota: quota.flatten(),
        })
    }
}

impl RawQuota {
    fn validate(&self) -> Option<Quota> {
        let requests = NonZeroU32::new(self.requests)?;
        // A burst, and then one by one so slowly that no window, wherever it begins, sees more than it may.
        let burst = NonZeroU32::new(self.requests / BURST_PART).unwrap_or(NonZeroU32::MIN);
        Some(Quota::with_period(self.window / (requests.get() - burst.get() + 1))?.allow_burst(burst))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use crate::upstream::Deadline;

    use super::super::quota::OutboundQuota;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_window_sees_more_than_the_quota_says_and_a_long_one_four_fifths_of_it() {
        let window = Duration::from_secs(1);
        for requests in [1, 2, 5, 7, 50, 1000] {
            let raw = Raw { quota: Some(RawQuota { requests, window }), ..Raw::default() };
            let quota = OutboundQuota::new(raw.validate().unwrap().quota.unwrap());
            let begun = Instant::now();
            let mut taken = Vec::new();
            while begun.elapsed() < 4 * window {
                quota.take(Deadline(Instant::now() + 2 * window), || false).await.unwrap();
                taken.push(begun.elapsed());
            }
            let of_window = |from: &Duration| taken.iter().filter(|at| (*from..*from + window).contains(*at)).count();
            let most = taken.iter().map(of_window).max().unwrap();
            assert!(most <= requests as usize, "{most} of {requests}");
            assert!(taken.len() * 5 >= requests as usize * 4 * 4, "{} of {requests} in 4 windows", taken.len());
        }
    }
}
