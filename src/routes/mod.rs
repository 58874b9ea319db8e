//! HTTP only: extract, call the service, wrap. The whole surface on one page.

mod cache_policy;
mod customers;
pub mod docs;
mod errors;
mod extract;
mod follow_ups;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub mod health;
mod idempotency;
mod me;
mod ndjson;
mod negotiation;
mod refusals;
mod remarks;
mod sources;

pub use extract::{BodyLimit, BodyPace, Stopping};
pub use ndjson::NDJSON;

use axum::middleware::from_fn;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use extract::{ParamReader, QueryParams};

use crate::service::Sources;
use crate::service::batch::Batches;
use crate::service::customers::Customers;
use crate::service::lists::Lists;
use crate::service::walk::Walks;
use crate::store::idempotency::IdempotencyStore;

/// What the handlers call.
#[derive(Clone)]
pub struct Services {
    pub sources: Sources,
    pub customers: Customers,
    pub lists: Lists,
    pub walks: Walks,
    pub batches: Batches,
    pub idempotency: IdempotencyStore,
}

/// The routes that need a caller.
pub fn api() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(customers::detail))
        .routes(routes!(remarks::set))
        .routes(routes!(follow_ups::add))
        .routes(routes!(sources::list))
        .routes(routes!(me::me))
        // What stands above is JSON only; what stands below chooses for itself.
        .route_layer(from_fn(negotiation::json_only))
        .routes(routes!(customers::list))
        .route_layer(from_fn(refusals::tell))
}

/// The routes that anybody may ask.
pub fn open() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(errors::list))
}

/// The query of a batch.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the parameter to the document; BatchQuery holds its value")]
struct BatchParams {
    /// Name of the source to write to. Required where more than one visible source offers the write.
    #[param(required = false, pattern = "^[a-z][a-z0-9_]{0,31}$", example = "juzibot")]
    source: Option<String>,
}

struct BatchQuery {
    source: Option<String>,
}

impl QueryParams for BatchQuery {
    const NAMES: &'static [&'static str] = &["source"];

    fn read(reader: &mut ParamReader) -> Self {
        Self { source: reader.text("source") }
    }
}
