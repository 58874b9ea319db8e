//! A circuit breaker by failure rate: closed, open, half-open. Time is tokio's clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::BreakerState;
use crate::upstream::http::Effect;

use super::hangs::{End, Hangs, Timeouts};
use super::window::Window;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// The time that the rate is taken over.
    pub window: Duration,
    /// Opens at this share of failures, 1 to 100.
    pub failure_percent: u32,
    /// Calls in the window below which it does not open.
    pub min_calls: u32,
    /// How long it stays open before a call may try.
    pub open_for: Duration,
}

/// One source's breaker.
pub struct Breaker {
    config: BreakerConfig,
    timeouts: Timeouts,
    inner: Mutex<Inner>,
}

struct Inner {
    state: State,
    /// How often it has closed again: a call that was let pass before says nothing about what came after.
    closings: u64,
    /// When a call was last answered.
    answered: Option<Instant>,
}

enum State {
    Closed(Window, Hangs),
    Open {
        until: Instant,
    },
    /// One call tries, since then; the others are refused until it is back, or has tried for as long as it would be open.
    HalfOpen {
        since: Option<Instant>,
    },
}

impl State {
    fn closed(timeouts: Timeouts) -> Self {
        Self::Closed(Window::new(), Hangs::new(timeouts))
    }
}

/// What a call says about the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
    /// A failure: no answer within its timeout.
    Hung,
}

impl Breaker {
    pub fn new(config: BreakerConfig, timeouts: Timeouts) -> Arc<Self> {
        let inner = Inner { state: State::closed(timeouts), closings: 0, answered: None };
        Arc::new(Self { config, timeouts, inner: Mutex::new(inner) })
    }

    /// Lets a call pass. One that is given up when half of its timeout has passed, and meanwhile nobody was answered, counts as
    /// failed: else callers that wait for less than the source's own time would hide for ever that it hangs.
    ///
    /// # Errors
    /// The breaker is open: how long until a call may try.
    pub fn pass(self: &Arc<Self>, effect: Effect) -> Result<Pass, Duration> {
        let mut inner = self.lock();
        let now = Instant::now();
        self.refusal(&inner.state, now)?;
        let probe = match &mut inner.state {
            State::Closed(_, hangs) => {
                hangs.begin(now, effect);
                None
            }
            half_open => {
                *half_open = State::HalfOpen { since: Some(now) };
                Some(now)
            }
        };
        Ok(Pass { breaker: self.clone(), closings: inner.closings, began: now, effect, probe, settled: false })
    }

    /// Whether a call might pass, without letting one.
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub fn closed(&self) -> Result<(), Duration> {
        self.refusal(&self.lock().state, Instant::now())
    }

    fn refusal(&self, state: &State, now: Instant) -> Result<(), Duration> {
        match state {
            State::Open { until } if now < *until => Err(*until - now),
            State::HalfOpen { since: Some(since) } if now < *since + self.config.open_for => {
                Err(self.config.open_for.min(LONGEST_WAIT_FOR_A_PROBE))
            }
            _ => Ok(()),
        }
    }

