//! Around every operation of every source. An outcome is decided once, after the envelope was decoded, and everything that
//! acts on outcomes acts on that: breaker, retries, health and numbers.

mod breaker;
mod bulkhead;
mod config;
mod credentials;
mod operations;
mod quota;
mod retry;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use crate::model::{BreakerState, HealthState, LastError, Operation, SourceHealth, SourceName};
use crate::telemetry;

use super::http::Effect;
use super::{Deadline, Failure, Phase, Progress, UpstreamError, WriteReply};
use breaker::Breaker;
use bulkhead::{Bulkhead, PATIENCE};
use quota::OutboundQuota;
use retry::Retries;

pub(super) use config::{Raw, Resilience};
pub(super) use credentials::Credentials;
pub(super) use operations::guarded;

/// What stands between the service and one source.
pub(super) struct Guard {
    source: SourceName,
    breaker: Arc<Breaker>,
    retries: Retries,
    bulkhead: Bulkhead,
    /// What the source allows us, where the configuration says so.
    quota: Option<OutboundQuota>,
    credentials: Credentials,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    last_success_at: Option<Timestamp>,
    last_error: Option<LastError>,
    /// Whether the last call that told anything of the source's state failed.
    failing: bool,
}

impl Guard {
    pub(super) fn new(source: SourceName, max_in_flight: usize, config: &Resilience, credentials: Credentials) -> Self {
        Self {
            source,
            breaker: Breaker::new(config.breaker),
            retries: Retries::new(config.retry),
            bulkhead: Bulkhead::new(max_in_flight),
            quota: config.quota.map(OutboundQuota::new),
            credentials,
            seen: Mutex::default(),
        }
    }

    pub(super) fn health(&self) -> SourceHealth {
        let breaker = self.breaker.state();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let state = match breaker {
            BreakerState::Open => HealthState::Down,
            BreakerState::HalfOpen => HealthState::Degraded,
            BreakerState::Closed if seen.failing => HealthState::Degraded,
            BreakerState::Closed => HealthState::Ok,
        };
        SourceHealth { state, breaker, last_success_at: seen.last_success_at, last_error: seen.last_error.clone() }
    }

    /// A read: tried again while that is of use, within budget and deadline. One whose credentials were refused is made
    /// again at once where there are others by now: what counts as a try, and against the budget, is what the source
    /// failed to do, and this can come no more often than the secret changes.
    async fn read<T, F: Future<Output = Result<T, UpstreamError>>>(
        &self,
        operation: Operation,
        deadline: Deadline,
        call: impl Fn() -> F,
    ) -> Result<T, UpstreamError> {
        let once = || self.once(Effect::Read, operation, deadline, &call, |_| None);
        let with_the_secret_of_now = || async {
            let sent_with = self.credentials.now();
            match once().await {
                Err(error) if error.refuses_credentials() && self.credentials.renewed(&sent_with, deadline).await => {
                    once().await
                }
                result => result,
            }
        };
        self.try_again(deadline, UpstreamError::may_read_again, with_the_secret_of_now).await
    }

    /// A write: tried again only where it is certain that nothing of it reached the source. Refused credentials are read
    /// again for the next one.
    async fn write<F: Future<Output = Result<WriteReply, UpstreamError>>>(
        &self,
        operation: Operation,
        deadline: Deadline,
        call: impl Fn() -> F,
    ) -> Result<WriteReply, UpstreamError> {
        let unreachable = |error: &UpstreamError| error.failure == Failure::Unreachable;
        let once = || async {
            let sent_with = self.credentials.now();
            let result = self.once(Effect::Write, operation, deadline, &call, refusal_of).await;
            if result.as_ref().map_or_else(Some, refusal_of).is_some_and(UpstreamError::refuses_credentials) {
                self.credentials.renewed(&sent_with, deadline).await;
            }
            result
        };
        self.try_again(deadline, unreachable, once).await
    }

    async fn try_again<T, F: Future<Output = Result<T, UpstreamError>>>(
        &self,
        deadline: Deadline,
        may: impl Fn(&UpstreamError) -> bool,
        call: impl Fn() -> F,
    ) -> Result<T, UpstreamError> {
        let mut tries = 1;
        loop {
            let result = call().await;
            if tries == 1 && result.as_ref().err().is_none_or(UpstreamError::tells_of_the_source) {
                self.retries.deposit();
            }
            let error = match result {
                Err(error) if may(&error) && !self.breaker.is_failing() => error,
                result => return result,
            };
            let Some(pause) = self.retries.pause(tries, error.retry_after, deadline) else { return Err(error) };
            tries += 1;
            Progress::current().reached(Phase::Pause);
            tokio::time::sleep(pause).await;
        }
    }

