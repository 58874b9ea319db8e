//! `POST /v1/remarks`.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::model::{BatchAnswer, Operation, Problem, RemarkBatch};
use crate::service::batch::body;

use super::extract::{FromJson, JsonBody, Query, Writes};
use super::idempotency::{IdempotencyHeader, Once};
use super::{BatchParams, BatchQuery, Services};

impl FromJson for RemarkBatch {
    fn from_json(bytes: &[u8]) -> Result<Self, Problem> {
        Ok(Self { items: body::remarks(bytes)? })
    }
}

/// Set remarks and descriptions
///
/// Up to 1,000 items. All items are validated before any is sent. Each item has exactly one result: a 200 means that the
/// batch was processed, not that every item succeeded. A batch costs one request of the caller's quota for each call to the
/// source (`max_batch` items of `/v1/sources`, at most 1 MiB of JSON).
#[utoipa::path(
    post,
    path = "/v1/remarks",
    operation_id = "setRemarks",
    tag = "writes",
    params(BatchParams, IdempotencyHeader),
    request_body = RemarkBatch,
    responses((status = 200, description = "One result for each item.", body = BatchAnswer)),
    security(("bearer" = ["customers:write"])),
)]
pub async fn set(
    State(services): State<Services>,
    Writes(context): Writes,
    Query(query): Query<BatchQuery>,
    headers: HeaderMap,
    JsonBody { value: batch, fingerprint }: JsonBody<RemarkBatch>,
) -> Result<Response, Problem> {
    let target = services.batches.target(context, query.source.as_deref(), Operation::SetRemarks)?;
    let once = Once::new(&services, &target, &headers, fingerprint, batch.items.len());
    let (batches, to) = (services.batches.clone(), target.clone());
    once.run(async move { batches.set_remarks(&to, batch.items).await }).await
}
