//! Writes and raw reads that are refused before they come to a source: the audit trail has these too.

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use url::form_urlencoded;

use crate::error::code_of;
use crate::model::Operation;
use crate::service::RequestContext;

pub async fn tell(request: Request, next: Next) -> Response {
    let context = request.extensions().get::<RequestContext>().cloned();
    let told_of = context.zip(operation(&request));
    let response = next.run(request).await;
    if let (Some((context, operation)), Some(code)) = (told_of, code_of(&response)) {
        context.refused(operation, code);
    }
    response
}

/// What the request would do, where that belongs into the audit trail. The query is not yet known to be sound.
fn operation(request: &Request) -> Option<Operation> {
    let query = request.uri().query().unwrap_or_default();
    let says = |name, value| form_urlencoded::parse(query.as_bytes()).any(|(one, said)| one == name && said == value);
    match request.extensions().get::<MatchedPath>()?.as_str() {
        "/v1/remarks" if request.method() == Method::POST => Some(Operation::SetRemarks),
        "/v1/follow-ups" if request.method() == Method::POST => Some(Operation::AddFollowUps),
        "/v1/customers" if says("include", "raw") => Some(Operation::ListCustomers),
        "/v1/customers/{id}" if says("include", "raw") => {
            Some(if says("id_type", "union_id") { Operation::GetByUnionId } else { Operation::GetByExternalUserId })
        }
        _ => None,
    }
}
