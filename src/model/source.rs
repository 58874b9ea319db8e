//! Sources, their names, and what each offers (contract §1, §10).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ProblemCode;

/// A source's name: `[a-z][a-z0-9_]{0,31}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceName(Arc<str>);

/// The text is no source name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a source's name is 1 to 32 lower-case letters, digits and underscores, and starts with a letter")]
pub struct InvalidSourceName;

impl SourceName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SourceName {
    type Error = InvalidSourceName;

    fn try_from(text: String) -> Result<Self, InvalidSourceName> {
        text.parse()
    }
}

impl std::str::FromStr for SourceName {
    type Err = InvalidSourceName;

    fn from_str(text: &str) -> Result<Self, InvalidSourceName> {
        let ok = text.len() <= 32
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if ok { Ok(Self(text.into())) } else { Err(InvalidSourceName) }
    }
}

impl From<SourceName> for String {
    fn from(name: SourceName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An id of a customer, and which of the two it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CustomerId {
    ExternalUserId(String),
    UnionId(String),
}

impl CustomerId {
    pub fn as_str(&self) -> &str {
        match self {
            Self::ExternalUserId(id) | Self::UnionId(id) => id,
        }
    }
}

/// Operation of a source.
///
/// - `list_customers`: `GET /v1/customers`.
/// - `get_by_external_user_id`: `GET /v1/customers/{id}` with `id_type=external_user_id`.
/// - `get_by_union_id`: `GET /v1/customers/{id}` with `id_type=union_id`.
/// - `set_remarks`: `POST /v1/remarks`.
/// - `add_follow_ups`: `POST /v1/follow-ups`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    ListCustomers,
    GetByExternalUserId,
    GetByUnionId,
    SetRemarks,
    AddFollowUps,
}

impl Operation {
    pub const ALL: [Self; 5] =
        [Self::ListCustomers, Self::GetByExternalUserId, Self::GetByUnionId, Self::SetRemarks, Self::AddFollowUps];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ListCustomers => "list_customers",
            Self::GetByExternalUserId => "get_by_external_user_id",
            Self::GetByUnionId => "get_by_union_id",
            Self::SetRemarks => "set_remarks",
            Self::AddFollowUps => "add_follow_ups",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Method by which a source divides its list into pages.
///
/// - `page`: by page number. A row added during pagination shifts the following rows, so that rows may repeat.
/// - `cursor`: by a cursor of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Paging {
    Page,
    Cursor,
}

/// Availability and limits of one operation of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OperationOffer {
    /// Whether the source has the operation and its configuration allows it.
    pub offered: bool,
    /// Whether the vendor's documentation marks the call as deprecated; `null` where the documentation is not clear.
    #[schema(required)]
    pub deprecated_by_vendor: Option<bool>,
    /// Paging of the source's list; `null` for operations other than lists.
    #[schema(required)]
    pub paging: Option<Paging>,
    /// Names of the query parameters that the source needs for the operation.
    pub requires: Vec<String>,
    /// Largest number of items in one call to the source; `null` for reads. The gateway divides larger batches.
    #[schema(required)]
    pub max_batch: Option<usize>,
    /// Customer fields that the operation can fill, such as `relations.tags.name`. A field that is not listed is always
    /// `null` or empty in the source's records.
    pub fields: Vec<String>,
    /// The source's codes that mean something else, or something at all, in this operation only, by class.
    pub codes: BTreeMap<String, Vec<String>>,
}

impl OperationOffer {
    /// An operation that the source does not have, or that its configuration does not allow.
    pub fn none() -> Self {
        Self {
            offered: false,
            deprecated_by_vendor: None,
            paging: None,
            requires: Vec::new(),
            max_batch: None,
            fields: Vec::new(),
            codes: BTreeMap::new(),
        }
    }
}

/// Response with the visible sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SourcesAnswer {
    /// Sources that the caller can use, in the order in which records are merged.
    pub data: Vec<SourceInfo>,
}

/// Source that the caller can use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SourceInfo {
    /// Name of the source in the gateway's configuration; the value of the `source` parameter.
    #[schema(value_type = String)]
    pub name: SourceName,
    /// Vendor API of the source: `juzibot` or `tanma`. Other kinds may be added.
    pub kind: String,
    /// Operations of the source by name: `list_customers`, `get_by_external_user_id`, `get_by_union_id`, `set_remarks`,
    /// `add_follow_ups`. Other names may be added.
    #[schema(value_type = BTreeMap<String, OperationOffer>)]
    pub operations: BTreeMap<Operation, OperationOffer>,
    /// Vendor codes by their class, as the gateway interprets them: `not_found`, `credentials`, `rate_limited`,
    /// `retryable`, `invalid`. A code that is not listed is `source_rejected`, unless the operation lists it in its own `codes`.
    pub codes: BTreeMap<String, Vec<String>>,
    /// Health of the source.
    pub health: SourceHealth,
}

/// Health of a source, from the calls that this gateway process made to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SourceHealth {
    /// Summary of the recent calls.
    pub state: HealthState,
    /// State of the circuit breaker in front of the source.
    pub breaker: BreakerState,
    /// Time of the last successful call, in UTC; `null` where there was none since the process started.
    #[schema(required)]
    pub last_success_at: Option<Timestamp>,
    /// Last failed call; `null` where there was none since the process started.
    #[schema(required)]
    pub last_error: Option<LastError>,
}

/// Summary of a source's recent calls.
///
/// - `ok`: the last call succeeded, or there was no call yet.
/// - `degraded`: the last call failed, or the circuit breaker is half open.
/// - `down`: the circuit breaker is open; calls fail without contacting the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    Ok,
    Degraded,
    Down,
}

/// State of a circuit breaker.
///
/// - `closed`: calls reach the source.
/// - `open`: calls fail immediately with `source_unavailable`.
/// - `half_open`: a trial call reaches the source to find out whether it has recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    Closed,
    Open,
    HalfOpen,
}

/// Failed call to a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LastError {
    /// Code of the problem that the call caused.
    pub code: ProblemCode,
    /// Time of the call, in UTC.
    pub at: Timestamp,
}
