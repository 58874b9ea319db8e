//! Memory for a source's answer: reserved as its bytes arrive, and for what decoding makes of them.

use std::pin::pin;

use crate::memory::{Call, Refused, UNCOUNTED, WRITE_ANSWER};

use super::Failure;
use super::envelope::MAX_VALUES;
use super::http::Effect;

/// Bytes for each byte of an answer: the body, its texts in the model, and the JSON that callers get. These figures were measured
/// with a counting allocator over pages of many shapes (docs/adr/0035).
const PER_BYTE: usize = 5;
/// Bytes for each comma outside and inside of texts, which separates members, elements or rows.
const PER_COMMA: usize = 120;
/// The same, beside these, for the raw form of an answer. Objects cost most.
const RAW_PER_BYTE: usize = 3;
const RAW_PER_COMMA: usize = 100;
const RAW_PER_OBJECT: usize = 700;
/// The least that is reserved at once while an answer arrives.
const STEP: usize = 64 * 1024;
/// The most of a body that is reserved ahead of its bytes.
const MOST_AHEAD: usize = 1 << 20;

/// What one call reserves for its answer.
pub(super) struct AnswerMemory {
    /// `None`: the call is not charged.
    call: Option<Call>,
    effect: Effect,
    /// Bytes that are reserved for this answer.
    reserved: usize,
    /// Whether the call waits for memory now.
    is_waiting: bool,
}

impl AnswerMemory {
    /// That of the call in progress. Of a read, what an earlier try has left is given back. For a write, [`WRITE_ANSWER`] bytes were
    /// reserved before it is sent.
    pub(super) fn of_call(effect: Effect) -> Self {
        let call = Call::current();
        let reserved = match (&call, effect) {
            (Some(call), Effect::Read) => {
                call.reservation.shrink_to(0);
                0
            }
            _ => WRITE_ANSWER,
        };
        Self { call, effect, reserved, is_waiting: false }
    }

    /// Reserves room for this many bytes of a body.
    pub(super) async fn received(&mut self, bytes: usize) -> Result<(), Failure> {
        let ahead = if bytes <= UNCOUNTED { 0 } else { bytes.clamp(STEP, MOST_AHEAD) };
        self.reserve(bytes, ahead).await
    }

    /// Reserves what decoding a body needs, the body included.
    pub(super) async fn decoded(&mut self, body: &[u8]) -> Result<(), Failure> {
        let raw = self.call.as_ref().is_some_and(|call| call.raw);
        self.reserve(cost(body, raw), 0).await
    }

    /// The failure of a call that ran out of time while it waited for memory: the source is not at fault.
    pub(super) fn late(&self) -> Option<Failure> {
        self.is_waiting.then(|| self.failure(Refused::Total))
    }

    /// Reserves so many bytes for the answer in all, and more ahead if it has to reserve any.
    async fn reserve(&mut self, bytes: usize, ahead: usize) -> Result<(), Failure> {
        let Some(Call { reservation, .. }) = self.call.as_ref().filter(|_| bytes > self.reserved) else {
            return Ok(());
        };
        let missing = bytes + ahead - self.reserved;
        let mut growing = pin!(reservation.grow(missing));
        let grown = tokio::select! {
            biased;
            grown = &mut growing => grown,
            () = std::future::ready(()) => {
                self.is_waiting = true;
                growing.await
            }
        };
        // A call that is cancelled during the wait does not get here.
        self.is_waiting = false;
        grown.map_err(|refused| self.failure(refused))?;
        self.reserved += missing;
        Ok(())
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
const MEMORY: &str = "memory budget";
const MEMORY_OF_CALLER: &str = "memory of the caller's share";

/// Bytes that an answer takes from its arrival until the JSON for the caller is written.
fn cost(body: &[u8], raw: bool) -> usize {
    let (mut commas, mut objects) = (0, 0);
    for byte in body {
        commas += usize::from(*byte == b',');
        objects += usize::from(*byte == b'{');
    }
    // An answer with more is not decoded.
    let (commas, objects) = (commas.min(MAX_VALUES), objects.min(MAX_VALUES));
    let plain = body.len() * PER_BYTE + commas * PER_COMMA;
    if raw { plain + body.len() * RAW_PER_BYTE + commas * RAW_PER_COMMA + objects * RAW_PER_OBJECT } else { plain }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::memory::InFlight;
    use crate::model::CallerId;

    const MIB: usize = 1 << 20;

    #[tokio::test(start_paused = true)]
    async fn timeout_is_excused_only_during_a_wait_for_memory() {
        for effect in [Effect::Read, Effect::Write] {
            let caller = CallerId { issuer: "login".into(), subject: "a".into() };
            let share = InFlight::new(8 * MIB as u64).open(Some(caller));
            share.grow(2 * MIB).await.unwrap();
            let call = async {
                let mut memory = AnswerMemory::of_call(effect);
                assert_eq!(memory.late(), None);
                assert!(timeout(Duration::from_millis(100), memory.received(MIB)).await.is_err());
                assert!(memory.late().is_some(), "it waits");
                let frees = async {
                    sleep(Duration::from_millis(100)).await;
                    share.shrink_to(0);
                };
                let (received, ()) = tokio::join!(memory.received(MIB), frees);
                assert_eq!((received, memory.late()), (Ok(()), None), "the wait is over");
            };
            share.sibling().charged(false, call).await;
        }
    }
}
