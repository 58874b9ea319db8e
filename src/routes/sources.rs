//! `GET /v1/sources`.

use axum::extract::State;
use axum::response::Response;

use crate::model::SourcesAnswer;

use super::extract::{NoQuery, Query, Reads};
use super::{Services, cache_policy};

/// The visible sources: what each offers, its limits, its health.
///
/// `fields` tells which fields of a customer an operation of a source can fill, and so an empty list from one that is
/// not offered.
#[utoipa::path(
    get,
    path = "/v1/sources",
    operation_id = "listSources",
    tag = "about",
    responses((status = 200, description = "The sources that the caller sees.", body = SourcesAnswer)),
    security(("bearer" = ["customers:read"])),
)]
pub async fn list(State(services): State<Services>, Reads(context): Reads, Query(NoQuery): Query<NoQuery>) -> Response {
    let data = services.sources.visible(&context.caller).map(|source| source.info()).collect();
    cache_policy::uncached(&SourcesAnswer { data })
}
