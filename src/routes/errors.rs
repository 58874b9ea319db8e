//! `GET /v1/errors`.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::response::Response;

use crate::model::{CATALOGUE, ErrorsAnswer};

use super::cache_policy;
use super::extract::{NoQuery, Query};

/// The response body. It is the same for everybody, and strangers may request it.
static CATALOGUE_JSON: LazyLock<Bytes> = LazyLock::new(|| {
    serde_json::to_vec(&ErrorsAnswer { data: CATALOGUE.to_vec() }).expect("the catalogue has a JSON form").into()
});

/// List the problem codes
///
/// The HTTP status of each code, whether a retry may succeed, and who can resolve the problem. Codes may be added: treat an
/// unknown code by its status.
#[utoipa::path(
    get,
    path = "/v1/errors",
    operation_id = "listErrors",
    tag = "about",
    responses((status = 200, description = "All problem codes.", body = ErrorsAnswer)),
    security(()),
)]
pub async fn list(Query(NoQuery): Query<NoQuery>) -> Response {
    cache_policy::uncached_bytes(CATALOGUE_JSON.clone())
}
