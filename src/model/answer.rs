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

/// Response with one customer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CustomerAnswer {
    /// The customer, merged over the sources that know it.
    pub data: Customer,
    /// Origin of the data, and warnings.
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

/// Response with one page of customers.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CustomerPage {
    /// Customers of the page, one record each, in the source's order. May be empty while `next_cursor` is not `null`.
    pub data: Vec<Customer>,
    /// Position in the list.
    pub page: Page,
    /// Origin of the data, and warnings.
    pub meta: Meta,
}

/// Position in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page {
    /// Value of `cursor` for the next page; `null` on the last page.
    #[schema(required)]
    pub next_cursor: Option<String>,
    /// Number of customers in the whole list, as the source reports it; `null` where the source does not report it.
    /// `next_cursor` alone decides whether the list ends.
    #[schema(required)]
    pub total: Option<u64>,
}

/// Origin of a response, and warnings about its data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Meta {
    /// One report for each source that the request concerns, in source order.
    pub sources: Vec<SourceReport>,
    /// Warnings about the data, such as values that could not be read. Empty where there are none.
    pub warnings: Vec<Warning>,
}

/// Contribution of one source to a response.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SourceReport {
    /// Name of the source.
    #[schema(value_type = String)]
    pub source: SourceName,
    /// Result of the query to the source.
    pub status: SourceStatus,
    /// Time at which the source answered, in UTC; `null` where it was not queried or did not answer.
    #[schema(required)]
    pub fetched_at: Option<Timestamp>,
    /// Reason for the status `failed`, `stale` or `skipped`; `null` otherwise.
    #[schema(required)]
    pub problem: Option<ShortProblem>,
}

/// Result of the query to one source.
///
/// - `ok`: the response contains the source's data, or the source processed the batch.
/// - `stale`: the response contains a cached record past its freshness, because the source failed or was slow.
/// - `not_found`: the source does not know the customer.
/// - `failed`: the source's data is missing; `problem` has the reason.
/// - `skipped`: the source was not queried; `problem` has the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceStatus {
    Ok,
    Stale,
    NotFound,
    Failed,
    Skipped,
}

/// Warning about the data of a response. The request succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, ToSchema)]
pub struct Warning {
    /// Kind of the warning.
    pub code: WarningCode,
    /// Name of the source whose data the warning is about.
    #[schema(value_type = String)]
    pub source: SourceName,
    /// Position in `data`, as a JSON pointer (RFC 6901); `null` for the whole response.
    #[schema(required)]
    pub pointer: Option<String>,
    /// Explanation for people. Its text may change; use `code` in programs.
    pub detail: String,
}

/// Kind of a warning.
///
/// - `unreadable_value`: a value of the source could not be read; it is `null` or left out.
/// - `repaired_text`: the source's text was invalid (control characters, unpaired surrogates, broken UTF-8) and was
///   repaired.
/// - `skipped_row`: a row of the source has no id or is not an object; it was skipped.
/// - `identity_mismatch`: the source also sent rows of other customers, which were ignored, or sources disagree on the
///   customer's `union_id`.
/// - `duplicate_key`: the source sent a key twice; the first value is used.
/// - `drift`: the list changed during pagination; rows may repeat or be missing.
/// - `unexpected_unit`: a time was in another unit than the source documents; it was converted.
/// - `omitted`: there were more warnings than are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarningCode {
    UnreadableValue,
    RepairedText,
    SkippedRow,
    IdentityMismatch,
    DuplicateKey,
    Drift,
    UnexpectedUnit,
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
