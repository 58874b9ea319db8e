//! A guard before a source that stops answering, at the rates of real load. Time is paused.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::upstream::codes::CodeAdditions;
use crate::upstream::secret::Keys;
use crate::upstream::{SourceSecret, WriteReply};

use super::*;

const TIMEOUT: Duration = Duration::from_millis(1_400);
const LATENCY: Duration = Duration::from_millis(50);

/// A guarded source that can be told to hang.
struct Stage {
    guard: Guard,
    hangs: AtomicBool,
    /// Of a hundred calls, so many hang anyway.
    percent: u64,
    calls: AtomicU64,
}

impl Stage {
    fn new(percent: u64) -> Arc<Self> {
        let name: SourceName = "a".parse().unwrap();
        let settings = Settings {
            base_url: "https://a.test".parse().unwrap(),
            operations: Vec::new(),
            timeout: TIMEOUT,
            write_timeout: 4 * TIMEOUT,
            connect_timeout: TIMEOUT,
            read_timeout: None,
            max_in_flight: 64,
            max_response: 1 << 20,
            codes: CodeAdditions::default(),
            accept_translated_ids: false,
            resilience: Raw::default().validate().unwrap(),
        };
        let keys = Keys { inline: "token", file: "token_file" };
        let secret = SourceSecret::read(&name, keys, Some("secret".into()), None, |_| Ok(())).unwrap();
        let guard = Guard::new(name, &settings, Credentials::new(secret));
        Arc::new(Self { guard, hangs: AtomicBool::default(), percent, calls: AtomicU64::default() })
    }

    /// What the client does: the call's own time or the caller's, whichever is over first.
    async fn exchange(&self, timeout: Duration, deadline: Deadline) -> Result<(), UpstreamError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let hangs = self.hangs.load(Ordering::Relaxed) || scattered(number) % 100 < self.percent;
        let own = Instant::now() + timeout;
        let until = if hangs { own } else { Instant::now() + LATENCY };
        tokio::time::sleep_until(until.min(deadline.0)).await;
        let phase = Phase::Answer;
        match hangs {
            _ if deadline.0 < until => Err(self.guard.error(Failure::DeadlinePassed { sent: true, phase })),
            true => Err(self.guard.error(Failure::TimedOut { sent: true, phase })),
            false => Ok(()),
        }
    }

    async fn read(&self, within: Duration) -> Result<(), UpstreamError> {
        let deadline = Deadline(Instant::now() + within);
        self.guard.read(Operation::ListCustomers, deadline, || self.exchange(TIMEOUT, deadline)).await
    }

    async fn write(&self, within: Duration) -> Result<(), UpstreamError> {
        let deadline = Deadline(Instant::now() + within);
        let call = || async {
            self.exchange(4 * TIMEOUT, deadline).await.map(|()| WriteReply { refusal: None, failed: Vec::new() })
        };
        self.guard.write(Operation::AddFollowUps, deadline, call).await.map(drop)
    }

    /// So many calls a second, of which every tenth is a write, until the breaker is open; for so long at most.
    async fn load(self: &Arc<Self>, rate: u32, within: Duration, longest: Duration) -> Option<Duration> {
        let begun = Instant::now();
        let mut number = 0;
        while begun.elapsed() < longest {
            if self.guard.breaker.state() == BreakerState::Open {
                return Some(begun.elapsed());
            }
            let stage = self.clone();
            number += 1;
            let _call = tokio::spawn(async move {
                if number % 10 == 0 { stage.write(within).await } else { stage.read(within).await }
            });
            tokio::time::sleep(Duration::from_secs(1) / rate).await;
        }
        None
    }
}

/// Pseudorandom, the same in each run: `SplitMix64`.
fn scattered(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

const DEADLINE: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(20);

#[tokio::test(start_paused = true)]
async fn breaker_opens_within_timeout_and_a_second_when_source_stops() {
    for rate in [20, 500, 2_000] {
        let stage = Stage::new(0);
        assert_eq!(stage.load(rate, DEADLINE, LONG).await, None, "{rate}/s");
        stage.hangs.store(true, Ordering::Relaxed);
        let opened = stage.load(rate, DEADLINE, LONG).await.expect("it opens");
        assert!(opened <= TIMEOUT + Duration::from_secs(1), "{opened:?} at {rate}/s");
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_stays_closed_when_a_twentieth_of_calls_hangs() {
    for rate in [20, 500] {
        let stage = Stage::new(5);
        assert_eq!(stage.load(rate, DEADLINE, Duration::from_mins(1)).await, None, "{rate}/s");
        let stage = Stage::new(65);
        assert!(stage.load(rate, DEADLINE, LONG).await.is_some(), "two thirds open it at {rate}/s");
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_closes_again_and_opens_as_soon_the_next_time() {
    let stage = Stage::new(0);
    for _ in 0..3 {
        stage.hangs.store(false, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(8)).await;
        stage.read(DEADLINE).await.unwrap();
        assert_eq!(stage.guard.breaker.state(), BreakerState::Closed);
        assert_eq!(stage.load(100, DEADLINE, LONG).await, None);
        stage.hangs.store(true, Ordering::Relaxed);
        let opened = stage.load(100, DEADLINE, LONG).await.expect("it opens");
        assert!(opened <= TIMEOUT + Duration::from_secs(1), "{opened:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn impatient_callers_show_a_hang_only_after_half_of_the_timeout() {
    let hasty = Stage::new(0);
    hasty.hangs.store(true, Ordering::Relaxed);
    assert_eq!(hasty.load(100, TIMEOUT / 3, LONG).await, None, "they leave too early to tell");
    let patient = Stage::new(0);
    assert_eq!(patient.load(100, TIMEOUT * 2 / 3, LONG).await, None);
    patient.hangs.store(true, Ordering::Relaxed);
    let opened = patient.load(100, TIMEOUT * 2 / 3, LONG).await.expect("it opens");
    assert!(opened <= TIMEOUT + Duration::from_secs(1), "{opened:?}");
}

#[tokio::test(start_paused = true)]
async fn local_shortage_leaves_breaker_health_and_retries_alone() {
    let stage = Stage::new(0);
    stage.read(DEADLINE).await.unwrap();
    let before = stage.guard.health();
    let calls = AtomicU64::default();
    for _ in 0..100 {
        let deadline = Deadline(Instant::now() + DEADLINE);
        let lacking = || async {
            calls.fetch_add(1, Ordering::Relaxed);
            // As long as a call that hangs.
            tokio::time::sleep(TIMEOUT).await;
            Err::<(), _>(stage.guard.error(Failure::Overloaded("file descriptor")))
        };
        let error = stage.guard.read(Operation::ListCustomers, deadline, lacking).await.unwrap_err();
        assert!(error.nothing_sent() && error.is_outage());
    }
    assert_eq!(calls.into_inner(), 100, "none is tried again");
    let health = stage.guard.health();
    assert_eq!((health.state, health.breaker), (HealthState::Ok, BreakerState::Closed));
    assert!(health.last_error.is_none() && health.last_success_at == before.last_success_at);
}
