//! Limits the access lines of requests that are refused by address, so that strangers cannot fill the log.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time between two access lines of refused requests.
const INTERVAL: Duration = Duration::from_secs(1);

/// Admits one access line per [`INTERVAL`] for all addresses together, and counts the omitted ones.
#[derive(Debug, Default)]
pub(super) struct RefusalLog(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    /// When the last line was admitted.
    admitted: Option<Instant>,
    /// Lines that were omitted since the last count was logged.
    omitted: u64,
}

impl RefusalLog {
    /// Returns whether the access line of a refused request may be written. If so, logs the count of those omitted before it.
    pub(super) fn admit(&self) -> bool {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.admitted.is_some_and(|admitted| admitted.elapsed() < INTERVAL) {
            lines.omitted = lines.omitted.saturating_add(1);
            return false;
        }
        lines.admitted = Some(Instant::now());
        let omitted = std::mem::take(&mut lines.omitted);
        drop(lines);
        log(omitted);
        true
    }

    /// Logs the count of the omitted lines, if there are any.
    pub(super) fn flush(&self) {
        let omitted = std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).omitted);
        log(omitted);
    }
}

fn log(omitted: u64) {
    if omitted > 0 {
        tracing::info!(count = omitted, "access lines of requests refused by address were omitted");
    }
}
