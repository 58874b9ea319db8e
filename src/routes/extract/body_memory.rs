//! Memory for a request's body: reserved before its bytes are read, and held by the request until its answer is written.

use crate::memory::{Refused, Reservation, body_cost};
use crate::model::{Problem, ProblemCode};
use crate::service::no_memory;

/// The least of a body that is reserved at once where its length is not announced.
const STEP: usize = 64 * 1024;

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

    /// Reserves for this many bytes of a body that has `most` at most.
    ///
    /// # Errors
    /// `payload_too_large` if they can never fit, else those of [`no_memory`].
    pub(super) async fn reserve(&mut self, length: usize, most: usize) -> Result<(), Problem> {
        let Some(reservation) = self.reservation else { return Ok(()) };
        if length <= self.covered {
            return Ok(());
        }
        // The first call has the announced length.
        let covered = if self.covered == 0 { length } else { most.min(length.saturating_add(STEP)) };
        reservation.grow(body_cost(covered - self.covered)).await.map_err(|refused| {
            let detail = "the body needs more memory than the gateway has for one caller";
            match refused {
                Refused::TooLarge => Problem::new(ProblemCode::PayloadTooLarge, detail),
                refused => no_memory(refused),
            }
        })?;
        self.covered = covered;
        Ok(())
    }
}
