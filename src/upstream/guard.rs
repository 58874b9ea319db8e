//! Around every operation of every source: its outcome, decided after the envelope was decoded, is noted here.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::model::{
    BreakerState, HealthState, LastError, Operation, Remark, SourceHealth, SourceName, SourcedCustomer,
};
use crate::telemetry;

use super::{
    AddFollowUps, Deadline, FollowUpEntry, GetCustomer, GetRequest, ListCustomers, ListPage, ListRequest, Operations,
    SetRemarks, UpstreamError, WriteReply,
};

/// What is known of a source from the calls that were made to it.
#[derive(Debug)]
pub(super) struct Guard {
    source: SourceName,
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
    pub(super) fn new(source: SourceName) -> Self {
        Self { source, seen: Mutex::default() }
    }

    pub(super) fn health(&self) -> SourceHealth {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        SourceHealth {
            state: if seen.failing { HealthState::Degraded } else { HealthState::Ok },
            breaker: BreakerState::Closed,
            last_success_at: seen.last_success_at,
            last_error: seen.last_error.clone(),
        }
    }

    /// Notes how a call went; `refusal` tells what of a success is a failure after all.
    async fn watch<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, UpstreamError>>,
        refusal: impl FnOnce(&T) -> Option<&UpstreamError>,
    ) -> Result<T, UpstreamError> {
        let started = Instant::now();
        let result = call.await;
        let error = result.as_ref().map_or_else(Some, refusal);
        let outcome = error.map_or("ok", |error| error.code().as_str());
        telemetry::metrics::call(self.source.as_str(), operation.as_str(), outcome, started.elapsed());
        self.note(error);
        result
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

/// The same operations, watched.
pub(super) fn guarded(operations: Operations, guard: &Arc<Guard>) -> Operations {
    fn wrap<T: ?Sized>(inner: Arc<T>, operation: Operation, guard: &Arc<Guard>) -> Arc<Guarded<T>> {
        Arc::new(Guarded { inner, operation, guard: guard.clone() })
    }
    Operations {
        list: operations.list.map(|inner| wrap(inner, Operation::ListCustomers, guard) as Arc<dyn ListCustomers>),
        get_by_external_user_id: operations
            .get_by_external_user_id
            .map(|inner| wrap(inner, Operation::GetByExternalUserId, guard) as Arc<dyn GetCustomer>),
        get_by_union_id: operations
            .get_by_union_id
            .map(|inner| wrap(inner, Operation::GetByUnionId, guard) as Arc<dyn GetCustomer>),
        set_remarks: operations
            .set_remarks
            .map(|inner| wrap(inner, Operation::SetRemarks, guard) as Arc<dyn SetRemarks>),
        add_follow_ups: operations
            .add_follow_ups
            .map(|inner| wrap(inner, Operation::AddFollowUps, guard) as Arc<dyn AddFollowUps>),
    }
}

struct Guarded<T: ?Sized> {
    inner: Arc<T>,
    operation: Operation,
    guard: Arc<Guard>,
}

#[async_trait]
impl ListCustomers for Guarded<dyn ListCustomers> {
    fn max_page_size(&self) -> u32 {
        self.inner.max_page_size()
    }

    fn requires_staff_id(&self) -> bool {
        self.inner.requires_staff_id()
    }

    async fn list(&self, request: &ListRequest, deadline: Deadline) -> Result<ListPage, UpstreamError> {
        self.guard.watch(self.operation, self.inner.list(request, deadline), |_| None).await
    }
}

#[async_trait]
impl GetCustomer for Guarded<dyn GetCustomer> {
    fn requires_staff_id(&self) -> bool {
        self.inner.requires_staff_id()
    }

    async fn get(&self, request: &GetRequest, deadline: Deadline) -> Result<Option<SourcedCustomer>, UpstreamError> {
        self.guard.watch(self.operation, self.inner.get(request, deadline), |_| None).await
    }
}

#[async_trait]
impl SetRemarks for Guarded<dyn SetRemarks> {
    fn max_batch(&self) -> usize {
        self.inner.max_batch()
    }

    async fn set_remarks(&self, items: &[&Remark], deadline: Deadline) -> Result<WriteReply, UpstreamError> {
        self.guard.watch(self.operation, self.inner.set_remarks(items, deadline), |reply| reply.refusal.as_ref()).await
    }
}

#[async_trait]
impl AddFollowUps for Guarded<dyn AddFollowUps> {
    fn max_batch(&self) -> usize {
        self.inner.max_batch()
    }

    async fn add_follow_ups(
        &self,
        entries: &[FollowUpEntry<'_>],
        deadline: Deadline,
    ) -> Result<WriteReply, UpstreamError> {
        self.guard
            .watch(self.operation, self.inner.add_follow_ups(entries, deadline), |reply| reply.refusal.as_ref())
            .await
    }
}
