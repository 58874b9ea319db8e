//! Outcomes of the recent past, counted in parts that are forgotten one by one. Time is tokio's clock.

use std::time::Duration;

use tokio::time::Instant;

/// The window is counted in this many parts; it is exact to one of them.
const PARTS: u32 = 10;

/// Outcomes of the recent past, oldest part first.
pub(super) struct Window {
    parts: [Part; PARTS as usize],
    newest: usize,
    newest_began: Instant,
}

#[derive(Clone, Copy, Default)]
struct Part {
    calls: u32,
    failures: u32,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { parts: [Part::default(); PARTS as usize], newest: 0, newest_began: Instant::now() }
    }

    /// Adds an outcome.
    pub(super) fn count(&mut self, now: Instant, window: Duration, failed: bool) {
        self.turn(now, window);
        let newest = &mut self.parts[self.newest];
        newest.calls += 1;
        newest.failures += u32::from(failed);
    }

    /// The calls and failures of the whole window.
    pub(super) fn sum(&mut self, now: Instant, window: Duration) -> (u32, u32) {
        self.turn(now, window);
        self.parts.iter().fold((0, 0), |(calls, failures), part| (calls + part.calls, failures + part.failures))
    }

    /// Forgets what the window has left behind.
    fn turn(&mut self, now: Instant, window: Duration) {
        let part = (window / PARTS).max(Duration::from_millis(1));
        let passed = now.duration_since(self.newest_began).as_nanos() / part.as_nanos();
        for _ in 0..passed.min(u128::from(PARTS)) {
            self.newest = (self.newest + 1) % self.parts.len();
            self.parts[self.newest] = Part::default();
        }
        self.newest_began += part * u32::try_from(passed).unwrap_or(u32::MAX);
    }
}
