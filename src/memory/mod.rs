//! The memory budget: how much the process may use, and the bytes that requests in flight hold of it.
//!
//! A leaf: it knows neither HTTP nor the sources.

mod in_flight;
pub mod limit;
mod shares;

/// Tenths of a byte that one byte of a request's body costs: the body or what is parsed of it, and the chunks that are sent
/// (docs/adr/0035).
const TENTHS_PER_BODY_BYTE: usize = 25;

/// Bytes that a request's body of this length costs until it is answered.
pub fn body_cost(length: usize) -> usize {
    (length / 10).saturating_mul(TENTHS_PER_BODY_BYTE).saturating_add(length % 10 * TENTHS_PER_BODY_BYTE / 10)
}

pub use in_flight::{Call, InFlight, Refused, Reservation, UNCOUNTED};
pub use shares::{LEAST_LIMIT, Shares};
