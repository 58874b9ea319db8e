//! Time: tokio's clock for governor, the wall clock, and durations of the configuration. A leaf: imports no stage.
//!
//! Durations are measured with tokio's clock, which never steps. The wall clock is for what other parties compare with
//! theirs: `Date`, tokens, the expiry of cursors, signatures (docs/architecture.md, Time).

use std::time::{Duration, SystemTime};

use axum::http::HeaderValue;
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

/// A system clock that shows a time before 1970.
#[derive(Debug, thiserror::Error)]
#[error("the system clock shows a time {} before 1970; set the clock, then start again", humantime::format_duration(*.0))]
pub struct ClockError(Duration);

/// Checks that the system clock can be used: libraries panic on a time before 1970.
///
/// # Errors
/// The time is before 1970.
pub fn check(now: SystemTime) -> Result<(), ClockError> {
    match now.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(_) => Ok(()),
        Err(early) => Err(ClockError(Duration::from_secs(early.duration().as_secs().max(1)))),
    }
}

/// The value of the `Date` header of a response that is sent now.
pub fn http_date() -> HeaderValue {
    // The formatter panics on earlier times.
    let now = SystemTime::now().max(SystemTime::UNIX_EPOCH);
    HeaderValue::from_str(&httpdate::fmt_http_date(now)).expect("an HTTP date is ASCII")
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
