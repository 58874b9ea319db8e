//! The error responses of the document. Operations that fail alike share one component, so that its description, headers
//! and examples are written once and are true for each of them.

use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::{Components, Content, Ref, RefOr, Response, ResponseBuilder};

use crate::error::PROBLEM_JSON;
use crate::model::{CATALOGUE, ProblemCode, ProblemKind};

use super::{ABOUT, headers, is_public, scopes, writes};

/// Adds every error response that the operation may send, and defines its component.
pub(super) fn add_to(operation: &mut Operation, components: &mut Components) {
    for status in statuses(operation) {
        let (name, response) = (component(operation, status), response(operation, status));
        let reference = Ref::from_response_name(&name);
        let defined = components.responses.entry(name).or_insert_with(|| RefOr::T(response.clone()));
        debug_assert!(*defined == RefOr::T(response), "{} is defined differently", reference.ref_location);
        operation.responses.responses.insert(status.to_string(), RefOr::Ref(reference));
    }
}

/// Whether the operation queries sources; the others describe the gateway.
fn queries_sources(operation: &Operation) -> bool {
    !operation.tags.iter().flatten().any(|tag| tag == ABOUT)
}

/// Returns the statuses of the operation's error responses.
fn statuses(operation: &Operation) -> Vec<u16> {
    let mut statuses = vec![400, 429, 500];
    // A response to strangers is made without memory, permits or sources that could be short.
    statuses.extend((!is_public(operation)).then_some(503));
    if let Some(scopes) = scopes(operation) {
        statuses.extend([401, 406]);
        statuses.extend((!scopes.is_empty()).then_some(403));
    }
    if queries_sources(operation) {
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

/// Returns the name of the component: the title of the status, and the operations that share the response.
fn component(operation: &Operation, status: u16) -> String {
    let direction = if writes(operation) { "Write" } else { "Read" };
    let (title, operations) = match status {
        400 if !queries_sources(operation) => ("BadRequest", String::new()),
        400 if writes(operation) => ("BadRequest", "Write".to_owned()),
        400 => ("BadRequest", own_name(operation)),
        401 => ("Unauthorized", String::new()),
        403 => ("Forbidden", direction.to_owned()),
        404 => ("NotFound", String::new()),
        406 if chooses_media_type(operation) => ("NotAcceptable", own_name(operation)),
        406 => ("NotAcceptable", String::new()),
        409 => ("Conflict", String::new()),
        413 => ("ContentTooLarge", String::new()),
        415 => ("UnsupportedMediaType", String::new()),
        422 => ("UnprocessableContent", own_name(operation)),
        429 => ("TooManyRequests", String::new()),
        500 => ("InternalServerError", String::new()),
        502 => ("BadGateway", direction.to_owned()),
        503 if !queries_sources(operation) => ("ServiceUnavailable", String::new()),
        503 => ("ServiceUnavailable", direction.to_owned()),
        504 => ("GatewayTimeout", direction.to_owned()),
        _ => unreachable!("`statuses` lists no {status}"),
    };
    format!("{title}{operations}")
}

/// Returns the operation's id with an initial capital: `ListCustomers`.
fn own_name(operation: &Operation) -> String {
    let id = operation.operation_id.as_deref().unwrap_or_default();
    let initial = id.chars().next().map(|initial| initial.to_ascii_uppercase());
    initial.into_iter().chain(id.chars().skip(1)).collect()
}

/// Whether the operation's success has several media types.
fn chooses_media_type(operation: &Operation) -> bool {
    matches!(operation.responses.responses.get("200"), Some(RefOr::T(success)) if success.content.len() > 1)
}

/// Whether the operation may respond with the code; its status is known to be possible.
fn possible(operation: &Operation, code: ProblemCode) -> bool {
    match code {
        ProblemCode::CursorInvalid => operation.operation_id.as_deref() == Some("listCustomers"),
        ProblemCode::IdempotencyKeyReused => writes(operation),
        ProblemCode::SourceRateLimited | ProblemCode::SourceUnavailable => queries_sources(operation),
        // A write that a source answers so is `unconfirmed`, in a 200.
        ProblemCode::SourceBadPayload | ProblemCode::SourceBadData => !writes(operation),
        _ => true,
    }
}

/// Returns the description of the problem for this operation.
fn description(operation: &Operation, row: &ProblemKind) -> &'static str {
    match row.code {
        ProblemCode::InvalidRequest if !queries_sources(operation) => {
            "The query has a parameter; the operation takes none. `errors` lists each one."
        }
        ProblemCode::InvalidRequest if !writes(operation) => {
            "A parameter is unknown, repeated, missing or out of range; `errors` lists each one."
        }
        ProblemCode::ValidationFailed if !writes(operation) => {
            "The source refused the values of parameters; `upstream` has its answer."
        }
        ProblemCode::NotFound => "No queried source has a customer with this id.",
        ProblemCode::SourceTimeout if writes(operation) => "The deadline passed before any item was sent.",
        _ => row.description,
    }
}

fn response(operation: &Operation, status: u16) -> Response {
    let rows = CATALOGUE.iter().filter(|row| row.status == status && possible(operation, row.code));
    let rows: Vec<&ProblemKind> = rows.collect();
    let descriptions = rows.iter().map(|row| format!("`{}`: {}", row.code.as_str(), description(operation, row)));
    let mut content = Content::new(Some(Ref::from_schema_name("Problem")));
    content.examples = rows
        .iter()
        .map(|row| {
            let example = ExampleBuilder::new().summary(row.title).build();
            (row.code.as_str().to_owned(), RefOr::T(example))
        })
        .collect();
    let mut response = ResponseBuilder::new()
        .description(descriptions.collect::<Vec<_>>().join("\n\n"))
        .content(PROBLEM_JSON, content)
        .build();
    headers::refer(&mut response, headers::answered(operation, &status.to_string()));
    response
}
