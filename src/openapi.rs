//! The OpenAPI document, made from the routes; needs no configuration and no state.

use std::collections::BTreeSet;

use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContactBuilder, Content, Header, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Response,
    ResponseBuilder, Server, Tag, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::error::PROBLEM_JSON;
use crate::model::{CATALOGUE, Fault, Problem, ProblemCode, ProblemKind, UpstreamReply};
use crate::routes;

/// The group of the operations that ask no source.
const ABOUT: &str = "about";
/// The name of the one way to authenticate.
const BEARER: &str = "bearer";

/// The document. `public_url`: under which address callers reach the service, where that is known.
pub fn spec(public_url: Option<&url::Url>) -> OpenApi {
    let mut document = routes::api().into_openapi();
    document.merge(routes::open().into_openapi());
    document.info = InfoBuilder::new()
        .title("scrm-gateway")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(include_str!("openapi.md")))
        .contact(Some(ContactBuilder::new().name(Some("The operators of this gateway")).build()))
        .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build()))
        .build();
    let address = public_url.map_or_else(|| "/".to_owned(), |url| url.as_str().trim_end_matches('/').to_owned());
    document.servers = Some(vec![Server::new(address)]);
    document.tags = Some(vec![
        tag("customers", "Read customers."),
        tag("writes", "Write in batches."),
        tag(ABOUT, "What there is, what went wrong, and who calls."),
    ]);
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(
        BEARER,
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .bearer_format("JWT")
                .description(Some(
                    "A token of an issuer that the operators trust. The scopes that an operation names are looked for in it.",
                ))
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
    add_examples(&mut document);
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

/// Adds what every operation has alike: the scope it needs, in words, for viewers show none of a bearer token; the headers
/// of its success; and the problems it may answer with.
fn complete(operation: &mut Operation) {
    let mut success = vec!["x-request-id"];
    if let Some(scopes) = scopes(operation) {
        let needs = match scopes.as_slice() {
            [] => "Needs a token, of whatever scope.".to_owned(),
            scopes => format!("Needs the scope `{}`.", scopes.join(" ")),
        };
        operation.description = Some(match operation.description.take() {
            Some(said) if !said.is_empty() => format!("{said}\n\n{needs}"),
            _ => needs,
        });
        success.extend(["ratelimit", "ratelimit-policy"]);
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            headers(response, &success);
        }
    }
    for status in statuses(operation) {
        operation.responses.responses.insert(status.to_string(), RefOr::T(problem_response(operation, status)));
    }
}

/// The scopes that the operation asks of a token; nothing where anybody may call it.
fn scopes(operation: &Operation) -> Option<Vec<String>> {
    let requirements = serde_json::to_value(&operation.security).expect("a security requirement has a JSON form");
    let scopes = requirements.get(0)?.get(BEARER)?.as_array()?;
    let scopes = scopes.iter().filter_map(serde_json::Value::as_str);
    Some(scopes.map(str::to_owned).collect())
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
    if operation.request_body.is_some() {
        statuses.extend([409, 413, 415]);
    }
    statuses.sort_unstable();
    statuses
}

fn problem_response(operation: &Operation, status: u16) -> Response {
    let possible = |code: ProblemCode| match code {
        ProblemCode::CursorInvalid => operation.operation_id.as_deref() == Some("listCustomers"),
        ProblemCode::IdempotencyKeyReused => operation.request_body.is_some(),
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
    let mut response =
        ResponseBuilder::new().description(description.join("\n\n")).content(PROBLEM_JSON, content).build();
    headers(&mut response, &["x-request-id"]);
    match status {
        401 | 403 => headers(&mut response, &["www-authenticate"]),
        409 | 429 | 503 => headers(&mut response, &["retry-after"]),
        _ => {}
    }
    response
}

/// Adds the examples that the operations refer to.
fn add_examples(document: &mut OpenApi) {
    let items = document.paths.paths.values();
    let operations = items.flat_map(|item| [&item.get, &item.post]).flatten();
    let statuses: BTreeSet<String> =
        operations.flat_map(|operation| operation.responses.responses.keys().cloned()).collect();
    let components = document.components.get_or_insert_default();
    for row in CATALOGUE.iter().filter(|row| statuses.contains(&row.status.to_string())) {
        let example = ExampleBuilder::new().summary(row.title).value(Some(example(row))).build();
        components.examples.insert(row.code.as_str().to_owned(), RefOr::T(example));
    }
}

/// A problem of this kind as a caller may see it.
fn example(row: &ProblemKind) -> serde_json::Value {
    let mut problem = match row.code {
        ProblemCode::InvalidRequest => {
            Problem::parameter("limit", "out_of_range", "expected a whole number from 1 to 1000")
        }
        ProblemCode::ValidationFailed => {
            Problem::faults(row.code, vec![Fault::at("/items/0/staff_id", "missing", "is required")])
        }
        code => Problem::new(code, row.description),
    };
    problem.request_id = Some("01M82NBR6CHAHB5EBWEBYGFJ92".to_owned());
    serde_json::to_value(&problem).expect("a problem has a JSON form")
}

fn headers(response: &mut Response, names: &[&str]) {
    for name in names {
        let (kind, description) = match *name {
            "retry-after" => (Type::Integer, "Whole seconds, at least 1."),
            "ratelimit" => (Type::String, "What is left of the caller's quota, such as `\"caller\";r=93;t=1`."),
            "ratelimit-policy" => (Type::String, "The caller's quota: the burst and the seconds in which it refills."),
            "www-authenticate" => (Type::String, "The challenge (RFC 6750 §3)."),
            _ => (Type::String, "The id under which the request stands in the log."),
        };
        let schema = ObjectBuilder::new().schema_type(kind).build();
        let mut header = Header::new(schema);
        header.description = Some(description.to_owned());
        response.headers.insert((*name).to_owned(), RefOr::T(header));
    }
}
