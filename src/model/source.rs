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

/// What a source may be asked for.
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

/// How a source pages its lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Paging {
    /// By page number: a row added during a walk shifts the rows behind it.
    Page,
    Cursor,
}

/// One operation of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OperationOffer {
    pub offered: bool,
    /// Whether the vendor's documentation marks the call as deprecated; `null` where it says nothing certain.
    #[schema(required)]
    pub deprecated_by_vendor: Option<bool>,
    #[schema(required)]
    pub paging: Option<Paging>,
    /// Parameters without which the source cannot be asked.
    pub requires: Vec<String>,
    /// The most items that one call to the source takes.
    #[schema(required)]
    pub max_batch: Option<usize>,
    /// The fields of a customer that this operation can fill: it tells an empty list from one that is not offered.
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

/// The answer of `/v1/sources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SourcesAnswer {
    pub data: Vec<SourceInfo>,
}

/// One visible source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SourceInfo {
    #[schema(value_type = String)]
    pub name: SourceName,
    pub kind: String,
    pub operations: BTreeMap<Operation, OperationOffer>,
    /// The source's codes by class, for every operation that does not list the same code itself.
    pub codes: BTreeMap<String, Vec<String>>,
    pub health: SourceHealth,
}

/// What is known of a source from the calls that this process made to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SourceHealth {
    pub state: HealthState,
    pub breaker: BreakerState,
    #[schema(required)]
    pub last_success_at: Option<Timestamp>,
    #[schema(required)]
    pub last_error: Option<LastError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// The last call went well, or there was none yet.
    Ok,
    /// The last call failed.
    Degraded,
    /// The source is not called for now.
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls are refused at once.
    Open,
    /// Some calls pass, to see whether the source is back.
    HalfOpen,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LastError {
    pub code: ProblemCode,
    pub at: Timestamp,
}
