//! What the façade means: which sources are asked, how their answers become one, how lists are walked and batches cut.
//!
//! Knows no HTTP framework and no HTTP client.

mod audit;
pub mod batch;
mod context;
pub mod cursor;
pub mod customers;
pub mod details;
mod failure;
mod identity;
pub mod lists;
pub mod merge;
mod sources;
pub mod walk;
mod warning_list;

pub use audit::{Told, Trail};
pub use context::{QueriedSources, QuotaHandle, RequestContext, Timings, no_memory};
pub use sources::Sources;

/// The time of an answer, for people: whole seconds.
fn now() -> jiff::Timestamp {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now)
}
