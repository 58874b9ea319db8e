//! The headers of the document (contract §5): which operation takes which, and which of its answers has which.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{Components, ObjectBuilder, Ref, RefOr, Required, Type};

use super::{is_public, writes};

/// A header of answers.
struct Answered {
    name: &'static str,
    kind: Type,
    description: &'static str,
    example: &'static str,
}

const fn text(name: &'static str, description: &'static str, example: &'static str) -> Answered {
    Answered { name, kind: Type::String, description, example }
}

/// Every header that an answer may have beside those that every HTTP answer has.
const ANSWERED: [Answered; 12] = [
    text(
        "cache-control",
        "Who may keep the answer: of a customer, its caller alone, who asks each time whether it still holds; of all \
         else, nobody.",
        "private, no-cache",
    ),
    text(
        "cache-status",
        "How the answer came about, one member a source that was asked (RFC 9211): `hit` with the seconds for which it \
         is still fresh, negative where it is served past that because the source failed; `fwd=miss` or `fwd=request` \
         where the source was asked; `collapsed` where the answer to another request was waited for.",
        "\"scrm-gateway/juzibot\";hit;ttl=41, \"scrm-gateway/tanma\";fwd=miss;stored",
    ),
    text(
        "etag",
        "Weak, over what is said and not over when it was fetched. Send it back as `If-None-Match`. An answer with \
         `include=raw` has none.",
        "W/\"Fh0cTqXl7pUB6oCmQ0mXyg\"",
    ),
    text("idempotent-replayed", "`true` where this is the first answer under the key, given again.", "true"),
    text(
        "ratelimit",
        "What is left of the caller's quota: `r` requests at once, and all of them in `t` seconds.",
        "\"caller\";r=93;t=1",
    ),
    text(
        "ratelimit-policy",
        "The caller's quota: `q` requests at once, and the `w` seconds in which they come back.",
        "\"caller\";q=100;w=10",
    ),
    Answered {
        name: "retry-after",
        kind: Type::Integer,
        description: "Whole seconds, at least 1, before which the same request will not do better.",
        example: "1",
    },
    text(
        "server-timing",
        "Where the time went, in milliseconds: `auth`, one entry a source that was asked, and of a customer `cache`.",
        "cache;desc=partial, tanma;dur=12.3, auth;dur=0.1",
    ),
    text("vary", "The request headers by which the answer differs.", "Accept, Authorization"),
    text(
        "www-authenticate",
        "The challenge (RFC 6750 §3): what is wrong with the token, and for a 403 the scope that it lacks.",
        "Bearer realm=\"scrm-gateway\", error=\"invalid_token\"",
    ),
    text("x-accel-buffering", "`no` on a stream: its lines are not to wait in a proxy.", "no"),
    text(
        "x-request-id",
        "The id under which the request stands in the log: the caller's own where it sent a well-formed one.",
        "01M82NBR6CHAHB5EBWEBYGFJ92",
    ),
];

/// Adds the headers of all answers to what operations can refer to.
pub(super) fn define(components: &mut Components) {
    for header in &ANSWERED {
        let example = match header.kind {
            Type::Integer => header.example.parse::<u32>().map_or_else(|_| header.example.into(), Into::into),
            _ => serde_json::Value::from(header.example),
        };
        let header_object = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(header.kind.clone()).build()))
            .description(Some(header.description))
            .example(Some(example))
            .build();
        components.headers.insert(header.name.to_owned(), RefOr::T(header_object));
    }
}

/// Refers each answer of the operation to the headers it may have.
pub(super) fn add_to_answers(operation: &mut Operation) {
    let statuses: Vec<String> = operation.responses.responses.keys().cloned().collect();
    for status in statuses {
        let names = answered(operation, &status);
        if let Some(RefOr::T(response)) = operation.responses.responses.get_mut(&status) {
            for name in names {
                let header = Ref::new(format!("#/components/headers/{name}"));
                response.headers.insert(name.to_owned(), RefOr::Ref(header));
            }
        }
    }
}

/// The headers that an answer of this status may have.
fn answered(operation: &Operation, status: &str) -> Vec<&'static str> {
    let mut names = vec!["cache-control", "x-request-id"];
    if !is_public(operation) && status != "401" {
        names.extend(["ratelimit", "ratelimit-policy", "server-timing"]);
    }
    match status {
        "200" | "304" => names.push("vary"),
        "401" | "403" => names.push("www-authenticate"),
        "409" | "429" | "503" | "504" => names.push("retry-after"),
        _ => {}
    }
    // A refusal that reached a source is replayed too.
    if writes(operation) && matches!(status, "200" | "422" | "502") {
        names.push("idempotent-replayed");
    }
    match (operation.operation_id.as_deref(), status) {
        (Some("getCustomer"), "200" | "304") => names.extend(["cache-status", "etag"]),
        (Some("listCustomers"), "200") => names.push("x-accel-buffering"),
        _ => {}
    }
    names
}

/// Adds the request headers that every operation takes alike. None has an example: a viewer would send it.
pub(super) fn add_to_request(operation: &mut Operation) {
    let mut taken = Vec::new();
    if !is_public(operation) {
        taken.push(header(
            "Prefer",
            "`wait=5`: the seconds that the caller is willing to wait (RFC 7240), at most the server's own. They cut \
             retries and the time that sources are given. What cannot be read is passed over.",
        ));
    }
    taken.push(header(
        "X-Request-Id",
        "The caller's own id of the request: up to 128 visible ASCII characters, else one is made.",
    ));
    taken.push(header(
        "traceparent",
        "The caller's trace (W3C Trace Context). It is continued in the log, and told to sources only where that is \
         configured. What is not valid is passed over.",
    ));
    operation.parameters.get_or_insert_default().extend(taken.into_iter().map(RefOr::T));
}

fn header(name: &str, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}
