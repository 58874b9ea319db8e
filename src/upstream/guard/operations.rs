//! The operations of a source, each behind its guard. The same for every kind.

use std::sync::Arc;

use async_trait::async_trait;

use crate::model::{FollowUp, Operation, Remark, SourcedCustomer};
use crate::upstream::{
    AddFollowUps, Deadline, FollowUpEntry, GetCustomer, GetRequest, ListCustomers, ListPage, ListRequest, Operations,
    SetRemarks, UpstreamError, WriteReply,
};

use super::Guard;

/// The same operations, guarded.
pub(in crate::upstream) fn guarded(operations: Operations, guard: &Arc<Guard>) -> Operations {
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
        self.guard.read(self.operation, deadline, || self.inner.list(request, deadline)).await
    }
}

#[async_trait]
impl GetCustomer for Guarded<dyn GetCustomer> {
    fn requires_staff_id(&self) -> bool {
        self.inner.requires_staff_id()
    }

    async fn get(&self, request: &GetRequest, deadline: Deadline) -> Result<Option<SourcedCustomer>, UpstreamError> {
        self.guard.read(self.operation, deadline, || self.inner.get(request, deadline)).await
    }
}

#[async_trait]
impl SetRemarks for Guarded<dyn SetRemarks> {
    fn max_batch(&self) -> usize {
        self.inner.max_batch()
    }

    fn remark_bytes(&self, item: &Remark) -> usize {
        self.inner.remark_bytes(item)
    }

    async fn set_remarks(&self, items: &[&Remark], deadline: Deadline) -> Result<WriteReply, UpstreamError> {
        self.guard.write(self.operation, deadline, || self.inner.set_remarks(items, deadline)).await
    }
}

#[async_trait]
impl AddFollowUps for Guarded<dyn AddFollowUps> {
    fn max_batch(&self) -> usize {
        self.inner.max_batch()
    }

    fn entry_bytes(&self, item: &FollowUp) -> usize {
        self.inner.entry_bytes(item)
    }

    fn note_bytes(&self, item: &FollowUp) -> usize {
        self.inner.note_bytes(item)
    }

    async fn add_follow_ups(
        &self,
        entries: &[FollowUpEntry<'_>],
        deadline: Deadline,
    ) -> Result<WriteReply, UpstreamError> {
        self.guard.write(self.operation, deadline, || self.inner.add_follow_ups(entries, deadline)).await
    }
}
