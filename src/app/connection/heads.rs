//! The memory that unfinished heads share.
//!
//! hyper buffers a head until it is complete, in a buffer that doubles as it fills. What is counted is the size of that buffer,
//! from the second read of a head on: a head that arrives in one piece, as nearly all do, is never counted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

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
    since: Instant,
    signal: Arc<Signal>,
}

/// The request to a connection to close.
#[derive(Default)]
struct Signal {
    closed: AtomicBool,
    waker: AtomicWaker,
}

impl Head {
    /// Bytes held times the time that they have been held. Not bytes a second: a head that sends much at once and then stops has
    /// a high rate, and an honest one of two packets a low one.
    fn cost(&self) -> u128 {
        self.capacity as u128 * self.since.elapsed().as_millis().max(1)
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

    /// The head that has cost most; of equals the oldest.
    fn costliest(&self) -> Option<u64> {
        self.by_id.iter().max_by_key(|(id, head)| (head.cost(), std::cmp::Reverse(**id))).map(|(id, _)| *id)
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

    /// Counts an unfinished head in a buffer of `capacity`. Closes the connections whose heads have cost most until it fits;
    /// returns whether this is one of them.
    pub(super) fn count(&self, cx: &mut Context<'_>, capacity: usize) -> bool {
        self.signal.waker.register(cx.waker());
        let mut heads = self.budget.lock();
        if self.is_closed() {
            return true;
        }
        let id = match self.id.load(Ordering::Acquire) {
            0 => {
                heads.next += 1;
                let id = heads.next;
                let head = Head { capacity: 0, since: Instant::now(), signal: self.signal.clone() };
                heads.by_id.insert(id, head);
                self.id.store(id, Ordering::Release);
                id
            }
            id => id,
        };
        let Heads { bytes, by_id, .. } = &mut *heads;
        if let Some(head) = by_id.get_mut(&id) {
            *bytes = *bytes - head.capacity + capacity;
            head.capacity = capacity;
        }
        while heads.bytes > self.budget.max_bytes {
            let Some(costliest) = heads.costliest().and_then(|id| heads.remove(id)) else { break };
            costliest.signal.closed.store(true, Ordering::Release);
            costliest.signal.waker.wake();
        }
        self.is_closed()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.signal.closed.load(Ordering::Acquire)
    }

    /// Ends the count: the head is complete, or its connection closed. Returns the size of its buffer, 0 if it was not counted.
    pub(super) fn release(&self) -> usize {
        // Another thread cannot begin a count: this is the connection's own.
        if self.id.load(Ordering::Acquire) == 0 {
            return 0;
        }
        let head = self.budget.lock().remove(self.id.swap(0, Ordering::AcqRel));
        // A head that was chosen while it was being completed is answered.
        self.signal.closed.store(false, Ordering::Release);
        head.map_or(0, |head| head.capacity)
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
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn costliest_head_is_closed_when_budget_is_exceeded() {
        let cx = &mut Context::from_waker(Waker::noop());
        let budget = HeadBudget::new(100);
        let [large, small, late] = [(); 3].map(|()| HeadShare::new(budget.clone()));
        assert!(!large.count(cx, 60) && !small.count(cx, 8));
        tokio::time::advance(Duration::from_millis(50)).await;
        assert!(!late.count(cx, 40), "a young head costs less than an old one");
        assert_eq!([&large, &small, &late].map(HeadShare::is_closed), [true, false, false]);
        assert_eq!(budget.lock().bytes, 48);
        assert_eq!([small.release(), small.release()], [8, 0], "released once");
        drop(late);
        assert!(matches!(&*budget.lock(), Heads { bytes: 0, by_id, .. } if by_id.is_empty()));
    }

    #[tokio::test(start_paused = true)]
    async fn connection_whose_head_was_completed_meanwhile_goes_on() {
        let cx = &mut Context::from_waker(Waker::noop());
        let budget = HeadBudget::new(100);
        let [first, second] = [(); 2].map(|()| HeadShare::new(budget.clone()));
        assert!(!first.count(cx, 60));
        tokio::time::advance(Duration::from_millis(50)).await;
        assert!(!second.count(cx, 60) && first.is_closed());
        first.release();
        drop(second);
        assert!(!first.count(cx, 60), "its next head has room");
    }

    #[tokio::test(start_paused = true)]
    async fn head_above_the_whole_budget_closes_itself() {
        let cx = &mut Context::from_waker(Waker::noop());
        let share = HeadShare::new(HeadBudget::new(100));
        assert!(share.count(cx, 101));
        assert_eq!(share.budget.lock().bytes, 0);
    }
}
