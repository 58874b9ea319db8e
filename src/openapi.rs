//! The OpenAPI document, made from the routes; needs no configuration and no state.

use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContactBuilder, Content, Header, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Response,
    ResponseBuilder, Server, Tag, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::error::PROBLEM_JSON;
use crate::model::{Fault, Problem, ProblemCode, UpstreamReply};
use crate::routes;

/// The document. `public_url`: under which address callers reach the service, where that is known.
pub fn spec(public_url: Option<&url::Url>) -> OpenApi {
    let mut document = routes::api().into_openapi();
    document.merge(routes::open().into_openapi());
    document.info = InfoBuilder::new()
        .title("scrm-gateway")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(include_str!("openapi.md")))
        .contact(Some(
            ContactBuilder::new()
                .name(Some("The operators of this gateway"))
                .build(),
        ))
        .license(Some(
            LicenseBuilder::new()
                .name("MIT OR Apache-2.0")
                .identifier(Some("MIT OR Apache-2.0"))
                .build(),
        ))
        .build();
    let address = public_url.map_or_else(|| "/".to_owned(), |url| url.as_str().trim_end_matches('/').to_owned());
    document.servers = Some(vec![Server::new(address)]);
    document.tags = Some(vec![
        tag("customers", "Read customers."),
        tag("writes", "Write in batches."),
        tag("about", "What there is, what went wrong, and who calls."),
    ]);
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(
        "bearer",
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .bearer_format("JWT")
                .build(),
        ),
    );
    for (name, schema) in [
        (Problem::name(), Problem::schema()),
        (Fault::name(), Fault::schema()),
        (UpstreamReply::name(), UpstreamReply::schema()),
        (ProblemCode::name(), ProblemCode::schema()),
    ] {
        components.schemas.insert(name.into_owned(), schema);
    }
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            complete(operation);
        }
    }
    document
}

/// The document as it is committed and served.
pub fn to_json(document: &OpenApi) -> String {
    let mut json = document.to_pretty_json().expect("the document has a JSON form");
    json.push('\n');
    json
}

fn tag(name: &str, description: &str) -> Tag {
    let mut tag = Tag::new(name);
    tag.description = Some(description.to_owned());
    tag
}

/// Adds what every operation has alike: the headers of its success, and the problems it may answer with.
fn complete(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            headers(response, &["x-request-id", "ratelimit", "ratelimit-policy"]);
        }
    }
    for status in statuses(operation) {
        operation
            .responses
            .responses
            .insert(status.to_string(), RefOr::T(problem_response(operation, status)));
    }
}

/// The statuses of problems that an operation may answer with.
fn statuses(operation: &Operation) -> Vec<u16> {
    let mut statuses = vec![400, 401, 403, 406, 422, 429, 500, 502, 503, 504];
    let is_path_id = |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(parameter) if parameter.name == "id");
    let has_path_id = operation.parameters.iter().flatten().any(is_path_id);
    if has_path_id {
        statuses.push(404);
    }
    if operation.request_body.is_some() {
        statuses.extend([409, 413, 415]);
    }
    statuses.sort_unstable();
    statuses
}

fn problem_response(operation: &Operation, status: u16) -> Response {
    let possible = |code: ProblemCode| match code {
        ProblemCode::CursorInvalid => operation.operation_id.as_deref() == Some("listCustomers"),
        _ => true,
    };
    let rows: Vec<String> = crate::model::CATALOGUE
        .iter()
        .filter(|row| row.status == status && possible(row.code))
        .map(|row| format!("`{}`: {}", row.code.as_str(), row.description))
        .collect();
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    let mut response = ResponseBuilder::new()
        .description(rows.join("\n\n"))
        .content(PROBLEM_JSON, content)
        .build();
    headers(&mut response, &["x-request-id"]);
    match status {
        401 | 403 => headers(&mut response, &["www-authenticate"]),
        429 | 503 => headers(&mut response, &["retry-after"]),
        _ => {}
    }
    response
}

fn headers(response: &mut Response, names: &[&str]) {
    for name in names {
        let (kind, description) = match *name {
            "retry-after" => (Type::Integer, "Whole seconds, at least 1."),
            "ratelimit" => (
                Type::String,
                "What is left of the caller's quota, such as `\"caller\";r=93;t=1`.",
            ),
            "ratelimit-policy" => (
                Type::String,
                "The caller's quota: the burst and the seconds in which it refills.",
            ),
            "www-authenticate" => (Type::String, "The challenge (RFC 6750 §3)."),
            _ => (Type::String, "The id under which the request stands in the log."),
        };
        let schema = ObjectBuilder::new().schema_type(kind).build();
        let mut header = Header::new(schema);
        header.description = Some(description.to_owned());
        response.headers.insert((*name).to_owned(), RefOr::T(header));
    }
}
