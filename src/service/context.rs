//! What a request brings along, passed explicitly.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::memory::{Refused, Reservation};
use crate::model::{Caller, Operation, Problem, ProblemCode, Scope, SourceName};
use crate::store::concurrency::Permit;
use crate::store::quota::{Charge, Quotas};
use crate::upstream::Deadline;

use super::audit::{Told, Trail};

/// A verified request: who asks, until when, at whose cost, and under which id it stands in the log.
#[derive(Debug, Clone)]
pub struct RequestContext {
    pub caller: Arc<Caller>,
    pub deadline: Deadline,
    /// Time from the start of the work to the deadline.
    pub allowed: Duration,
    pub quota: QuotaHandle,
    pub request_id: Arc<str>,
    pub timings: Timings,
    pub told: Told,
    pub queried: QueriedSources,
    /// Held until the answer is written, and until work that goes on after that has ended.
    pub memory: Arc<Reservation>,
    /// Held until the response is written and the work has ended; `None` in tests.
    pub permit: Option<Permit>,
}

/// Sources that a request has queried, for the access log. A source whose cached record was served is not included.
#[derive(Debug, Clone, Default)]
pub struct QueriedSources(Arc<Mutex<Vec<SourceName>>>);

impl QueriedSources {
    pub fn add(&self, source: &SourceName) {
        let mut sources = self.lock();
        if !sources.contains(source) {
            sources.push(source.clone());
        }
    }

    /// Removes a source that turned out not to be queried.
    pub fn remove(&self, source: &SourceName) {
        self.lock().retain(|queried| queried != source);
    }

    /// The names with commas between; `None` where no source was queried.
    pub fn to_text(&self) -> Option<String> {
        let sources = self.lock();
        let names: Vec<&str> = sources.iter().map(SourceName::as_str).collect();
        (!names.is_empty()).then(|| names.join(","))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SourceName>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What each source took of a request's time, in the order of their answers.
#[derive(Debug, Clone, Default)]
pub struct Timings(Arc<Mutex<Vec<(SourceName, Duration)>>>);

impl Timings {
    pub fn note(&self, source: &SourceName, took: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((source.clone(), took));
    }

    pub fn so_far(&self) -> Vec<(SourceName, Duration)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl RequestContext {
    /// # Errors
    /// `forbidden` where the token lacks the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.caller.has(scope) { Ok(()) } else { Err(Problem::missing_scope(scope)) }
    }

    /// Reserves memory for the answer to a read.
    ///
    /// # Errors
    /// Those of [`no_memory`]; `source_bad_payload` if it can never fit.
    pub async fn reserve(&self, bytes: usize) -> Result<(), Problem> {
        let too_large = || {
            let detail = "the answer needs more memory than one request may use; ask one source alone, with the parameter source";
            Problem::new(ProblemCode::SourceBadPayload, detail)
        };
        self.memory.grow(bytes).await.map_err(|refused| no_memory(refused, too_large))
    }

    /// Reserves memory for the answers to a batch, beside that of its body.
    ///
    /// # Errors
    /// Those of [`no_memory`]; `payload_too_large` if it can never fit.
    pub async fn reserve_for_batch(&self, bytes: usize) -> Result<(), Problem> {
        let too_large = || {
            let detail = "the batch needs more memory than the gateway has for one caller; send fewer items";
            Problem::new(ProblemCode::PayloadTooLarge, detail)
        };
        self.memory.grow(bytes).await.map_err(|refused| no_memory(refused, too_large))
    }

    /// Begins the time of the work now: the body of a write may have taken longer to arrive than the work is allowed.
    pub fn restart_deadline(&mut self) {
        self.deadline = Deadline(Instant::now() + self.allowed);
    }

    /// The audit trail of what the request does at a source.
    pub fn trail(&self, operation: Operation, source: &SourceName) -> Trail {
        Trail { source: Some(source.clone()), ..self.trail_of(operation) }
    }

    /// Tells the audit trail that the request was refused, unless it knows already what became of it.
    pub fn refused(&self, operation: Operation, code: ProblemCode) {
        if !self.told.anything() {
            self.trail_of(operation).refused(code.as_str());
        }
    }

    fn trail_of(&self, operation: Operation) -> Trail {
        let (caller, request_id, told) = (self.caller.clone(), self.request_id.clone(), self.told.clone());
        Trail { caller, request_id, told, operation, source: None }
    }
}

/// The problem of a request for which there is no memory: `rate_limited` where the caller's other requests hold its share,
/// `overloaded` where all requests hold all, and `too_large` where it can never fit.
pub fn no_memory(refused: Refused, too_large: impl FnOnce() -> Problem) -> Problem {
    let (code, detail) = match refused {
        Refused::Caller => {
            (ProblemCode::RateLimited, "the caller's other requests use its share of the gateway's memory")
        }
        Refused::Total => (ProblemCode::Overloaded, "the gateway has no memory left for the request"),
        Refused::TooLarge => return too_large(),
    };
    Problem::new(code, detail).with_retry_after(Duration::from_secs(1))
}

/// The caller's quota during one request.
#[derive(Clone)]
pub struct QuotaHandle {
    quotas: Arc<Quotas>,
    caller: Arc<Caller>,
    last: Arc<Mutex<Charge>>,
}

impl std::fmt::Debug for QuotaHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuotaHandle").field("last", &self.last()).finish_non_exhaustive()
    }
}

