//! `GET /v1/errors`.

use axum::response::Response;

use crate::model::{CATALOGUE, ErrorsAnswer};

use super::cache_policy;
use super::extract::{NoQuery, Query};

/// The catalogue of problem codes.
///
/// Each with its status, whether the same request may succeed later, and who can do something about it. Codes may be
/// added: treat one that is not known by its status.
#[utoipa::path(
    get,
    path = "/v1/errors",
    operation_id = "listErrors",
    tag = "about",
    responses((status = 200, description = "Every code that a problem may have.", body = ErrorsAnswer)),
    security(()),
)]
pub async fn list(Query(NoQuery): Query<NoQuery>) -> Response {
    cache_policy::uncached(&ErrorsAnswer { data: CATALOGUE.to_vec() })
}
