//! A bulkhead: so many calls to a source at once, a short queue behind them, and no more.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// How many reads wait for each slot; one above that is refused at once. The writes of a batch are few at a time.
const QUEUED_PER_SLOT: usize = 2;
/// How long a read waits for a slot: a source that lets none go for so long is in no state to take more.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// One source's slots.
pub(super) struct Bulkhead {
    /// The reads that are under way and those that wait.
    line: Semaphore,
    slots: Semaphore,
}

impl Bulkhead {
    pub(super) fn new(slots: usize) -> Self {
        let line = slots.saturating_mul(1 + QUEUED_PER_SLOT).min(Semaphore::MAX_PERMITS);
        Self { line: Semaphore::new(line), slots: Semaphore::new(slots.min(Semaphore::MAX_PERMITS)) }
    }

    /// A place in the line, for whatever is waited for there; `None` where it is full.
    pub(super) fn stand_in_line(&self) -> Option<SemaphorePermit<'_>> {
        self.line.try_acquire().ok()
    }

    /// Takes a slot; `None` where the time is over.
    pub(super) async fn slot(&self, until: Instant) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout_at(until, self.slots.acquire()).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slot_is_waited_for_until_the_time_is_over() {
        let bulkhead = Bulkhead::new(1);
        let begun = Instant::now();
        let later = begun + PATIENCE;
        let taken = bulkhead.slot(later).await.unwrap();
        assert!(bulkhead.slot(later).await.is_none());
        assert_eq!(begun.elapsed().as_millis(), PATIENCE.as_millis());
        drop(taken);
        assert!(bulkhead.slot(later).await.is_some(), "a free one is taken though the time is over");
    }

    #[test]
    fn the_line_has_an_end() {
        let bulkhead = Bulkhead::new(2);
        let line: Vec<_> = std::iter::from_fn(|| bulkhead.stand_in_line()).collect();
        assert_eq!(line.len(), 2 * (1 + QUEUED_PER_SLOT));
        drop(line);
        assert!(bulkhead.stand_in_line().is_some());
    }
}
