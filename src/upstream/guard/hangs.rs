//! Calls of the recent past by the time at which they began. A call that hangs is no failure before its timeout is over; by then
//! the breaker's window is full of successes that ended before the source stopped. Here it is compared with the calls that began
//! beside it. Time is tokio's clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::upstream::http::Effect;

use super::breaker::BreakerConfig;

/// The shorter timeout is counted in this many parts: successes of the part in which a source stops blur what hangs.
const PARTS_OF_A_TIMEOUT: u32 = 64;
/// The parts at most, of 16 bytes each.
const MOST_PARTS: u32 = 2_048;
/// The time beyond the longer timeout for which calls are remembered.
const REMEMBERED: Duration = Duration::from_secs(2);

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) read: Duration,
    pub(super) write: Duration,
}

impl Timeouts {
    pub(super) fn of(self, effect: Effect) -> Duration {
        match effect {
            Effect::Read => self.read,
            Effect::Write => self.write,
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The source answered, well or not, or refused the connection.
    Answered,
    /// The call waited for its whole timeout, or for most of it while nothing was answered.
    Hung,
    /// Nothing is known of the source: the caller left early.
    Unknown,
}

/// The calls that began within the longer timeout and a little more.
pub(super) struct Hangs {
    timeouts: Timeouts,
    since: Instant,
    part: Duration,
    /// A ring; the part of number `n` is at `n` modulo its length.
    parts: Box<[Part]>,
    newest: u64,
}

/// The calls that began within one part of the time.
#[derive(Clone, Copy, Default)]
struct Part {
    answered: u32,
    hung: u32,
    /// Under way, reads and writes.
    pending: [u32; 2],
}

#[derive(Clone, Copy, Default)]
struct Count {
    answered: u32,
    hung: u32,
}

impl Count {
    fn add(&mut self, answered: u32, hung: u32) {
        self.answered += answered;
        self.hung += hung;
    }

    fn reaches(self, least: u32, percent: u32) -> bool {
        self.hung >= least && u64::from(self.hung) * 100 >= u64::from(percent) * u64::from(self.hung + self.answered)
    }
}

impl Hangs {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        let remembered = timeouts.read.max(timeouts.write) + REMEMBERED;
        let part = (timeouts.read.min(timeouts.write) / PARTS_OF_A_TIMEOUT).max(remembered / (MOST_PARTS - 1));
        let part = part.max(Duration::from_millis(1));
        let count = usize::try_from(remembered.as_nanos().div_ceil(part.as_nanos())).unwrap_or(1);
        let parts = vec![Part::default(); count].into_boxed_slice();
        Self { timeouts, since: Instant::now(), part, parts, newest: 0 }
    }

    /// Adds a call that begins now.
    pub(super) fn begin(&mut self, now: Instant, effect: Effect) {
        self.turn(now);
        if let Some(part) = self.part_of(now) {
            part.pending[effect as usize] += 1;
        }
    }

    /// Notes how a call ended that was added.
    pub(super) fn end(&mut self, now: Instant, began: Instant, effect: Effect, end: End) {
        self.turn(now);
        let Some(part) = self.part_of(began) else { return };
        let pending = &mut part.pending[effect as usize];
        *pending = pending.saturating_sub(1);
        match end {
            End::Answered => part.answered += 1,
            End::Hung => part.hung += 1,
            End::Unknown => {}
        }
    }

    /// Whether the source has stopped answering, as far as calls of this kind show; of use when one has just hung.
    ///
    /// Two counts must agree, each over the calls begun since some moment. Of those begun a whole timeout ago or before, which are
    /// decided, the share hung, and half of `min_calls`. Of those begun half a timeout ago or before, the share hung or is still
    /// pending, and `min_calls`. The first alone is too few calls to tell at low rates; the second alone would take a source that
    /// always needs most of the timeout for one that hangs.
    pub(super) fn hangs(&mut self, now: Instant, effect: Effect, config: &BreakerConfig) -> bool {
        self.turn(now);
        let timeout = self.timeouts.of(effect);
        let (mut decided, mut old) = (Count::default(), Count::default());
        let (mut decided_hangs, mut old_hangs) = (false, false);
        let remembered = u64::try_from(self.parts.len()).unwrap_or(u64::MAX);
        for number in (0..=self.newest).rev().take_while(|number| self.newest - number < remembered) {
            let age = now - self.began(number);
            if age < timeout / 2 {
                continue;
            }
            let part = self.parts[self.index(number)];
            old.add(part.answered, part.hung + part.pending[effect as usize]);
            old_hangs |= old.reaches(config.min_calls, config.failure_percent);
            if age >= timeout {
                decided.add(part.answered, part.hung);
                decided_hangs |= decided.reaches(config.min_calls.div_ceil(2), config.failure_percent);
            }
            if decided_hangs && old_hangs {
                return true;
            }
        }
        false
    }

    fn began(&self, number: u64) -> Instant {
        self.since + Duration::from_nanos(number.saturating_mul(self.nanos()))
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.part.as_nanos()).unwrap_or(u64::MAX)
    }