impl QuotaHandle {
    /// Opens the quota of a request by charging it 1.
    ///
    /// # Errors
    /// The refused charge.
    pub fn open(quotas: Arc<Quotas>, caller: Arc<Caller>) -> Result<Self, Charge> {
        let charge = quotas.charge(&caller.id, 1);
        if charge.wait.is_some() {
            return Err(charge);
        }
        Ok(Self { quotas, caller, last: Arc::new(Mutex::new(charge)) })
    }

    /// Charges a request that costs more than the 1 it has paid.
    ///
    /// # Errors
    /// `rate_limited` where the rest is not there.
    pub fn charge_in_all(&self, cost: usize) -> Result<(), Problem> {
        let burst = self.last().config.burst.get();
        let more = u32::try_from(cost).unwrap_or(u32::MAX).min(burst).saturating_sub(1);
        if more == 0 {
            return Ok(());
        }
        let charge = self.quotas.charge(&self.caller.id, more);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = charge;
        match charge.wait {
            None => Ok(()),
            // The next try pays its first 1 at the door again, so the wait is for that too.
            Some(wait) => Err(Self::refusal(wait + charge.config.period())),
        }
    }

    /// Charges 1 as soon as there is room for it.
    pub async fn wait_for_one(&self) {
        while let Some(wait) = self.quotas.charge(&self.caller.id, 1).wait {
            tokio::time::sleep(wait).await;
        }
    }

    /// What the last charge left.
    pub fn last(&self) -> Charge {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn refusal(wait: Duration) -> Problem {
        Problem::new(ProblemCode::RateLimited, "the caller's quota is spent").with_retry_after(wait)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::num::NonZeroU32;

    use super::*;
    use crate::model::CallerId;
    use crate::store::quota::QuotaConfig;

    #[tokio::test(start_paused = true)]
    async fn deadline_of_a_write_begins_when_its_body_has_arrived() {
        let number = |number| NonZeroU32::new(number).unwrap();
        let config = QuotaConfig { requests: number(1), window: Duration::from_secs(1), burst: number(1) };
        let id = CallerId { issuer: "i".into(), subject: "s".into() };
        let caller = Arc::new(Caller { id, scopes: BTreeSet::new(), sources: Vec::new() });
        let allowed = Duration::from_secs(30);
        let mut context = RequestContext {
            quota: QuotaHandle::open(Arc::new(Quotas::new(config, [])), caller.clone()).unwrap(),
            caller,
            deadline: Deadline(Instant::now() + allowed),
            allowed,
            request_id: "request".into(),
            timings: Timings::default(),
            told: Told::default(),
            queried: QueriedSources::default(),
            memory: crate::memory::InFlight::new(1 << 30).open(None),
            permit: None,
        };
        tokio::time::advance(Duration::from_secs(50)).await;
        context.restart_deadline();
        assert_eq!(context.deadline.0, Instant::now() + allowed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_obeys_retry_after_gets_its_batch_through() {
        let number = |number| NonZeroU32::new(number).unwrap();
        let config = QuotaConfig { requests: number(60), window: Duration::from_mins(1), burst: number(10) };
        let quotas = Arc::new(Quotas::new(config, []));
        let id = CallerId { issuer: "i".into(), subject: "s".into() };
        let caller = Arc::new(Caller { id, scopes: BTreeSet::new(), sources: Vec::new() });
        let batch = || match QuotaHandle::open(quotas.clone(), caller.clone()) {
            Err(charge) => charge.wait,
            Ok(quota) => quota.charge_in_all(20).err().and_then(|problem| problem.retry_after),
        };
        assert_eq!(batch(), None, "the burst takes it");
        for asked in 1..=3 {
            let Some(wait) = batch() else { return assert!(asked > 1) };
            // As the header has it: whole seconds, rounded up.
            tokio::time::advance(Duration::from_secs(crate::error::ceil_seconds(wait))).await;
        }
        panic!("refused again though it waited as it was told to");
    }
}
