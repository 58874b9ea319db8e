//! Governor's time, taken from tokio's clock. A leaf: imports nothing of the road.

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
