//! The OpenAPI document, generated from the routes; needs no configuration and no state.

mod descriptions;
mod enumerations;
mod examples;
mod headers;
mod json;
mod problems;
mod surface;

pub use json::Json;

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, ContactBuilder, Info, InfoBuilder, LicenseBuilder, OpenApi, Server, Tag};
use utoipa::{PartialSchema, ToSchema};

use crate::model::{Fault, Problem, ProblemCode, UpstreamReply};
use crate::routes;

pub use surface::Surface;

/// The group of the operations that ask no source.
const ABOUT: &str = "about";
/// The name of the one way to authenticate.
const BEARER: &str = "bearer";

/// The text of the first of the two licences.
const LICENSE_URL: &str = "https://spdx.org/licenses/MIT.html";

/// Returns the document without its examples. `public_url` is the address under which callers reach the service, if known.
pub fn spec(public_url: Option<&url::Url>) -> OpenApi {
    let mut document = routes::api().into_openapi();
    document.merge(routes::open().into_openapi());
    document.info = info();
    let address = public_url.map_or_else(|| "/".to_owned(), |url| url.as_str().trim_end_matches('/').to_owned());
    document.servers = Some(vec![Server::new(address)]);
    document.tags = Some(vec![
        tag("customers", "Read customers, one at a time or all of them."),
        tag("writes", "Set remarks and add follow-up notes, in batches."),
        tag(ABOUT, "Sources, error catalogue, authenticated caller."),
    ]);
    let components = document.components.get_or_insert_default();
    define(components);
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            tell_scopes(operation);
            headers::add_to_request(operation);
            problems::add_to(operation, components);
            headers::add_to_answers(operation);
        }
    }
    descriptions::lift_all(components);
    enumerations::open_all(components);
    document
}

/// Returns the document with its examples, as it is committed and served.
pub fn to_json(document: &OpenApi) -> String {
    let mut document = Json::of(document);
    examples::add_to(&mut document);
    let mut json = serde_json::to_string_pretty(&document).expect("the document has a JSON form");
    json.push('\n');
    json
}

fn info() -> Info {
    InfoBuilder::new()
        .title("scrm-gateway")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(include_str!("introduction.md")))
        .contact(Some(ContactBuilder::new().name(Some("The operators of this gateway")).build()))
        // No `identifier`: viewers make a link of it to SPDX, which has a page for each licence and none for a choice of two.
        .license(Some(LicenseBuilder::new().name(env!("CARGO_PKG_LICENSE")).url(Some(LICENSE_URL)).build()))
        .build()
}

fn tag(name: &str, description: &str) -> Tag {
    let mut tag = Tag::new(name);
    tag.description = Some(description.to_owned());
    tag
}

/// What operations refer to and no route brings along.
fn define(components: &mut Components) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("A JWT of an issuer that the operators trust, with the scopes that the operation names."))
        .build();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    for (name, schema) in [
        (Problem::name(), Problem::schema()),
        (Fault::name(), Fault::schema()),
        (UpstreamReply::name(), UpstreamReply::schema()),
        (ProblemCode::name(), ProblemCode::schema()),
    ] {
        components.schemas.insert(name.into_owned(), schema);
    }
    headers::define(components);
}

/// Says in words which scope an operation needs, for viewers show none of a bearer token.
fn tell_scopes(operation: &mut Operation) {
    let Some(scopes) = scopes(operation) else { return };
    let needs = match scopes.as_slice() {
        [] => "Requires a token with any scope.".to_owned(),
        scopes => format!("Requires the scope `{}`.", scopes.join(" ")),
    };
    operation.description = Some(match operation.description.take() {
        Some(said) if !said.is_empty() => format!("{said}\n\n{needs}"),
        _ => needs,
    });
}

/// The scopes that the operation asks of a token; nothing where anybody may call it.
fn scopes(operation: &Operation) -> Option<Vec<String>> {
    let requirements = serde_json::to_value(&operation.security).expect("a security requirement has a JSON form");
    let scopes = requirements.get(0)?.get(BEARER)?.as_array()?;
    let scopes = scopes.iter().filter_map(serde_json::Value::as_str);
    Some(scopes.map(str::to_owned).collect())
}

/// Whether anybody may call it.
fn is_public(operation: &Operation) -> bool {
    scopes(operation).is_none()
}

/// Whether it changes something, and so has a body and may have a key.
fn writes(operation: &Operation) -> bool {
    operation.request_body.is_some()
}