    /// One call, let pass by quota and breaker, its outcome noted. `refusal` tells what of a success is a failure after
    /// all.
    async fn once<T, F: Future<Output = Result<T, UpstreamError>>>(
        &self,
        effect: Effect,
        operation: Operation,
        deadline: Deadline,
        call: impl Fn() -> F,
        refusal: impl FnOnce(&T) -> Option<&UpstreamError>,
    ) -> Result<T, UpstreamError> {
        // Asked before the queues, so that nobody waits in them for nothing, and after, for it may have opened since.
        self.breaker.closed().map_err(|wait| self.circuit_open(wait))?;
        let _in_line = match effect {
            Effect::Read => Some(self.bulkhead.stand_in_line().ok_or_else(|| self.line_is_full())?),
            // Those of a batch are few at a time, and have nobody to try them again.
            Effect::Write => None,
        };
        self.wait_for_quota(deadline).await?;
        let _slot = self.wait_for_slot(effect, deadline).await?;
        if deadline.0 <= Instant::now() {
            return Err(self.error(Failure::DeadlinePassed { sent: false, phase: Phase::Slot }));
        }
        let pass = self.breaker.pass().map_err(|wait| self.circuit_open(wait))?;
        let started = Instant::now();
        let result = call().await;
        let error = result.as_ref().map_or_else(Some, refusal);
        // What the caller's own deadline ended says nothing about the source: neither good nor bad.
        if error.is_none_or(UpstreamError::tells_of_the_source) {
            pass.settle(error.is_some_and(UpstreamError::counts_against_the_source));
            self.note(error);
        }
        let outcome = error.map_or("ok", |error| error.code().as_str());
        telemetry::metrics::call(self.source.as_str(), operation.as_str(), outcome, started.elapsed());
        result
    }

    /// Queues for the source's own allowance, as long as the deadline leaves a chance.
    async fn wait_for_quota(&self, deadline: Deadline) -> Result<(), UpstreamError> {
        let Some(quota) = &self.quota else { return Ok(()) };
        Progress::current().reached(Phase::Quota);
        quota.take(deadline).await.map_err(|wait| self.quota_spent(wait))
    }

    /// A read waits a moment, a write until its deadline.
    async fn wait_for_slot(&self, effect: Effect, deadline: Deadline) -> Result<SemaphorePermit<'_>, UpstreamError> {
        Progress::current().reached(Phase::Slot);
        let until = match effect {
            Effect::Read => deadline.0.min(Instant::now() + PATIENCE),
            Effect::Write => deadline.0,
        };
        self.bulkhead.slot(until).await.ok_or_else(|| {
            let over = deadline.0 <= Instant::now();
            let phase = Phase::Slot;
            self.error(if over { Failure::DeadlinePassed { sent: false, phase } } else { Failure::Busy })
        })
    }

    /// Why nobody more is let into the line: they wait for the quota there, or for slots.
    fn line_is_full(&self) -> UpstreamError {
        match self.quota.as_ref().map(OutboundQuota::expected_wait) {
            Some(wait) if !wait.is_zero() => self.quota_spent(wait),
            _ => self.error(Failure::Busy),
        }
    }

    fn error(&self, failure: Failure) -> UpstreamError {
        UpstreamError::new(&self.source, failure)
    }

    fn quota_spent(&self, wait: Duration) -> UpstreamError {
        UpstreamError { retry_after: Some(wait), ..self.error(Failure::QuotaSpent) }
    }

    fn circuit_open(&self, wait: Duration) -> UpstreamError {
        UpstreamError { retry_after: Some(wait), ..self.error(Failure::CircuitOpen) }
    }

    fn note(&self, error: Option<&UpstreamError>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        match error {
            Some(error) => {
                seen.last_error = Some(LastError { code: error.code(), at });
                // A source that refuses what was asked of it is well.
                seen.failing = error.is_outage();
            }
            None => {
                seen.last_success_at = Some(at);
                seen.failing = false;
            }
        }
    }
}

/// What of a write that was answered is a failure after all.
fn refusal_of(reply: &WriteReply) -> Option<&UpstreamError> {
    reply.refusal.as_ref()
}
