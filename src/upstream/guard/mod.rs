//! Around every operation of every source. An outcome is decided once, after the envelope was decoded, and everything that
//! acts on outcomes acts on that: breaker, retries, health and numbers.

mod breaker;
mod bulkhead;
mod config;
mod credentials;
mod hangs;
mod operations;
mod quota;
mod retry;
mod window;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use crate::model::{BreakerState, HealthState, LastError, Operation, SourceHealth, SourceName};
use crate::telemetry;

use super::http::Effect;
use super::{Deadline, Failure, Phase, Progress, Settings, UpstreamError, WriteReply};
use breaker::{Breaker, Outcome};
use bulkhead::{Bulkhead, PATIENCE};
use hangs::Timeouts;
use quota::OutboundQuota;
use retry::Retries;

pub(super) use config::{Raw, Resilience, nested_keys};
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
    pub(super) fn new(source: SourceName, settings: &Settings, credentials: Credentials) -> Self {
        let config = &settings.resilience;
        let timeouts = Timeouts { read: settings.timeout, write: settings.write_timeout };
        Self {
            source,
            breaker: Breaker::new(config.breaker, timeouts),
            retries: Retries::new(config.retry),
            bulkhead: Bulkhead::new(settings.max_in_flight),
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
        let sent_with = SentWith::default();
        let once = || self.once(Effect::Read, operation, deadline, || sent_with.noted(self, &call), |_| None);
        let with_the_secret_of_now = || async {
            match once().await {
                Err(error) if error.refuses_credentials() && self.renewed(&sent_with, deadline).await => once().await,
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
        let sent_with = SentWith::default();
        let once = || async {
            let call = || sent_with.noted(self, &call);
            let result = self.once(Effect::Write, operation, deadline, call, refusal_of).await;
            if result.as_ref().map_or_else(Some, refusal_of).is_some_and(UpstreamError::refuses_credentials) {
                self.renewed(&sent_with, deadline).await;
            }
            result
        };
        self.try_again(deadline, unreachable, once).await
    }

    async fn renewed(&self, sent_with: &SentWith, deadline: Deadline) -> bool {
        let sent_with = sent_with.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match sent_with {
            Some(refused) => self.credentials.renewed(&refused, deadline).await,
            None => false,
        }
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
                Err(error) if may(&error) && !self.breaker.is_failing() && !Progress::current().is_given_up() => error,
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
        let _in_line = self.bulkhead.stand_in_line(effect).ok_or_else(|| self.no_room())?;
        let _slot = self.wait_for_slot(effect, deadline).await?;
        // Last of all: what it grants is used at once, or more would be sent in a moment than the source allows.
        self.wait_for_quota(deadline).await?;
        if deadline.0 <= Instant::now() {
            return Err(self.error(Failure::DeadlinePassed { sent: false, phase: Phase::Slot }));
        }
        let pass = self.breaker.pass(effect).map_err(|wait| self.circuit_open(wait))?;
        let started = Instant::now();
        let result = call().await;
        let error = result.as_ref().map_or_else(Some, refusal);
        // What the caller's own deadline ended says nothing about the source, neither good nor bad, unless it took long: the pass
        // sees to that.
        if error.is_some_and(UpstreamError::is_of_content) {
            pass.release();
        } else if error.is_some_and(UpstreamError::is_shortage) {
            pass.discard();
        } else if error.is_none_or(UpstreamError::tells_of_the_source) {
            pass.settle(outcome_of(error));
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
        // Where the breaker has opened meanwhile, all who wait are told so, one after the other at once.
        let spared = || self.breaker.closed().is_err();
        quota.take(deadline, spared).await.map_err(|wait| self.quota_spent(wait))
    }

    /// A read waits a moment, or until its deadline where those before it wait for the quota; a write until its deadline.
    async fn wait_for_slot(
        &self,
        effect: Effect,
        deadline: Deadline,
    ) -> Result<[SemaphorePermit<'_>; 2], UpstreamError> {
        let behind_the_quota = self.quota_wait().is_some();
        Progress::current().reached(if behind_the_quota { Phase::Quota } else { Phase::Slot });
        let until = match effect {
            Effect::Read if !behind_the_quota => deadline.0.min(Instant::now() + PATIENCE),
            _ => deadline.0,
        };
        self.bulkhead.slot(effect, until).await.ok_or_else(|| {
            if deadline.0 > Instant::now() || self.quota_wait().is_some() {
                return self.no_room();
            }
            self.error(Failure::DeadlinePassed { sent: false, phase: Phase::Slot })
        })
    }

    /// How long one call waits for the quota, where any does.
    fn quota_wait(&self) -> Option<Duration> {
        self.quota.as_ref().map(OutboundQuota::expected_wait).filter(|wait| !wait.is_zero())
    }

    /// Why nobody more is let in: those before wait for the quota, or for slots.
    fn no_room(&self) -> UpstreamError {
        self.quota_wait().map_or_else(|| self.error(Failure::Busy), |wait| self.quota_spent(wait))
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

fn outcome_of(error: Option<&UpstreamError>) -> Outcome {
    match error {
        Some(UpstreamError { failure: Failure::TimedOut { .. }, .. }) => Outcome::Hung,
        Some(error) if error.counts_against_the_source() => Outcome::Failure,
        _ => Outcome::Success,
    }
}

/// The secret that a call was sent with, which is that of the moment of sending: it may have waited for its turn before.
#[derive(Default)]
struct SentWith(Mutex<Option<Arc<SecretString>>>);

impl SentWith {
    fn noted<F>(&self, guard: &Guard, call: impl Fn() -> F) -> F {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard.credentials.now());
        call()
    }
}

/// What of a write that was answered is a failure after all.
fn refusal_of(reply: &WriteReply) -> Option<&UpstreamError> {
    reply.refusal.as_ref()
}

#[cfg(test)]
mod tests;
