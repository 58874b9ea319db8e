//! The memory that unfinished heads share.
//!
//! hyper buffers a head until it is complete, in a buffer that doubles as it fills. What is counted is the size of that buffer,
//! from the second read of a head on: a head that arrives in one piece, as nearly all do, is never counted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

/// The buffers of unfinished heads, of all connections of a listener.
pub(in crate::app) struct HeadBudget {
    max_bytes: usize,
    heads: Mutex<Heads>,
}

#[derive(Default)]
struct Heads {
    bytes: usize,
    next: u64,
    by_id: HashMap<u64, Head>,
}

struct Head {
    /// The size of the buffer.
    capacity: usize,
    /// Bytes of the head so far.
    received: usize,
    since: Instant,
    signal: Arc<Signal>,
}

/// Tells a connection to close.
#[derive(Default)]
struct Signal {
    closed: AtomicBool,
    waker: AtomicWaker,
}

impl Head {
    /// Bytes a second since the head began. A young one counts as a second old.
    fn progress(&self) -> u64 {
        let millis = self.since.elapsed().max(Duration::from_secs(1)).as_millis();
        self.received as u64 * 1_000 / u64::try_from(millis).unwrap_or(u64::MAX)
    }
}

impl HeadBudget {
    pub(in crate::app) fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { max_bytes, heads: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Heads> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heads {
    fn remove(&mut self, id: u64) -> Option<Head> {
        let head = self.by_id.remove(&id)?;
        self.bytes -= head.capacity;
        Some(head)
    }

    /// The head with the least progress; of equals the oldest.
    fn slowest(&self) -> Option<u64> {
        self.by_id.iter().min_by_key(|(id, head)| (head.progress(), **id)).map(|(id, _)| *id)
    }
}

/// One connection's part of a [`HeadBudget`].
pub(super) struct HeadShare {
    budget: Arc<HeadBudget>,
    signal: Arc<Signal>,
    /// The id of the head that is counted; 0: none.
    id: AtomicU64,
}

impl HeadShare {
    pub(super) fn new(budget: Arc<HeadBudget>) -> Self {
        Self { budget, signal: Arc::default(), id: AtomicU64::new(0) }
    }

    /// Counts an unfinished head of `received` bytes in a buffer of `capacity`. Closes the connections with the slowest heads
    /// until it fits; returns whether this is one of them.
    pub(super) fn count(&self, cx: &mut Context<'_>, received: usize, capacity: usize) -> bool {
        self.signal.waker.register(cx.waker());
        let mut heads = self.budget.lock();
        if self.is_closed() {
            return true;
        }
        let id = match self.id.load(Ordering::Acquire) {
            0 => {
                heads.next += 1;
                let id = heads.next;
                let head = Head { capacity: 0, received, since: Instant::now(), signal: self.signal.clone() };
                heads.by_id.insert(id, head);
                self.id.store(id, Ordering::Release);
                id
            }
            id => id,
        };
        let Heads { bytes, by_id, .. } = &mut *heads;
        if let Some(head) = by_id.get_mut(&id) {
            *bytes = *bytes - head.capacity + capacity;
            (head.capacity, head.received) = (capacity, received);
        }
        while heads.bytes > self.budget.max_bytes {
            let Some(slowest) = heads.slowest().and_then(|id| heads.remove(id)) else { break };
            slowest.signal.closed.store(true, Ordering::Release);
            slowest.signal.waker.wake();
        }
        self.is_closed()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.signal.closed.load(Ordering::Acquire)
    }

    /// Ends the count: the head is complete, or its connection closed. A head that was chosen as the slowest and completed all the
    /// same has not closed its connection: the next one begins anew.
    pub(super) fn release(&self) {
        // Another thread cannot begin a count: this is the connection's own.
        if self.id.load(Ordering::Acquire) != 0 {
            let mut heads = self.budget.lock();
            heads.remove(self.id.swap(0, Ordering::AcqRel));
            self.signal.closed.store(false, Ordering::Release);
        }
    }
}

impl Drop for HeadShare {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn slowest_head_is_closed_when_budget_is_exceeded() {
        let cx = &mut Context::from_waker(Waker::noop());
        let budget = HeadBudget::new(100);
        let [slow, fast, late] = [(); 3].map(|()| HeadShare::new(budget.clone()));
        assert!(!slow.count(cx, 1, 40) && !fast.count(cx, 30, 40));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(!late.count(cx, 1, 40), "one byte in a second is more than one in five");
        assert_eq!([&slow, &fast, &late].map(HeadShare::is_closed), [true, false, false]);
        assert_eq!(budget.lock().bytes, 80);
        fast.release();
        drop(late);
        assert!(matches!(&*budget.lock(), Heads { bytes: 0, by_id, .. } if by_id.is_empty()));
        slow.release();
        assert_eq!(budget.lock().bytes, 0, "released once");
    }

    #[tokio::test(start_paused = true)]
    async fn completed_head_does_not_close_the_next() {
        let cx = &mut Context::from_waker(Waker::noop());
        let budget = HeadBudget::new(100);
        let [slow, fast] = [(); 2].map(|()| HeadShare::new(budget.clone()));
        assert!(!slow.count(cx, 1, 60) && !fast.count(cx, 30, 60));
        assert!(slow.is_closed());
        // The rest of it had arrived.
        slow.release();
        fast.release();
        assert!(!slow.is_closed());
        assert!(!slow.count(cx, 1, 60), "there is room for the next head of its connection");
    }

    #[tokio::test(start_paused = true)]
    async fn head_above_the_whole_budget_closes_itself() {
        let cx = &mut Context::from_waker(Waker::noop());
        let share = HeadShare::new(HeadBudget::new(100));
        assert!(share.count(cx, 101, 101));
        assert_eq!(share.budget.lock().bytes, 0);
    }
}
