//! Memory for a source's answer: reserved as its bytes arrive, and for what decoding makes of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::memory::{self, Refused, Reservation};

use super::Failure;
use super::envelope::MAX_VALUES;
use super::http::Effect;
use super::phase::{Phase, Progress};

/// Bytes for each byte of an answer: the body, and the texts of it in the model and in the JSON that callers get.
const BYTES_PER_BYTE: usize = 3;
/// Bytes for each value of an answer, beside its texts.
const BYTES_PER_VALUE: usize = 100;
/// Reserved before a write is sent, so that its answer can be read.
const WRITE_ANSWER: usize = 512 * 1024;
/// The least that is reserved at once while an answer arrives.
const STEP: usize = 64 * 1024;
/// The most of a body that is reserved ahead of its bytes.
const MOST_AHEAD: usize = 1 << 20;
/// A wait from which on the time of the call is no longer taken for the source's.
const NOTICEABLE: Duration = Duration::from_millis(10);

/// The reservation of one call, in which its answer is received.
pub(super) struct AnswerMemory {
    /// `None`: the call is not charged.
    reservation: Option<Arc<Reservation>>,
    effect: Effect,
    has_waited: AtomicBool,
}

impl AnswerMemory {
    /// That of the call in progress, emptied of what an earlier try has left.
    pub(super) fn of_call(effect: Effect) -> Self {
        let reservation = memory::current();
        if let Some(reservation) = &reservation {
            reservation.shrink_to(0);
        }
        Self { reservation, effect, has_waited: AtomicBool::new(false) }
    }

    /// Reserves what a write needs before it is sent.
    pub(super) async fn before_sending(&self, progress: &Progress) -> Result<(), Failure> {
        if self.effect == Effect::Read || self.reservation.is_none() {
            return Ok(());
        }
        progress.reached(Phase::Memory);
        self.up_to(WRITE_ANSWER).await.map_err(|_| Failure::Overloaded(MEMORY))
    }

    /// Reserves room for this many bytes of a body.
    pub(super) async fn received(&self, bytes: usize) -> Result<(), Failure> {
        if bytes <= self.reserved() {
            return Ok(());
        }
        let ahead = bytes.clamp(STEP, MOST_AHEAD);
        self.up_to(if bytes <= memory::UNCOUNTED { bytes } else { bytes + ahead })
            .await
            .map_err(|refused| self.failure(refused))
    }

    /// Reserves what decoding a body needs, the body included.
    pub(super) async fn decoded(&self, body: &[u8]) -> Result<(), Failure> {
        self.up_to(cost(body)).await.map_err(|refused| self.failure(refused))
    }

    /// The failure of a call that ran out of time, if it has waited for memory: then the source may not be at fault.
    pub(super) fn late(&self) -> Option<Failure> {
        self.has_waited.load(Ordering::Relaxed).then(|| self.failure(Refused::Total))
    }

    fn reserved(&self) -> usize {
        self.reservation.as_ref().map_or(usize::MAX, |reservation| reservation.bytes())
    }

    async fn up_to(&self, bytes: usize) -> Result<(), Refused> {
        let Some(reservation) = &self.reservation else { return Ok(()) };
        let missing = bytes.saturating_sub(reservation.bytes());
        if missing == 0 {
            return Ok(());
        }
        let begun = Instant::now();
        let grown = reservation.grow(missing).await;
        if begun.elapsed() >= NOTICEABLE {
            self.has_waited.store(true, Ordering::Relaxed);
        }
        grown
    }

    /// The failure of an answer that does not fit. A write was sent by then: it may have been applied.
    fn failure(&self, refused: Refused) -> Failure {
        match (self.effect, refused) {
            (Effect::Read, Refused::Total) => Failure::Overloaded(MEMORY),
            (Effect::Read, Refused::Caller) => Failure::Overloaded(MEMORY_OF_CALLER),
            (Effect::Read, Refused::TooLarge) => {
                Failure::TooLarge("it needs more memory than one request may use".to_owned())
            }
            (Effect::Write, _) => Failure::TooLarge("it does not fit into the memory that is left".to_owned()),
        }
    }
}

/// To be read after "the gateway has no" and before "left".
const MEMORY: &str = "memory";
const MEMORY_OF_CALLER: &str = "memory of the caller's share";

/// Bytes that an answer takes at most from its arrival until the JSON for the caller is written. Measured by
/// `answers_cost_no_more_than_is_reserved`.
fn cost(body: &[u8]) -> usize {
    // Each comma and each opening bracket stands for a value; those in texts count too.
    let values = body.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count().min(MAX_VALUES);
    body.len() * BYTES_PER_BYTE + values * BYTES_PER_VALUE
}
