//! The slowest transfer that the gateway accepts, of a request body or of a response.

use std::num::NonZeroU64;
use std::time::Duration;

use tokio::time::Instant;

/// The longest pause: an honest peer on a mobile network pauses for a few seconds.
pub const GRACE: Duration = Duration::from_secs(10);

/// A lower bound of a transfer's rate, and an upper bound of its duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Bytes a second, after the first 10 s.
    pub min_rate: NonZeroU64,
    /// Of the whole transfer.
    pub timeout: Duration,
}

/// A transfer whose rate is watched, as by a leaky bucket: it begins with 10 s, earns time by its bytes, and never has more than
/// 10 s left. So it may pause for up to 10 s, however fast it was before.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    min_rate: NonZeroU64,
    late_at: Instant,
    ends_at: Instant,
}

impl Transfer {
    /// Begins a transfer now.
    pub fn begin(pace: &Pace) -> Self {
        let now = Instant::now();
        Self { min_rate: pace.min_rate, late_at: now + GRACE, ends_at: now + pace.timeout }
    }

    /// Counts bytes that have been transferred now.
    pub fn add(&mut self, bytes: usize) {
        let latest = Instant::now() + GRACE;
        let nanos = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000_000_000) / self.min_rate;
        let earned = self.late_at.checked_add(Duration::from_nanos(nanos));
        self.late_at = earned.map_or(latest, |earned| earned.min(latest));
    }

    /// Returns when the transfer is too late unless more bytes come.
    pub fn deadline(&self) -> Instant {
        self.late_at.min(self.ends_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn transfer_earns_time_by_its_bytes_up_to_the_timeout() {
        let pace = Pace { min_rate: NonZeroU64::new(8192).unwrap(), timeout: Duration::from_mins(1) };
        let mut transfer = Transfer::begin(&pace);
        let since = Instant::now();
        let mut after = async |seconds, bytes| {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            transfer.add(bytes);
            (transfer.deadline() - since).as_secs()
        };
        assert_eq!(after(0, usize::MAX).await, 10, "bytes at the start earn no pause later");
        assert_eq!(after(8, 4 * 8192).await, 14);
        assert_eq!(after(1, 8192).await, 15);
        assert_eq!(after(3, 1 << 30).await, 22, "10 s from now");
        assert_eq!(after(43, 1 << 30).await, 60, "the timeout");
    }
}
