//! The envelopes of the read answers (contract §3).

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Customer, ShortProblem, SourceName};

/// One customer as one source tells it. Pointers of warnings are relative to the customer.
#[derive(Debug, Clone, PartialEq)]
pub struct SourcedCustomer {
    pub customer: Customer,
    pub warnings: Vec<Warning>,
}

/// The answer to a detail.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CustomerAnswer {
    pub data: Customer,
    pub meta: Meta,
}

/// The last line of a complete stream.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StreamEnd {
    /// Number of customers sent.
    pub count: u64,
    /// Number of rows of the source that were skipped because they have no id or are no object; exact, whatever `warnings` lists.
    pub skipped: u64,
    /// At most 100. Pointers begin with the number of the line, from 0.
    pub warnings: Vec<Warning>,
}

/// The answer to a list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CustomerPage {
    pub data: Vec<Customer>,
    pub page: Page,
    pub meta: Meta,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page {
    /// Pass it as `cursor` for the next page; `null` on the last one.
    #[schema(required)]
    pub next_cursor: Option<String>,
    /// How many customers the source says there are; `null` where it does not say.
    #[schema(required)]
    pub total: Option<u64>,
}

/// Where an answer came from and what is to be known about it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Meta {
    pub sources: Vec<SourceReport>,
    pub warnings: Vec<Warning>,
}

/// What one source contributed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SourceReport {
    #[schema(value_type = String)]
    pub source: SourceName,
    pub status: SourceStatus,
    /// When the source answered; `null` where it was not asked or did not answer.
    #[schema(required)]
    pub fetched_at: Option<Timestamp>,
    /// Why it failed or was not asked.
    #[schema(required)]
    pub problem: Option<ShortProblem>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceStatus {
    Ok,
    /// Served past its freshness, because the source failed.
    Stale,
    NotFound,
    Failed,
    /// Not asked; the problem's code says why.
    Skipped,
}

/// Something that the reader of an answer should know and that is no failure.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, ToSchema)]
pub struct Warning {
    pub code: WarningCode,
    #[schema(value_type = String)]
    pub source: SourceName,
    /// The place in the answer, as a JSON pointer (RFC 6901); `null` for the whole answer.
    #[schema(required)]
    pub pointer: Option<String>,
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarningCode {
    /// A value of the source could not be read and is null or left out.
    UnreadableValue,
    /// The source's text was invalid (control characters, unpaired surrogates, broken UTF-8) and was repaired.
    RepairedText,
    /// A row of the source has no id or is no object and was skipped.
    SkippedRow,
    /// The source sent rows of other customers too, which were ignored, or sources disagree on the customer's union id.
    IdentityMismatch,
    /// The source sent a key twice; the first one counts.
    DuplicateKey,
    /// The list changed during pagination: rows may repeat or be missed.
    Drift,
    /// A time was in another unit than documented, and was converted.
    UnexpectedUnit,
    /// There were more warnings than are listed.
    Omitted,
}

impl Warning {
    /// Moves a warning about an element of `list` (such as `/relations/`) to where the element went; `None` if it went nowhere.
    #[must_use]
    pub fn relocated(mut self, list: &str, place: impl Fn(usize) -> Option<usize>) -> Option<Self> {
        let moved = self.pointer.as_deref().and_then(|pointer| pointer.strip_prefix(list)).and_then(|rest| {
            let (index, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            Some((index.parse().ok()?, tail.to_owned()))
        });
        if let Some((index, tail)) = moved {
            self.pointer = Some(format!("{list}{}{tail}", place(index)?));
        }
        Some(self)
    }

    /// The same warning, its pointer below another place.
    #[must_use]
    pub fn below(mut self, place: &str) -> Self {
        self.pointer = self.pointer.map(|pointer| format!("{place}{pointer}"));
        self
    }
}
