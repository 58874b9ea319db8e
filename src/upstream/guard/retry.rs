//! Whether a failed call is tried again, and when: full jitter, a budget, and the source's own `Retry-After`.

use std::time::Duration;

use tokio::time::Instant;
use tower::retry::budget::{Budget, TpsBudget};

use crate::upstream::Deadline;

/// How much is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RetryConfig {
    /// Tries of one call in all, the first included.
    pub(super) attempts: u32,
    /// Tries beyond the first, as a share of the calls of the last seconds: an outage is not multiplied.
    pub(super) budget_percent: u32,
}

/// The time that the budget looks back: short, for what it has saved up is spent as an outage begins.
const BUDGET_WINDOW: Duration = Duration::from_secs(1);
/// Tries beyond the share, so that calls which come alone may be tried again too. More would be felt by a source that is asked a
/// few times a second.
const RESERVE_A_SECOND: u32 = 1;
/// The longest pause before the second try; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Retries {
    attempts: u32,
    /// `None`: nothing is tried again.
    budget: Option<TpsBudget>,
}

impl Retries {
    pub(super) fn new(config: RetryConfig) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a percentage is a small number")]
        let share = config.budget_percent as f32 / 100.0;
        let budget = TpsBudget::new(BUDGET_WINDOW, RESERVE_A_SECOND, share);
        Self { attempts: config.attempts, budget: (config.budget_percent > 0).then_some(budget) }
    }

    /// Counts a call that the budget is a share of.
    pub(super) fn deposit(&self) {
        if let Some(budget) = &self.budget {
            budget.deposit();
        }
    }

    /// How long to wait before the next try; `None` where there is to be none.
    pub(super) fn pause(&self, tries: u32, retry_after: Option<Duration>, deadline: Deadline) -> Option<Duration> {
        let budget = self.budget.as_ref().filter(|_| tries < self.attempts)?;
        let longest = FIRST_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
        let pause = retry_after.unwrap_or_default() + longest.mul_f64(rand::random::<f64>());
        let fits = Instant::now() + pause < deadline.0;
        (fits && budget.withdraw()).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(seconds: u64) -> Deadline {
        Deadline(Instant::now() + Duration::from_secs(seconds))
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_tried_so_often_and_not_past_its_deadline() {
        let retries = Retries::new(RetryConfig { attempts: 2, budget_percent: 20 });
        retries.deposit();
        assert!(retries.pause(1, None, later(10)).is_some_and(|pause| pause <= FIRST_PAUSE));
        assert_eq!(retries.pause(2, None, later(10)), None);
        assert_eq!(retries.pause(1, Some(Duration::from_secs(11)), later(10)), None, "the source asks for too long");
        let retries = Retries::new(RetryConfig { attempts: 2, budget_percent: 20 });
        let asked = Duration::from_secs(3);
        assert!(retries.pause(1, Some(asked), later(10)).is_some_and(|pause| pause >= asked));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_budget_nothing_is_tried_again() {
        let retries = Retries::new(RetryConfig { attempts: 2, budget_percent: 0 });
        retries.deposit();
        assert_eq!(retries.pause(1, None, later(10)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_bounds_what_is_tried_again() {
        let retries = Retries::new(RetryConfig { attempts: 2, budget_percent: 20 });
        let mut again = 0;
        for _ in 0..1_000 {
            retries.deposit();
            again += u32::from(retries.pause(1, None, later(10)).is_some());
        }
        assert!((150..=220).contains(&again), "{again} of 1000");
    }
}
