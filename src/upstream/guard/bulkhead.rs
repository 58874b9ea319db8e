//! A bulkhead: so many calls to a source at once, a short queue behind them, and no more. Writes may take half of the slots, so
//! that a source which is slow to write does not keep anybody from reading.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::upstream::http::Effect;

/// How many calls wait for each slot; one above that is refused at once.
const QUEUED_PER_SLOT: usize = 2;
/// Writes have room for this many at least, whatever the slots: a batch sends several chunks at once, and nobody tries one again
/// that was refused.
const LEAST_WRITES: usize = 32;
/// How long a read waits for a slot: a source that lets none go for so long is in no state to take more.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// One source's slots.
pub(super) struct Bulkhead {
    reads: Lane,
    writes: Lane,
    slots: Semaphore,
}

/// The calls of one kind.
struct Lane {
    /// Those that are under way and those that wait.
    line: Semaphore,
    /// Those that may take a slot.
    entitled: Semaphore,
}

impl Lane {
    fn new(entitled: usize, line: usize) -> Self {
        let semaphore = |permits: usize| Semaphore::new(permits.min(Semaphore::MAX_PERMITS));
        Self { line: semaphore(line), entitled: semaphore(entitled) }
    }
}

impl Bulkhead {
    pub(super) fn new(slots: usize) -> Self {
        let line = slots.saturating_mul(1 + QUEUED_PER_SLOT);
        Self {
            reads: Lane::new(slots, line),
            writes: Lane::new(slots.div_ceil(2), line.max(LEAST_WRITES)),
            slots: Semaphore::new(slots.min(Semaphore::MAX_PERMITS)),
        }
    }

    fn lane(&self, effect: Effect) -> &Lane {
        match effect {
            Effect::Read => &self.reads,
            Effect::Write => &self.writes,
        }
    }

    /// A place in the line, for whatever is waited for there; `None` where it is full.
    pub(super) fn stand_in_line(&self, effect: Effect) -> Option<SemaphorePermit<'_>> {
        self.lane(effect).line.try_acquire().ok()
    }

    /// Takes a slot; `None` where the time is over.
    pub(super) async fn slot(&self, effect: Effect, until: Instant) -> Option<[SemaphorePermit<'_>; 2]> {
        let take = async {
            let entitled = self.lane(effect).entitled.acquire().await.ok()?;
            Some([entitled, self.slots.acquire().await.ok()?])
        };
        tokio::time::timeout_at(until, take).await.ok()?
    }
}

#[cfg(test)]
mod tests {
    use super::Effect::{Read, Write};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slot_is_waited_for_until_the_time_is_over() {
        let bulkhead = Bulkhead::new(1);
        let begun = Instant::now();
        let later = begun + PATIENCE;
        let taken = bulkhead.slot(Read, later).await.unwrap();
        for effect in [Read, Write] {
            assert!(bulkhead.slot(effect, later).await.is_none());
        }
        assert_eq!(begun.elapsed().as_millis(), PATIENCE.as_millis());
        drop(taken);
        assert!(bulkhead.slot(Write, later).await.is_some(), "a free one is taken though the time is over");
    }

    #[tokio::test(start_paused = true)]
    async fn writes_leave_half_of_the_slots_to_reads() {
        let bulkhead = Bulkhead::new(5);
        let now = Instant::now();
        let mut writes = Vec::new();
        while let Some(slot) = bulkhead.slot(Write, now).await {
            writes.push(slot);
        }
        let mut reads = Vec::new();
        while let Some(slot) = bulkhead.slot(Read, now).await {
            reads.push(slot);
        }
        assert_eq!((writes.len(), reads.len()), (3, 2));
    }

    #[test]
    fn the_lines_have_an_end_each() {
        let bulkhead = Bulkhead::new(2);
        let reads: Vec<_> = std::iter::from_fn(|| bulkhead.stand_in_line(Read)).collect();
        assert_eq!(reads.len(), 2 * (1 + QUEUED_PER_SLOT));
        let writes: Vec<_> = std::iter::from_fn(|| bulkhead.stand_in_line(Write)).collect();
        assert_eq!(writes.len(), LEAST_WRITES);
        drop(reads);
        assert!(bulkhead.stand_in_line(Read).is_some());
    }
}
