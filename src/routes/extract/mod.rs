//! Extractors that answer with problems and name every fault: of query and path parameters, of JSON bodies, and of what
//! the edge leaves for handlers.

mod body;
mod body_memory;
mod pace;
pub(super) mod params;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::model::{Problem, ProblemCode, Scope};
use crate::service::RequestContext;

pub use body::{BodyLimit, FromJson, JsonBody, Stopping};
pub use pace::BodyPace;
pub use params::{NoQuery, ParamReader, PathId, Query, QueryParams};

/// A request of any verified caller.
pub struct Known(pub RequestContext);

/// A request that may read customers.
pub struct Reads(pub RequestContext);

/// A request that may write.
pub struct Writes(pub RequestContext);

impl<S: Sync> FromRequestParts<S> for Known {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        context(parts).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Reads {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        with_scope(parts, Scope::CustomersRead).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Writes {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        with_scope(parts, Scope::CustomersWrite).map(Self)
    }
}

/// What the edge found out about the request, where its caller has the scope.
fn with_scope(parts: &Parts, scope: Scope) -> Result<RequestContext, Problem> {
    let context = context(parts)?;
    context.require(scope)?;
    Ok(context)
}

fn context(parts: &Parts) -> Result<RequestContext, Problem> {
    let context = parts.extensions.get::<RequestContext>().cloned();
    context.ok_or_else(|| Problem::new(ProblemCode::Internal, "the route stands outside of the edge"))
}
