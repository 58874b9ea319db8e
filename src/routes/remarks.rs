//! `POST /v1/remarks`.

use axum::extract::State;
use axum::response::Response;

use crate::model::{BatchAnswer, Problem, RemarkBatch};
use crate::service::batch::validate;

use super::cache_policy;
use super::extract::{JsonBody, Query, Writes};
use super::{BatchParams, BatchQuery, Services};

/// Set remarks and descriptions, up to 1,000 at once.
///
/// All items are checked before anything is sent. Each item gets exactly one result; a 200 says that the batch was
/// processed, not that every item succeeded.
#[utoipa::path(
    post,
    path = "/v1/remarks",
    operation_id = "setRemarks",
    tag = "writes",
    params(BatchParams),
    request_body = RemarkBatch,
    responses((status = 200, description = "One result an item.", body = BatchAnswer)),
    security(("bearer" = ["customers:write"])),
)]
pub async fn set(
    State(services): State<Services>,
    Writes(context): Writes,
    Query(query): Query<BatchQuery>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let items = validate::remarks(&body.value, body.duplicates)?;
    let answer = services
        .batches
        .set_remarks(&context, query.source.as_deref(), items)
        .await?;
    Ok(cache_policy::uncached(&answer))
}
