//! `POST /v1/follow-ups`.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::model::{BatchAnswer, FollowUpBatch, Operation, Problem};
use crate::service::batch::body;

use super::extract::{FromJson, JsonBody, Query, Writes};
use super::idempotency::{IdempotencyHeader, Once};
use super::{BatchParams, BatchQuery, Services};

impl FromJson for FollowUpBatch {
    fn from_json(bytes: &[u8]) -> Result<Self, Problem> {
        Ok(Self { items: body::follow_ups(bytes)? })
    }
}

/// Add follow-up notes
///
/// Up to 1,000 items. All items are validated before any is sent. Each item has exactly one result: a 200 means that the
/// batch was processed, not that every item succeeded.
///
/// The gateway sends the notes in calls of at most 1 MiB of JSON (`max_batch` of `/v1/sources` limits the entries of a call). A batch
/// costs one request of the caller's quota for each call, so many long notes cost more. The notes of one staff member about one
/// customer are sent in the order of the items, unless they take several calls: set `occurred_at` where the order matters.
#[utoipa::path(
    post,
    path = "/v1/follow-ups",
    operation_id = "addFollowUps",
    tag = "writes",
    params(BatchParams, IdempotencyHeader),
    request_body = FollowUpBatch,
    responses((status = 200, description = "One result for each item.", body = BatchAnswer)),
    security(("bearer" = ["customers:write"])),
)]
pub async fn add(
    State(services): State<Services>,
    Writes(context): Writes,
    Query(query): Query<BatchQuery>,
    headers: HeaderMap,
    JsonBody { value: batch, fingerprint }: JsonBody<FollowUpBatch>,
) -> Result<Response, Problem> {
    let target = services.batches.target(context, query.source.as_deref(), Operation::AddFollowUps)?;
    let once = Once::new(&services, &target, &headers, fingerprint, batch.items.len());
    let (batches, to) = (services.batches.clone(), target.clone());
    once.run(async move { batches.add_follow_ups(&to, batch.items).await }).await
}
