//! The unified contract: what callers see, and nothing about how it is obtained.
//!
//! Imports no other stage of the crate; every stage may import it.

mod answer;
mod batch;
mod caller;
mod catalogue;
mod customer;
mod problem;
mod source;

pub use answer::{
    CustomerAnswer, CustomerPage, Meta, Page, SourceReport, SourceStatus, SourcedCustomer, StreamEnd, Warning,
    WarningCode,
};
pub use batch::{
    BatchAnswer, BatchResults, BatchSummary, FollowUp, FollowUpBatch, ItemResult, ItemStatus, MAX_BATCH_ITEMS,
    MAX_CONTENT_CHARS, MAX_DESCRIPTION_CHARS, MAX_REMARK_CHARS, Remark, RemarkBatch,
};
pub use caller::{Caller, CallerId, Me, MeAnswer, QuotaState, Scope};
pub use catalogue::{CATALOGUE, ErrorsAnswer, ProblemKind, Who};
pub use customer::{
    AccountType, Attribute, AttributeType, AttributeValue, Customer, Gender, Relation, SourceRecord, Tag, TagScope,
};
pub use problem::{Fault, Problem, ProblemCode, ShortProblem, UpstreamReply};
pub use source::{
    BreakerState, CustomerId, HealthState, InvalidSourceName, LastError, Operation, OperationOffer, Paging,
    SourceHealth, SourceInfo, SourceName, SourcesAnswer,
};
