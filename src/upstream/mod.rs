//! The only place that knows a foreign API. Everything above speaks of a [`Source`] and its operations, in model types.
//!
//! A kind of source is one folder here and one arm in [`build`]: its paths and envelope (`mod.rs`), its part of the
//! configuration (`config.rs`), its JSON as it is (`wire.rs`) and the mapping into the model (`convert.rs`).

mod answer_memory;
mod codes;
mod config;
mod envelope;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
mod filled;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod guard;
mod http;
mod identity;
pub mod juzibot;
mod lenient;
mod phase;
mod reading;
mod redact;
mod repair;
mod rows;
mod secret;
mod section;
mod size;
pub mod tanma;
mod warnings;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::live::Reread;
use crate::model::{
    CustomerId, FollowUp, Operation, OperationOffer, Remark, SourceInfo, SourceName, SourcedCustomer, UpstreamReply,
    Warning,
};
use crate::outbound::{ClientConfig, ClientError};

use guard::{Credentials, Guard};

pub use codes::{CodeClass, CodeTable, KnownCode};
pub use config::{ConfigError, HIDDEN, HIDDEN_GIVEN, Kind, KindSettings, Settings, SourceConfig, hidden, source_keys};
pub use error::{ClockRefused, Failure, UpstreamError};
pub use phase::{Phase, Progress};
pub use reading::{PREFIX, Reason, Unreadable, is_plain, list, origin, shown_origin, variable, word};
pub use secret::SourceSecret;
pub use section::{Table, field_names, read as read_section};

/// Until when an answer is of use. Every wait for a source is cut by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(pub Instant);

/// Where a page stands in a source's list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    Start,
    /// A page number, from 1.
    Page(u64),
    /// The source's own cursor.
    Token(String),
}

#[derive(Debug, Clone)]
pub struct ListRequest {
    pub staff_id: Option<String>,
    pub position: Position,
    /// Rows of a page, at most the operation's [`ListCustomers::max_page_size`].
    pub page_size: u32,
    /// Rows of the pages before this one.
    pub rows_before: u64,
    pub raw: bool,
}

/// A row of a page; the warning says why it was skipped if it could not be read.
pub type ListedRow = Result<SourcedCustomer, Warning>;

#[derive(Debug, Clone)]
pub struct ListPage {
    /// Every row that the source sent, in its order.
    pub rows: Vec<ListedRow>,
    /// `None` on the last page.
    pub next: Option<Position>,
    pub total: Option<u64>,
    /// Whether the source sent a total that cannot be read, or a negative one.
    pub total_unreadable: bool,
    /// Whether the source's next page would be this one again.
    pub repeats: bool,
    /// Equal for pages of the same rows.
    pub fingerprint: u64,
}

#[async_trait]
pub trait ListCustomers: Send + Sync {
    /// The most rows that one page holds.
    fn max_page_size(&self) -> u32;
    /// Whether the source lists the customers of one staff member only.
    fn requires_staff_id(&self) -> bool;
    async fn list(&self, request: &ListRequest, deadline: Deadline) -> Result<ListPage, UpstreamError>;
}

#[derive(Debug, Clone)]
pub struct GetRequest {
    pub id: CustomerId,
    pub staff_id: Option<String>,
    pub raw: bool,
}

#[async_trait]
pub trait GetCustomer: Send + Sync {
    /// Whether the source cannot be asked without a staff id.
    fn requires_staff_id(&self) -> bool;
    /// `None` where the source does not know the customer.
    async fn get(&self, request: &GetRequest, deadline: Deadline) -> Result<Option<SourcedCustomer>, UpstreamError>;
}

/// What a source said to one chunk of a batch.
#[derive(Debug)]
pub struct WriteReply {
    /// The code for the whole chunk, where it is not success.
    pub refusal: Option<UpstreamError>,
    pub failed: Vec<FailedEntry>,
}

/// One entry of a source's list of failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedEntry {
    pub staff_id: Option<String>,
    pub union_id: Option<String>,
    /// The entry's own code and message, where it gives one.
    pub reply: Option<UpstreamReply>,
}

/// The notes of one staff member about one customer: one entry of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowUpEntry<'a> {
    pub staff_id: &'a str,
    pub union_id: &'a str,
    pub notes: Vec<&'a FollowUp>,
}

#[async_trait]
pub trait SetRemarks: Send + Sync {
    /// The most items of one call.
    fn max_batch(&self) -> usize;
    /// Bytes of the JSON of a remark in a call, its separator included.
    fn remark_bytes(&self, item: &Remark) -> usize;
    async fn set_remarks(&self, items: &[&Remark], deadline: Deadline) -> Result<WriteReply, UpstreamError>;
}

