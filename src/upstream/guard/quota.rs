//! What a source allows us, where the configuration says so: calls wait for their turn, first come, first served.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::{Quota, RateLimiter};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::clock::{TokioClock, TokioNanos};
use crate::upstream::Deadline;

type Limiter = RateLimiter<
    governor::state::NotKeyed,
    governor::state::InMemoryState,
    TokioClock,
    governor::middleware::NoOpMiddleware<TokioNanos>,
>;

/// One source's allowance.
pub(super) struct OutboundQuota {
    limiter: Limiter,
    /// The time in which one call is given back.
    period: Duration,
    /// Held by whoever is next.
    turn: Mutex<()>,
    /// Those who wait, the next one included.
    waiting: AtomicU32,
}

/// A place among those who wait, given up when it is dropped.
struct Place<'a>(&'a AtomicU32);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl OutboundQuota {
    pub(super) fn new(quota: Quota) -> Self {
        let limiter = Limiter::direct_with_clock(quota, TokioClock::default());
        Self { limiter, period: quota.replenish_interval(), turn: Mutex::new(()), waiting: AtomicU32::new(0) }
    }

    /// Takes one call as soon as there is one. Where it is `spared` by then, for nothing is going to be sent, it takes none.
    ///
    /// # Errors
    /// The deadline comes before: how long it would take.
    pub(super) async fn take(&self, deadline: Deadline, spared: impl Fn() -> bool) -> Result<(), Duration> {
        let ahead = self.waiting.fetch_add(1, Ordering::AcqRel);
        let _place = Place(&self.waiting);
        let expected = self.period * ahead;
        if Instant::now() + expected >= deadline.0 {
            return Err(expected.max(self.period));
        }
        let Ok(_turn) = timeout_at(deadline.0, self.turn.lock()).await else { return Err(self.period) };
        while !spared() {
            let Err(refused) = self.limiter.check() else { break };
            let wait = refused.wait_time_from(self.limiter.clock().now());
            if Instant::now() + wait >= deadline.0 {
                return Err(wait);
            }
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// How long somebody who came now would wait.
    pub(super) fn expected_wait(&self) -> Duration {
        self.period * self.waiting.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use super::*;

    fn never() -> bool {
        false
    }

    fn later(seconds: u64) -> Deadline {
        Deadline(Instant::now() + Duration::from_secs(seconds))
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_first_is_served_first_and_who_would_come_too_late_is_told_at_once() {
        let quota = Quota::with_period(Duration::from_secs(1)).unwrap().allow_burst(NonZeroU32::MIN);
        let quota = Arc::new(OutboundQuota::new(quota));
        let begun = Instant::now();
        quota.take(later(1), never).await.unwrap();
        let served: Vec<_> = (1..=3)
            .map(|_| {
                let quota = quota.clone();
                tokio::spawn(async move { quota.take(later(10), never).await.map(|()| begun.elapsed().as_secs()) })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(quota.take(later(3), never).await, Err(Duration::from_secs(3)), "three are before it");
        assert_eq!(begun.elapsed(), Duration::ZERO);
        for (index, served) in served.into_iter().enumerate() {
            assert_eq!(served.await.unwrap(), Ok(index as u64 + 1));
        }
        assert_eq!(quota.expected_wait(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_is_waited_for_no_longer() {
        let quota = Quota::with_period(Duration::from_secs(1)).unwrap().allow_burst(NonZeroU32::MIN);
        let quota = OutboundQuota::new(quota);
        quota.take(later(1), never).await.unwrap();
        tokio::select! {
            biased;
            _ = quota.take(later(10), never) => panic!("it had to wait"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(quota.expected_wait(), Duration::ZERO);
        quota.take(later(2), never).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_will_send_nothing_waits_for_nothing_more_and_takes_nothing() {
        let quota = Quota::with_period(Duration::from_secs(1)).unwrap().allow_burst(NonZeroU32::MIN);
        let quota = OutboundQuota::new(quota);
        quota.take(later(1), never).await.unwrap();
        let begun = Instant::now();
        let opened = || begun.elapsed() >= Duration::from_millis(500);
        // The first of them is told when its turn has come, and the others at once.
        let waited = futures_util::future::join_all((0..5).map(|_| quota.take(later(10), opened))).await;
        assert!(waited.iter().all(Result::is_ok));
        assert_eq!(begun.elapsed().as_secs(), 1);
        quota.take(later(1), never).await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 1, "its turn was left to this one");
    }
}