    fn number(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.since).as_nanos()).unwrap_or(u64::MAX) / self.nanos()
    }

    fn index(&self, number: u64) -> usize {
        usize::try_from(number % self.parts.len() as u64).unwrap_or_default()
    }

    fn part_of(&mut self, at: Instant) -> Option<&mut Part> {
        let number = self.number(at);
        let is_remembered = number <= self.newest && self.newest - number < self.parts.len() as u64;
        is_remembered.then(|| &mut self.parts[self.index(number)])
    }

    /// Forgets the parts whose place is needed for the time that has passed.
    fn turn(&mut self, now: Instant) {
        let number = self.number(now);
        let passed = number.saturating_sub(self.newest).min(self.parts.len() as u64);
        for behind in 0..passed {
            self.parts[self.index(number - behind)] = Part::default();
        }
        self.newest = self.newest.max(number);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONFIG: BreakerConfig = BreakerConfig {
        window: Duration::from_secs(10),
        failure_percent: 50,
        min_calls: 20,
        open_for: Duration::from_secs(5),
    };

    /// One call: when it begins and how long it takes, in milliseconds; `None`: it hangs.
    type Call = (u64, Option<u64>);

    /// Returns when the calls show that the source hangs, in milliseconds.
    fn hangs_at(timeout: u64, calls: impl IntoIterator<Item = Call>) -> Option<u64> {
        let start = Instant::now();
        let (at, limit) = (|ms| start + Duration::from_millis(ms), Duration::from_millis(timeout));
        let mut hangs = Hangs::new(Timeouts { read: limit, write: 3 * limit });
        let mut events: Vec<(u64, Option<Call>)> = Vec::new();
        for (began, takes) in calls {
            events.push((began, None));
            events.push((began + takes.unwrap_or(timeout), Some((began, takes))));
        }
        events.sort_by_key(|(at, _)| *at);
        for (now, ended) in events {
            match ended {
                None => hangs.begin(at(now), Effect::Read),
                Some((began, takes)) => {
                    let end = if takes.is_some() { End::Answered } else { End::Hung };
                    hangs.end(at(now), at(began), Effect::Read, end);
                    if takes.is_none() && hangs.hangs(at(now), Effect::Read, &CONFIG) {
                        return Some(now);
                    }
                }
            }
        }
        None
    }

    /// So many calls a second for so many seconds.
    fn steady(rate: u64, seconds: u64, takes: impl Fn(u64, u64) -> Option<u64>) -> impl Iterator<Item = Call> {
        (0..rate * seconds).map(move |number| (number * 1_000 / rate, takes(number, number * 1_000 / rate)))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

        #[test]
        fn stopped_source_is_found_within_its_timeout_and_a_second(
            rate in 20_u64..600, timeout in 200_u64..5_000, stops in 10_000_u64..12_000, latency in 1_u64..100,
        ) {
            let until = 12 + (timeout + 2_000).div_ceil(1_000);
            let calls = steady(rate, until, |_, at| (at < stops).then_some(latency));
            let found = hangs_at(timeout, calls).expect("it is found");
            prop_assert!((stops + timeout..=stops + timeout + 1_000 + 1_000 / rate).contains(&found), "{found}");
        }

        #[test]
        fn twentieth_of_calls_hanging_is_never_found(
            rate in 5_u64..300, timeout in 200_u64..5_000, latency in 1_u64..100, seed in any::<[bool; 20]>(),
        ) {
            // One of each twenty, now at one place, now at another.
            let place = move |number: u64| u64::from(seed[usize::try_from(number / 20 % 20).unwrap()]) * 19;
            let calls = steady(rate, 60, |number, _| (number % 20 != place(number)).then_some(latency));
            prop_assert_eq!(hangs_at(timeout, calls), None);
        }

        #[test]
        fn answers_that_need_most_of_the_timeout_are_no_hangs(
            rate in 5_u64..200, timeout in 500_u64..5_000, percent in 50_u64..99,
        ) {
            // Even where one of twenty takes longer still.
            let calls = steady(rate, 60, |number, _| (number % 20 != 7).then_some(timeout * percent / 100));
            prop_assert_eq!(hangs_at(timeout, calls), None);
        }
    }

    #[test]
    fn share_of_hanging_calls_decides() {
        for rate in [20, 500] {
            for (hanging, found) in [(4, false), (6, true), (9, true)] {
                let calls = steady(rate, 30, |number, at| (at < 10_000 || number % 10 >= hanging).then_some(50));
                let at = hangs_at(1_400, calls);
                assert_eq!(at.is_some(), found, "{hanging} of 10 at {rate}/s: {at:?}");
                assert!(at.is_none_or(|at| at <= 12_400), "{hanging} of 10 at {rate}/s: {at:?}");
            }
        }
    }

    #[test]
    fn single_hanging_call_and_hanging_part_of_a_burst_are_not_found() {
        assert_eq!(hangs_at(3_000, steady(20, 30, |number, _| (number != 300).then_some(50))), None);
        assert_eq!(hangs_at(3_000, [(0, None)]), None);
        // A tenth of a burst hangs, and nothing is called afterwards.
        assert_eq!(hangs_at(3_000, (0..400).map(|number| (60_000, (number % 10 != 0).then_some(50)))), None);
    }

    #[test]
    fn slow_writes_do_not_hide_hanging_reads() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (read, write) = (Duration::from_secs(1), Duration::from_secs(10));
        let mut hangs = Hangs::new(Timeouts { read, write });
        for number in 0..20 {
            hangs.begin(at(number * 10), Effect::Read);
            hangs.begin(at(number * 10), Effect::Write);
        }
        for number in 0..20 {
            hangs.end(at(1_000 + number * 10), at(number * 10), Effect::Read, End::Hung);
        }
        assert!(hangs.hangs(at(1_190), Effect::Read, &CONFIG));
        // Answered writes beside them show that the source works.
        for number in 0..20 {
            hangs.end(at(2_000), at(number * 10), Effect::Write, End::Answered);
            hangs.begin(at(300), Effect::Write);
            hangs.end(at(2_000), at(300), Effect::Write, End::Answered);
        }
        assert!(!hangs.hangs(at(2_000), Effect::Read, &CONFIG));
    }

    #[test]
    fn memory_is_bounded_for_unequal_timeouts() {
        let (read, write) = (Duration::from_millis(1), Duration::from_hours(1));
        let parts = Hangs::new(Timeouts { read, write }).parts.len();
        assert!(parts <= 2_048, "{parts}");
    }
}
