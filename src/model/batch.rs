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
/// The longest content of a follow-up note, in Unicode characters. A limit of the gateway: one note must fit a call to a source.
pub const MAX_CONTENT_CHARS: usize = 10_000;

/// Batch of remarks to set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemarkBatch {
    /// 1 to 1,000 items, at most one for each staff member and customer.
    #[schema(min_items = 1, max_items = 1000)]
    pub items: Vec<Remark>,
}

/// Remark and description that a staff member gives a customer.
///
/// Provide a non-empty `remark` or `description`, or both. An absent one is left unchanged; an empty one is sent as empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Remark {
    /// WeCom user id of the staff member: the `staff_id` of a relation.
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub staff_id: String,
    /// Id of the customer on the WeChat open platform: the `union_id` of a customer.
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub union_id: String,
    /// Name that the staff member gives the customer: at most 20 Unicode characters, without control characters other
    /// than line breaks and tabs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 20, pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
    pub remark: Option<String>,
    /// Description of the customer by the staff member: at most 150 Unicode characters, without control characters
    /// other than line breaks and tabs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 150, pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
    pub description: Option<String>,
}

/// Batch of follow-up notes to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FollowUpBatch {
    /// 1 to 1,000 items.
    #[schema(min_items = 1, max_items = 1000)]
    pub items: Vec<FollowUp>,
}

/// Follow-up note of a staff member about a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FollowUp {
    /// WeCom user id of the staff member: the `staff_id` of a relation.
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub staff_id: String,
    /// Id of the customer on the WeChat open platform: the `union_id` of a customer.
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub union_id: String,
    /// Text of the note: 1 to 10,000 Unicode characters, without control characters other than line breaks and tabs.
    #[schema(min_length = 1, max_length = 10000, pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
    pub content: String,
    /// Time of the event (RFC 3339), sent to the source in whole seconds. Default: the source uses the time of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub occurred_at: Option<Timestamp>,
}

/// Response to a batch.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BatchAnswer {
    /// Results of the items.
    pub data: BatchResults,
    /// Report of the source that the batch was sent to, and warnings.
    pub meta: Meta,
}

/// Results of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BatchResults {
    /// One result for each item, in the order of the items.
    pub results: Vec<ItemResult>,
    /// Number of items by status.
    pub summary: BatchSummary,
}

/// Result of one item of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ItemResult {
    /// Position of the item in the request, from 0.
    pub index: usize,
    /// Outcome of the item.
    pub status: ItemStatus,
    /// Reason for every status but `succeeded`; `null` for `succeeded`. Its `retryable` is `false` for `unconfirmed`.
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

/// Outcome of one item of a batch.
///
/// - `succeeded`: the source reported success and did not list the item as failed.
/// - `failed`: the source refused the item, or the whole call that contained it. The item was not applied.
/// - `not_sent`: the item was not sent to the source. It can be sent again safely.
/// - `unconfirmed`: the item was sent and the source's answer is missing or unreadable. The item may have been applied;
///   read the customer before you send the item again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    Succeeded,
    Failed,
    NotSent,
    Unconfirmed,
}

impl ItemStatus {
    /// Returns the status as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::NotSent => "not_sent",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

/// Number of items of a batch by status. The numbers add up to the number of items in the request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct BatchSummary {
    /// Items that the source applied.
    pub succeeded: usize,
    /// Items that the source refused.
    pub failed: usize,
    /// Items that were not sent.
    pub not_sent: usize,
    /// Items that may have been applied.
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
