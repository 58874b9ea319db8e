//! The memory budget: how much the process may use, and the bytes that requests in flight hold of it.
//!
//! A leaf: it knows neither HTTP nor the sources.

mod cost;
mod in_flight;
pub mod limit;
mod shares;
pub mod size;

pub use cost::{BATCH_CALLS, ITEM_RESULT, WRITE_ANSWER, body_cost, largest_body};
pub use in_flight::{Call, InFlight, Refused, Reservation, UNCOUNTED};
pub use shares::{LEAST_LIMIT, Shares};
