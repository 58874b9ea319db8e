//! The memory budget: how much the process may use, and the bytes that requests in flight hold of it.
//!
//! A leaf: it knows neither HTTP nor the sources.

mod in_flight;
pub mod limit;
mod shares;

pub use in_flight::{InFlight, Refused, Reservation, UNCOUNTED, current};
pub use shares::{LEAST_LIMIT, Shares};
