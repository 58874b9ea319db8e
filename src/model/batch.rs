//! Batches of writes and their answers (contract §3.5).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Meta, ShortProblem};

/// The most items of one batch.
pub const MAX_BATCH_ITEMS: usize = 1_000;
/// The longest remark, in Unicode characters (JuziBot, `set_remark`: "max length 20").
pub const MAX_REMARK_CHARS: usize = 20;
/// The longest description, in Unicode characters (JuziBot, `set_remark`: "max length 150").
pub const MAX_DESCRIPTION_CHARS: usize = 150;

/// A batch of remarks: 1 to 1,000 items, no two for the same staff member and customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemarkBatch {
    #[schema(min_items = 1, max_items = 1000)]
    pub items: Vec<Remark>,
}

/// Sets remark and description that a staff member put on a customer. At least one of them is present and not both are
/// empty (an absent one counts as empty there); an absent one is left as it is, an empty one is sent empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Remark {
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub staff_id: String,
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub union_id: String,
    /// At most 20 Unicode characters, no control characters but line breaks and tabs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 20, pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
    pub remark: Option<String>,
    /// At most 150 Unicode characters, no control characters but line breaks and tabs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 150, pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
    pub description: Option<String>,
}

/// A batch of follow-up notes: 1 to 1,000 items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FollowUpBatch {
    #[schema(min_items = 1, max_items = 1000)]
    pub items: Vec<FollowUp>,
}

/// Adds a note to what a staff member wrote about a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FollowUp {
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub staff_id: String,
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub union_id: String,
    /// No control characters but line breaks and tabs.
    #[schema(min_length = 1, pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
    pub content: String,
    /// When it happened (RFC 3339); sent in whole seconds. Absent: the source takes the time of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub occurred_at: Option<Timestamp>,
}

/// The answer to a batch: one result an item, in the order of the items.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BatchAnswer {
    pub data: BatchResults,
    pub meta: Meta,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BatchResults {
    pub results: Vec<ItemResult>,
    pub summary: BatchSummary,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ItemResult {
    /// The item's place in the request, from 0.
    pub index: usize,
    pub status: ItemStatus,
    #[schema(required)]
    pub problem: Option<ShortProblem>,
}

impl ItemResult {
    /// The problem of an unconfirmed item is never retryable: the item may have been applied.
    pub fn new(index: usize, status: ItemStatus, problem: Option<ShortProblem>) -> Self {
        let may_send_again = status != ItemStatus::Unconfirmed;
        let problem = problem.map(|problem| ShortProblem { retryable: problem.retryable && may_send_again, ..problem });
        Self { index, status, problem }
    }

    pub fn unconfirmed(index: usize, problem: ShortProblem) -> Self {
        Self::new(index, ItemStatus::Unconfirmed, Some(problem))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    /// The source answered success and did not list the item as failed.
    Succeeded,
    /// The source refused the item, or the whole chunk that held it; the item was not applied.
    Failed,
    /// Nothing left the gateway.
    NotSent,
    /// The item may have been applied. Its problem has `retryable: false`: read the customer before you send the item again.
    Unconfirmed,
}

impl ItemStatus {
    /// The status as callers see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::NotSent => "not_sent",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct BatchSummary {
    pub succeeded: usize,
    pub failed: usize,
    pub not_sent: usize,
    pub unconfirmed: usize,
}

impl BatchSummary {
    /// Counts the results by status.
    pub fn of(results: &[ItemResult]) -> Self {
        let mut summary = Self::default();
        for result in results {
            summary.add(result.status, 1);
        }
        summary
    }

    /// Counts further items.
    pub fn add(&mut self, status: ItemStatus, items: usize) {
        *match status {
            ItemStatus::Succeeded => &mut self.succeeded,
            ItemStatus::Failed => &mut self.failed,
            ItemStatus::NotSent => &mut self.not_sent,
            ItemStatus::Unconfirmed => &mut self.unconfirmed,
        } += items;
    }
}
