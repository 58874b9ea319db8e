//! Time: tokio's clock for governor, and durations as the configuration has them. A leaf: imports nothing of the road.

use governor::clock::{Clock, Reference};
use governor::nanos::Nanos;
use tokio::time::Instant;

/// Tokio's clock, which tests can pause.
#[derive(Debug, Clone)]
pub struct TokioClock(Instant);

impl Default for TokioClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TokioClock {
    type Instant = TokioNanos;

    fn now(&self) -> TokioNanos {
        TokioNanos(Nanos::from(self.0.elapsed()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokioNanos(Nanos);

impl std::ops::Add<Nanos> for TokioNanos {
    type Output = Self;
    fn add(self, other: Nanos) -> Self {
        Self(self.0 + other)
    }
}

impl Reference for TokioNanos {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.duration_since(earlier.0)
    }
    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

/// Durations such as `"2s"`, at most [`LONGEST`](duration::LONGEST): a point in time that far ahead can still be represented.
pub mod duration {
    use std::time::Duration;

    use serde::de::{Deserializer, Error};

    pub use humantime_serde::serialize;

    /// The longest duration of the configuration.
    pub const LONGEST: Duration = Duration::from_hours(365 * 24);

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let duration: Duration = humantime_serde::deserialize(deserializer)?;
        if duration <= LONGEST { Ok(duration) } else { Err(D::Error::custom("expected at most 365 days")) }
    }
}

/// Durations that may be absent, with the same bound.
pub mod optional_duration {
    use std::time::Duration;

    use serde::de::Deserializer;

    pub use humantime_serde::serialize;

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        super::duration::deserialize(deserializer).map(Some)
    }
}
