//! Memory for a request's body: reserved before its bytes are read, and held by the request until its answer is written.

use crate::memory::{Refused, Reservation, body_cost, largest_body};
use crate::model::{Problem, ProblemCode};
use crate::service::no_memory;
use crate::telemetry::metrics;

/// The least of a body that is reserved at once where its length is not announced.
const STEP: usize = 64 * 1024;
/// Divisor of the bytes that have arrived: the quotient is reserved ahead, if it is more than [`STEP`].
const AHEAD_PART: usize = 2;

/// What is reserved of one body.
pub(super) struct BodyMemory<'a> {
    /// `None`: the body is not charged.
    reservation: Option<&'a Reservation>,
    /// Bytes of the body that are reserved.
    covered: usize,
}

impl<'a> BodyMemory<'a> {
    pub(super) fn new(reservation: Option<&'a Reservation>) -> Self {
        Self { reservation, covered: 0 }
    }

    /// Reserves for this many bytes of a body that has `most` at most. Returns for how many bytes it has reserved.
    ///
    /// # Errors
    /// `payload_too_large` if they, with the answers to a batch, can never fit; else those of [`no_memory`].
    pub(super) async fn reserve(&mut self, length: usize, most: usize) -> Result<usize, Problem> {
        if length <= self.covered {
            return Ok(self.covered);
        }
        let most = self.reservation.map_or(most, |reservation| most.min(largest_body(reservation.most())));
        if length > most {
            metrics::memory_refused(Refused::TooLarge.scope());
            return Err(too_large());
        }
        // The first call has the announced length.
        let ahead = if self.covered == 0 { 0 } else { STEP.max(length / AHEAD_PART) };
        let covered = most.min(length.saturating_add(ahead));
        if let Some(reservation) = self.reservation {
            let grown = reservation.grow(body_cost(covered - self.covered)).await;
            grown.map_err(|refused| no_memory(refused, too_large))?;
        }
        self.covered = covered;
        Ok(covered)
    }
}

fn too_large() -> Problem {
    Problem::new(ProblemCode::PayloadTooLarge, "the body needs more memory than the gateway has for one caller")
}
