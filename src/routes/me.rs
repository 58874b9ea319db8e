//! `GET /v1/me`.

use axum::response::Response;

use crate::model::{Me, MeAnswer};

use super::cache_policy;
use super::extract::{Known, NoQuery, Query};

/// Get the authenticated caller
///
/// The issuer and subject of the token, its scopes, the visible sources and the quota.
#[utoipa::path(
    get,
    path = "/v1/me",
    operation_id = "getMe",
    tag = "about",
    responses((status = 200, description = "The caller.", body = MeAnswer)),
    security(("bearer" = [])),
)]
pub async fn me(Known(context): Known, Query(NoQuery): Query<NoQuery>) -> Response {
    let caller = &context.caller;
    cache_policy::uncached(&MeAnswer {
        data: Me {
            issuer: caller.id.issuer.to_string(),
            subject: caller.id.subject.to_string(),
            scopes: caller.scopes.iter().cloned().collect(),
            sources: caller.sources.clone(),
            quota: context.quota.last().state(),
        },
    })
}
