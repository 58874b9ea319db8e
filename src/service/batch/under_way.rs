//! What has to be seen to of every chunk, whoever still waits for it: the audit trail, and the cache that a write makes stale.

use std::sync::Arc;
use std::vec;

use crate::model::{Problem, ProblemCode};
use crate::service::audit::{ABANDONED, OK, Trail};
use crate::service::details::Details;
use crate::upstream::{Progress, UpstreamError, WriteReply};

use super::chunk::{Chunk, Pending};
use super::outcome::{self, ChunkOutcome};

/// The chunks of a batch that have not begun. Those that are left when it is dropped, because the caller is gone, are told to the
/// audit trail as well.
pub struct Waiting<T> {
    chunks: vec::IntoIter<Pending<T>>,
    trail: Trail,
    stopped: Option<Problem>,
}

impl<T> Waiting<T> {
    pub fn new(chunks: Vec<Pending<T>>, trail: Trail) -> Self {
        Self { chunks: chunks.into_iter(), trail, stopped: None }
    }

    /// Why no further chunk is worth sending; the first reason counts.
    pub fn stop(&mut self, why: Problem) {
        self.stopped.get_or_insert(why);
    }

    /// The next one to be sent; none once there is a reason to stop.
    pub fn next(&mut self) -> Option<Pending<T>> {
        if self.stopped.is_some() { None } else { self.chunks.next() }
    }

    /// What becomes of the next one that is not sent.
    pub fn give_up(&mut self) -> Option<ChunkOutcome> {
        let Pending { chunk, .. } = self.chunks.next()?;
        let outcome = outcome::not_sent(&chunk, self.stopped.as_ref());
        let word = self.stopped.as_ref().map_or(ABANDONED, |why| why.code.as_str());
        self.trail.wrote(&outcome.written(&chunk), word);
        Some(outcome)
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        while self.give_up().is_some() {}
    }
}

/// What becomes of a chunk that was lost or cut where it was.
pub fn cut_off(chunk: &Chunk, progress: &Progress) -> ChunkOutcome {
    if progress.phase().only_waits() {
        let why = Problem::new(ProblemCode::Overloaded, "it was cut off before it was sent");
        outcome::not_sent(chunk, Some(&why))
    } else {
        outcome::unknown(chunk)
    }
}

/// A chunk that is being sent. Dropped before it is settled, by a panic or because the process ends, it may have been applied.
pub struct UnderWay {
    chunk: Arc<Chunk>,
    details: Details,
    trail: Trail,
    progress: Progress,
    settled: bool,
}

impl UnderWay {
    pub fn new(chunk: Arc<Chunk>, details: Details, trail: Trail, progress: Progress) -> Self {
        Self { chunk, details, trail, progress, settled: false }
    }

    /// The source has answered, or surely will not.
    pub fn settle(mut self, reply: Result<WriteReply, UpstreamError>) -> ChunkOutcome {
        self.settled = true;
        let outcome = outcome::judge(&self.chunk, reply);
        self.note(&outcome, outcome.fault.as_ref().map_or(OK, |fault| fault.code.as_str()));
        outcome
    }

    /// Its caller has left, and it had not begun.
    pub fn abandon(mut self) -> ChunkOutcome {
        self.settled = true;
        let outcome = outcome::not_sent(&self.chunk, None);
        self.note(&outcome, ABANDONED);
        outcome
    }

    fn note(&self, outcome: &ChunkOutcome, word: &str) {
        self.details.drop_written(outcome.touched(&self.chunk));
        self.trail.wrote(&outcome.written(&self.chunk), word);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.settled {
            let outcome = cut_off(&self.chunk, &self.progress);
            let word = outcome.whole.as_ref().map_or(ProblemCode::Internal, |why| why.code).as_str();
            self.note(&outcome, word);
        }
    }
}