    pub fn state(&self) -> BreakerState {
        match self.lock().state {
            State::Closed(..) => BreakerState::Closed,
            State::Open { until } if Instant::now() < until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether the source fails so often that trying again is of no use: half-way to where the breaker opens.
    pub fn is_failing(&self) -> bool {
        let mut inner = self.lock();
        let State::Closed(window, _) = &mut inner.state else { return true };
        let (calls, failures) = window.sum(Instant::now(), self.config.window);
        calls >= self.config.min_calls
            && u64::from(failures) * 200 >= u64::from(self.config.failure_percent) * u64::from(calls)
    }

    fn settle(&self, pass: &Pass, outcome: Outcome) {
        let mut inner = self.lock();
        let now = Instant::now();
        let current = inner.closings == pass.closings;
        let failed = outcome != Outcome::Success;
        if !failed {
            inner.answered = Some(now);
        }
        match (&mut inner.state, pass.probe) {
            (State::Closed(window, hangs), _) if current => {
                let hung = outcome == Outcome::Hung;
                hangs.end(now, pass.began, pass.effect, if hung { End::Hung } else { End::Answered });
                window.count(now, self.config.window, failed);
                let (calls, failures) = window.sum(now, self.config.window);
                let share = u64::from(failures) * 100 >= u64::from(self.config.failure_percent) * u64::from(calls);
                let fails = failed && calls >= self.config.min_calls && share;
                if fails || (hung && hangs.hangs(now, pass.effect, &self.config)) {
                    inner.state = State::Open { until: now + self.config.open_for };
                }
            }
            (State::HalfOpen { .. }, Some(_)) if !failed => {
                inner.state = State::closed(self.timeouts);
                inner.closings += 1;
            }
            // Counted from when it began to try: the time that a hanging source takes over an answer is not added. One that
            // another has followed decides nothing.
            (State::HalfOpen { since }, Some(began)) if *since == Some(began) => {
                inner.state = State::Open { until: began + self.config.open_for };
            }
            _ => {}
        }
    }

    /// Forgets a call that ends without an outcome.
    fn forget(&self, pass: &Pass, end: End) {
        let mut inner = self.lock();
        let (now, current) = (Instant::now(), inner.closings == pass.closings);
        if end == End::Answered {
            inner.answered = Some(now);
        }
        match &mut inner.state {
            State::Closed(_, hangs) if current => hangs.end(now, pass.began, pass.effect, end),
            State::HalfOpen { since } if pass.probe.is_some() && *since == pass.probe => *since = None,
            _ => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is asked of a caller to wait while another call tries.
const LONGEST_WAIT_FOR_A_PROBE: Duration = Duration::from_secs(1);

/// A call that was let pass. Dropped early and without an outcome it counts for nothing.
pub struct Pass {
    breaker: Arc<Breaker>,
    closings: u64,
    began: Instant,
    effect: Effect,
    /// When it began, where it is one that tries.
    probe: Option<Instant>,
    settled: bool,
}

impl Pass {
    /// Counts the outcome.
    pub fn settle(mut self, outcome: Outcome) {
        self.settled = true;
        self.breaker.settle(&self, outcome);
    }

    /// Ends the call without an outcome, however long it took: the source did answer. If it was the probe, the next call is one.
    pub fn release(mut self) {
        self.settled = true;
        self.breaker.forget(&self, End::Answered);
    }

    /// Ends the call without an outcome, however long it took: it failed for a reason of the gateway's own.
    pub fn discard(mut self) {
        self.settled = true;
        self.breaker.forget(&self, End::Unknown);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let answered = self.breaker.lock().answered;
        let hangs_after = self.breaker.timeouts.of(self.effect) / 2;
        if self.began.elapsed() >= hangs_after && answered.is_none_or(|at| at <= self.began) {
            self.breaker.settle(self, Outcome::Hung);
        } else {
            self.breaker.forget(self, End::Unknown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Effect::Read;
    use super::*;

    const CONFIG: BreakerConfig = BreakerConfig {
        window: Duration::from_secs(10),
        failure_percent: 50,
        min_calls: 4,
        open_for: Duration::from_secs(5),
    };

    fn breaker() -> Arc<Breaker> {
        with_timeout(120)
    }

    fn with_timeout(seconds: u64) -> Arc<Breaker> {
        let timeout = Duration::from_secs(seconds);
        Breaker::new(CONFIG, Timeouts { read: timeout, write: timeout })
    }

    fn call(breaker: &Arc<Breaker>, failed: bool) {
        breaker.pass(Read).unwrap_or_else(|_| panic!("open")).settle(if failed {
            Outcome::Failure
        } else {
            Outcome::Success
        });
    }

    /// As often as opens it.
    fn fail(breaker: &Arc<Breaker>) {
        (0..4).for_each(|_| call(breaker, true));
    }

    /// One that has been open for its time.
    async fn half_open() -> Arc<Breaker> {
        let breaker = breaker();
        fail(&breaker);
        wait(5).await;
        breaker
    }

    async fn wait(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_at_the_share_of_failures_and_not_below_the_least_calls() {
        let breaker = breaker();
        for _ in 0..3 {
            call(&breaker, true);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        call(&breaker, true);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.pass(Read).err(), Some(Duration::from_secs(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_below_the_share_or_past_the_window_leave_it_closed() {
        let breaker = breaker();
        for failed in [true, false, false, false, true, false, false] {
            call(&breaker, failed);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        wait(11).await;
        for _ in 0..3 {
            call(&breaker, true);
        }
        assert_eq!(breaker.state(), BreakerState::Closed, "the old calls are forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn after_its_time_one_call_tries_and_decides() {
        let breaker = half_open().await;
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        let probe = breaker.pass(Read).unwrap_or_else(|_| panic!("no probe"));
        assert!(breaker.pass(Read).is_err(), "one at a time");
        probe.settle(Outcome::Failure);
        assert_eq!(breaker.state(), BreakerState::Open);
        wait(5).await;
        call(&breaker, false);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn released_probe_is_neither_success_nor_failure() {
        let breaker = half_open().await;
        for _ in 0..3 {
            breaker.pass(Read).unwrap_or_else(|_| panic!("no probe")).release();
            assert_eq!(breaker.state(), BreakerState::HalfOpen, "the next call is a probe, at once");
        }
        call(&breaker, true);
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn released_call_is_not_counted_however_long_it_took() {
        let breaker = with_timeout(2);
        for _ in 0..10 {
            let pass = breaker.pass(Read).unwrap_or_else(|_| panic!("open"));
            wait(2).await;
            pass.release();
        }
        for _ in 0..3 {
            call(&breaker, true);
        }
        assert_eq!(breaker.state(), BreakerState::Closed, "three calls are below the least");
        call(&breaker, true);
        assert_eq!(breaker.state(), BreakerState::Open, "none of the released ones counts as a success");
    }

    #[tokio::test(start_paused = true)]
    async fn discarded_call_is_not_counted_however_long_it_took() {
        let breaker = with_timeout(2);
        for _ in 0..10 {
            let pass = breaker.pass(Read).unwrap_or_else(|_| panic!("open"));
            wait(2).await;
            pass.discard();
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        let breaker = half_open().await;
        breaker.pass(Read).unwrap_or_else(|_| panic!("no probe")).discard();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(breaker.pass(Read).is_ok(), "the next call is a probe, at once");
    }

    #[tokio::test(start_paused = true)]
    async fn the_tries_are_as_far_apart_as_they_may_be_soon_however_long_each_hangs() {
        let breaker = half_open().await;
        let probe = breaker.pass(Read).unwrap_or_else(|_| panic!("no probe"));
        wait(3).await;
        probe.settle(Outcome::Failure);
        assert_eq!(breaker.pass(Read).err(), Some(Duration::from_secs(2)));
        wait(2).await;
        let probe = breaker.pass(Read).unwrap_or_else(|_| panic!("no probe"));
        wait(5).await;
        probe.settle(Outcome::Failure);
        assert!(breaker.pass(Read).is_ok(), "at once: one at a time is load enough");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_failing_half_way_to_where_it_opens() {
        let breaker = breaker();
        for failed in [true, false, false] {
            call(&breaker, failed);
            assert!(!breaker.is_failing(), "too few calls to tell");
        }
        call(&breaker, false);
        assert!(breaker.is_failing(), "a quarter failed, and at a half it opens");
        for _ in 0..4 {
            call(&breaker, false);
        }
        assert!(!breaker.is_failing());
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_is_given_up_leaves_room_for_another() {
        let breaker = half_open().await;
        drop(breaker.pass(Read));
        assert!(breaker.pass(Read).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_are_given_up_when_they_have_waited_for_long_open_it_and_others_count_for_nothing() {
        let breaker = with_timeout(4);
        for _ in 0..4 {
            let pass = breaker.pass(Read);
            wait(1).await;
            drop(pass);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        let passes: Vec<_> = (0..4).map(|_| breaker.pass(Read)).collect();
        wait(2).await;
        drop(passes);
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_are_given_up_while_others_are_answered_count_for_nothing() {
        let breaker = with_timeout(4);
        let passes: Vec<_> = (0..20).map(|_| breaker.pass(Read)).collect();
        wait(1).await;
        call(&breaker, false);
        wait(1).await;
        drop(passes);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_failure_does_not_reopen_what_a_probe_is_deciding() {
        let breaker = breaker();
        let early = breaker.pass(Read).unwrap_or_else(|_| panic!("closed"));
        fail(&breaker);
        wait(5).await;
        let probe = breaker.pass(Read).unwrap_or_else(|_| panic!("no probe"));
        early.settle(Outcome::Failure);
        probe.settle(Outcome::Success);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn late_failures_of_before_do_not_open_it_again_once_it_has_closed() {
        let breaker = breaker();
        let early: Vec<Pass> = (0..4).map(|_| breaker.pass(Read).unwrap_or_else(|_| panic!("closed"))).collect();
        fail(&breaker);
        wait(5).await;
        call(&breaker, false);
        for late in early {
            late.settle(Outcome::Failure);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_hangs_does_not_keep_another_from_trying_after_the_time_that_it_would_be_open() {
        let breaker = half_open().await;
        let hanging = breaker.pass(Read).unwrap_or_else(|_| panic!("no probe"));
        wait(4).await;
        assert!(breaker.pass(Read).is_err());
        wait(1).await;
        let next = breaker.pass(Read).unwrap_or_else(|_| panic!("no second probe"));
        assert!(breaker.pass(Read).is_err(), "one at a time");
        hanging.settle(Outcome::Failure);
        assert!(breaker.pass(Read).is_err(), "the second is still at it");
        next.settle(Outcome::Success);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
