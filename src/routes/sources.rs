//! `GET /v1/sources`.

use axum::extract::State;
use axum::response::Response;

use crate::model::SourcesAnswer;

use super::extract::{NoQuery, Query, Reads};
use super::{Services, cache_policy};

/// List the sources
///
/// The operations, limits and health of each visible source. `fields` lists the customer fields that an operation can
/// fill, which distinguishes an empty list from one that the source does not provide.
#[utoipa::path(
    get,
    path = "/v1/sources",
    operation_id = "listSources",
    tag = "about",
    responses((status = 200, description = "The sources that the caller can use.", body = SourcesAnswer)),
    security(("bearer" = ["customers:read"])),
)]
pub async fn list(State(services): State<Services>, Reads(context): Reads, Query(NoQuery): Query<NoQuery>) -> Response {
    let data = services.sources.visible(&context.caller).map(|source| source.info()).collect();
    cache_policy::uncached(&SourcesAnswer { data })
}