#[async_trait]
pub trait AddFollowUps: Send + Sync {
    /// The most entries of one call.
    fn max_batch(&self) -> usize;
    /// Bytes of the JSON of an entry in a call, without notes, its separator included.
    fn entry_bytes(&self, item: &FollowUp) -> usize;
    /// Bytes of the JSON of a note in an entry, its separator included.
    fn note_bytes(&self, item: &FollowUp) -> usize;
    async fn add_follow_ups(
        &self,
        entries: &[FollowUpEntry<'_>],
        deadline: Deadline,
    ) -> Result<WriteReply, UpstreamError>;
}

/// What a source of some kind can do; an operation that it does not have is `None`.
#[derive(Clone, Default)]
pub struct Operations {
    pub list: Option<Arc<dyn ListCustomers>>,
    pub get_by_external_user_id: Option<Arc<dyn GetCustomer>>,
    pub get_by_union_id: Option<Arc<dyn GetCustomer>>,
    pub set_remarks: Option<Arc<dyn SetRemarks>>,
    pub add_follow_ups: Option<Arc<dyn AddFollowUps>>,
}

/// One configured upstream account.
pub struct Source {
    pub name: SourceName,
    pub kind: Kind,
    pub operations: Operations,
    offers: BTreeMap<Operation, OperationOffer>,
    codes: CodeTable,
    guard: Arc<Guard>,
    secret: SourceSecret,
}

impl Source {
    /// Joins what a kind can do with what the configuration allows of it.
    fn new(
        config: &SourceConfig,
        mut operations: Operations,
        mut offers: BTreeMap<Operation, OperationOffer>,
        codes: CodeTable,
        secret: SourceSecret,
    ) -> Self {
        let settings = &config.settings;
        for operation in Operation::ALL {
            if settings.operations.is_empty() || settings.operations.contains(&operation) {
                offers.entry(operation).or_insert_with(OperationOffer::none);
                continue;
            }
            offers.insert(operation, OperationOffer::none());
            match operation {
                Operation::ListCustomers => operations.list = None,
                Operation::GetByExternalUserId => operations.get_by_external_user_id = None,
                Operation::GetByUnionId => operations.get_by_union_id = None,
                Operation::SetRemarks => operations.set_remarks = None,
                Operation::AddFollowUps => operations.add_follow_ups = None,
            }
        }
        for (operation, offer) in offers.iter_mut().filter(|(_, offer)| offer.offered) {
            offer.codes = codes.of_operation(*operation);
        }
        let credentials = Credentials::new(secret.clone());
        let guard = Guard::new(config.name.clone(), settings, credentials);
        let guard = Arc::new(guard);
        Self {
            name: config.name.clone(),
            kind: config.kind.kind(),
            operations: guard::guarded(operations, &guard),
            offers,
            codes,
            guard,
            secret,
        }
    }

    /// What is to be read again from time to time: the secret, where a file holds it.
    pub fn secret(&self) -> Arc<dyn Reread> {
        Arc::new(self.secret.clone())
    }

    /// The operation that asks for a customer by this kind of id.
    pub fn get_by(&self, id: &CustomerId) -> Option<&Arc<dyn GetCustomer>> {
        match id {
            CustomerId::ExternalUserId(_) => self.operations.get_by_external_user_id.as_ref(),
            CustomerId::UnionId(_) => self.operations.get_by_union_id.as_ref(),
        }
    }

    pub fn offers(&self, operation: Operation) -> bool {
        self.offers.get(&operation).is_some_and(|offer| offer.offered)
    }

    /// What `/v1/sources` tells of this source.
    pub fn info(&self) -> SourceInfo {
        SourceInfo {
            name: self.name.clone(),
            kind: self.kind.as_str().to_owned(),
            operations: self.offers.clone(),
            codes: self.codes.by_class(),
            health: self.guard.health(),
        }
    }
}

#[cfg(test)]
impl Source {
    /// A `JuziBot` source with these operations in place of its own, guarded as those are.
    pub(crate) fn with_operations(config: &SourceConfig, operations: Operations) -> Self {
        let KindSettings::Juzibot(kind) = &config.kind else { panic!("expected a source of kind juzibot") };
        Self::new(config, operations, BTreeMap::new(), CodeTable::default(), kind.token.clone())
    }
}

/// Builds the source that the configuration describes. Touches no network.
pub fn build(config: &SourceConfig, client: &ClientConfig) -> Result<Source, ClientError> {
    match &config.kind {
        KindSettings::Juzibot(kind) => juzibot::build(config, kind, client),
        KindSettings::Tanma(kind) => tanma::build(config, kind, client),
    }
}
