//! A bulkhead: so many calls to a source at once, a short queue behind them, and no more.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// How many wait for each slot; a call above that is refused at once.
const QUEUED_PER_SLOT: usize = 2;
/// How long a read waits for a slot: a source that lets none go for so long is in no state to take more.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// One source's slots.
pub(super) struct Bulkhead {
    /// Those in a slot and those in the queue.
    line: Semaphore,
    slots: Semaphore,
}

/// A slot, taken until it is dropped.
pub(super) struct Slot<'a> {
    _in_line: SemaphorePermit<'a>,
    _slot: SemaphorePermit<'a>,
}

impl Bulkhead {
    pub(super) fn new(slots: usize) -> Self {
        let line = slots.saturating_mul(1 + QUEUED_PER_SLOT).min(Semaphore::MAX_PERMITS);
        Self { line: Semaphore::new(line), slots: Semaphore::new(slots.min(Semaphore::MAX_PERMITS)) }
    }

    /// Takes a slot; `None` where the queue is full or the time over.
    pub(super) async fn enter(&self, until: Instant) -> Option<Slot<'_>> {
        let in_line = self.line.try_acquire().ok()?;
        let slot = tokio::time::timeout_at(until, self.slots.acquire()).await.ok()?.ok()?;
        Some(Slot { _in_line: in_line, _slot: slot })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slot_is_waited_for_in_a_queue_that_has_an_end() {
        let bulkhead = Bulkhead::new(1);
        let begun = Instant::now();
        let later = begun + PATIENCE;
        let taken = bulkhead.enter(later).await.unwrap();
        let (first, second, third) =
            tokio::join!(bulkhead.enter(later), bulkhead.enter(later), async { bulkhead.enter(later).await.is_some() });
        assert!(first.is_none() && second.is_none() && !third);
        assert_eq!(begun.elapsed().as_millis(), PATIENCE.as_millis());
        drop(taken);
        assert!(bulkhead.enter(later).await.is_some(), "a free one is taken though the time is over");
    }

    #[tokio::test(start_paused = true)]
    async fn above_the_queue_there_is_no_waiting() {
        let bulkhead = Bulkhead::new(1);
        let later = Instant::now() + PATIENCE;
        let _taken = bulkhead.enter(later).await.unwrap();
        let refused = async {
            tokio::task::yield_now().await;
            let begun = Instant::now();
            assert!(bulkhead.enter(later).await.is_none());
            begun.elapsed()
        };
        let (_, _, waited) = tokio::join!(bulkhead.enter(later), bulkhead.enter(later), refused);
        assert_eq!(waited, Duration::ZERO);
    }
}
