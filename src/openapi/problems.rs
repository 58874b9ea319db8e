//! The problems of the document: which operation may answer with which.

use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

use crate::error::PROBLEM_JSON;
use crate::model::{CATALOGUE, ProblemCode, ProblemKind};

use super::{ABOUT, scopes, writes};

/// Adds every problem that the operation may answer with.
pub(super) fn add_to(operation: &mut Operation) {
    for status in statuses(operation) {
        operation.responses.responses.insert(status.to_string(), RefOr::T(response(operation, status)));
    }
}

/// Whether it tells of customers, and so asks sources; the others tell of the gateway.
fn asks_sources(operation: &Operation) -> bool {
    !operation.tags.iter().flatten().any(|tag| tag == ABOUT)
}

/// The statuses of problems that an operation may answer with.
fn statuses(operation: &Operation) -> Vec<u16> {
    let mut statuses = vec![400, 429, 500, 503];
    if let Some(scopes) = scopes(operation) {
        statuses.extend([401, 406]);
        statuses.extend((!scopes.is_empty()).then_some(403));
    }
    if asks_sources(operation) {
        statuses.extend([422, 502, 504]);
    }
    let is_path_id = |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(parameter) if parameter.name == "id");
    let has_path_id = operation.parameters.iter().flatten().any(is_path_id);
    if has_path_id {
        statuses.push(404);
    }
    if writes(operation) {
        statuses.extend([409, 413, 415]);
    }
    statuses.sort_unstable();
    statuses
}

fn response(operation: &Operation, status: u16) -> Response {
    let possible = |code: ProblemCode| match code {
        ProblemCode::CursorInvalid => operation.operation_id.as_deref() == Some("listCustomers"),
        ProblemCode::IssuerUnavailable => scopes(operation).is_some(),
        ProblemCode::IdempotencyKeyReused => writes(operation),
        ProblemCode::SourceRateLimited | ProblemCode::SourceUnavailable => asks_sources(operation),
        _ => true,
    };
    let rows: Vec<&ProblemKind> = CATALOGUE.iter().filter(|row| row.status == status && possible(row.code)).collect();
    let description: Vec<String> =
        rows.iter().map(|row| format!("`{}`: {}", row.code.as_str(), row.description)).collect();
    let mut content = Content::new(Some(Ref::from_schema_name("Problem")));
    content.examples = rows
        .iter()
        .map(|row| {
            let name = row.code.as_str();
            let place = format!("#/components/examples/{name}");
            (name.to_owned(), RefOr::Ref(Ref::new(place)))
        })
        .collect();
    ResponseBuilder::new().description(description.join("\n\n")).content(PROBLEM_JSON, content).build()
}
