//! The requests of one connection: which are being answered, and how much of the answer the peer has taken.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::pace::{Pace, Transfer};

/// The requests of a connection, counted as their heads are read and as their answers end.
#[derive(Default)]
pub(in crate::app) struct Requests {
    begun: AtomicUsize,
    ended: AtomicUsize,
    /// The answer that is being written; `None` for a stream.
    answer: Mutex<Option<Transfer>>,
    /// Whether the last request was answered before its body was read.
    has_unread_body: AtomicBool,
}

impl Requests {
    pub(super) fn begun(&self) -> usize {
        self.begun.load(Ordering::Acquire)
    }

    /// Whether a request was read whose answer has not been written.
    pub(in crate::app) fn answering(&self) -> bool {
        self.begun() != self.ended.load(Ordering::Acquire)
    }

    fn answer(&self) -> MutexGuard<'_, Option<Transfer>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes that the socket has accepted.
    pub(super) fn add_written(&self, bytes: usize) {
        if let Some(answer) = &mut *self.answer() {
            answer.add(bytes);
        }
    }

    pub(super) fn has_unread_body(&self) -> bool {
        self.has_unread_body.load(Ordering::Acquire)
    }

    pub(super) fn set_unread_body(&self, is_unread: bool) {
        self.has_unread_body.store(is_unread, Ordering::Release);
    }

    /// Begins the time of an answer. A stream has none: it may be written for as long as its reader takes a byte a minute.
    pub(super) fn begin_answer(&self, is_stream: bool, pace: &Pace) {
        *self.answer() = (!is_stream).then(|| Transfer::begin(pace));
    }

    /// Returns when the answer is too late, as far as it has been written; `None` where there is no limit.
    pub(super) fn answer_deadline(&self) -> Option<Instant> {
        self.answer().map(|answer| answer.deadline())
    }
}

/// A request that is being answered.
pub(super) struct Answering(Arc<Requests>);

impl Answering {
    pub(super) fn begin(requests: &Arc<Requests>) -> Self {
        requests.begun.fetch_add(1, Ordering::AcqRel);
        Self(requests.clone())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::AcqRel);
    }
}
