//! The budget of fetches that tokens with unknown keys cause. Anybody can make such tokens, so the fetches are limited; a
//! rotated key is announced by nothing else, so the first ones start at once (ADR 0042).

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Fetches in any minute that need not wait for the cool-down.
pub(super) const PER_MINUTE: usize = 6;
const MINUTE: Duration = Duration::from_mins(1);
/// The pause after a failed fetch. Failures do not count against the budget: without keys nobody can be verified.
pub(super) const AFTER_FAILURE: Duration = Duration::from_secs(1);

pub(super) struct RefetchBudget {
    cool_down: Duration,
    /// When the last fetches began, at most [`PER_MINUTE`], the oldest first.
    recent: VecDeque<Instant>,
    /// When the last fetch began, if it failed.
    failed: Option<Instant>,
}

impl RefetchBudget {
    pub(super) fn new(cool_down: Duration) -> Self {
        Self { cool_down, recent: VecDeque::with_capacity(PER_MINUTE), failed: None }
    }

    /// Returns how long to wait before the next fetch; zero if it may begin now.
    pub(super) fn wait(&self) -> Duration {
        let next = match (self.failed, self.recent.front(), self.recent.back()) {
            (Some(failed), ..) => failed + AFTER_FAILURE,
            (None, Some(oldest), Some(newest)) if self.recent.len() == PER_MINUTE => {
                (*oldest + MINUTE).min(*newest + self.cool_down)
            }
            _ => return Duration::ZERO,
        };
        next.saturating_duration_since(Instant::now())
    }

    /// Records a fetch that began at this time.
    pub(super) fn record(&mut self, began: Instant, succeeded: bool) {
        self.failed = (!succeeded).then_some(began);
        if succeeded {
            if self.recent.len() == PER_MINUTE {
                self.recent.pop_front();
            }
            self.recent.push_back(began);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOL_DOWN: Duration = Duration::from_secs(30);

    fn spend(budget: &mut RefetchBudget, fetches: usize) {
        for fetch in 0..fetches {
            assert_eq!(budget.wait(), Duration::ZERO, "{fetch}");
            budget.record(Instant::now(), true);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn budget_is_six_a_minute_then_one_per_cool_down() {
        let mut budget = RefetchBudget::new(COOL_DOWN);
        spend(&mut budget, PER_MINUTE);
        assert_eq!(budget.wait(), COOL_DOWN);
        tokio::time::advance(COOL_DOWN).await;
        spend(&mut budget, 1);
        assert_eq!(budget.wait(), Duration::from_secs(30), "the first six are a minute old by then");
        tokio::time::advance(Duration::from_secs(30)).await;
        spend(&mut budget, PER_MINUTE - 1);
        assert_eq!(budget.wait(), COOL_DOWN);
    }

    #[tokio::test(start_paused = true)]
    async fn one_fetch_per_cool_down_leaves_the_budget_full() {
        let mut budget = RefetchBudget::new(COOL_DOWN);
        for _ in 0..100 {
            spend(&mut budget, 1);
            tokio::time::advance(COOL_DOWN).await;
        }
        spend(&mut budget, PER_MINUTE - 2);
    }

    #[tokio::test(start_paused = true)]
    async fn failed_fetch_is_repeated_after_a_second() {
        let mut budget = RefetchBudget::new(COOL_DOWN);
        spend(&mut budget, PER_MINUTE);
        budget.record(Instant::now(), false);
        assert_eq!(budget.wait(), AFTER_FAILURE);
        tokio::time::advance(AFTER_FAILURE).await;
        spend(&mut budget, 1);
        assert_eq!(budget.wait(), COOL_DOWN);
    }
}
