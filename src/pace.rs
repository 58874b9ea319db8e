//! The slowest transfer that the gateway accepts, of a request body or of a response.

use std::num::NonZeroU64;
use std::time::Duration;

/// Time in which a transfer may have any rate: an honest peer on a mobile network pauses for a few seconds.
const GRACE: Duration = Duration::from_secs(10);

/// A lower bound of a transfer's rate, and an upper bound of its duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Bytes a second on average, after the first 10 s.
    pub min_rate: NonZeroU64,
    /// Of the whole transfer.
    pub timeout: Duration,
}

impl Pace {
    /// Returns the time that a transfer may have taken when `bytes` have been transferred.
    pub fn allowed(&self, bytes: u64) -> Duration {
        (GRACE + Duration::from_secs(bytes / self.min_rate)).min(self.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfer_earns_time_by_its_bytes_up_to_the_timeout() {
        let pace = Pace { min_rate: NonZeroU64::new(8192).unwrap(), timeout: Duration::from_mins(1) };
        let seconds = [0, 8_191, 8_192, 80 * 1024, 50 * 8192, 51 * 8192, u64::MAX].map(|n| pace.allowed(n).as_secs());
        assert_eq!(seconds, [10, 10, 11, 20, 60, 60, 60]);
    }
}
