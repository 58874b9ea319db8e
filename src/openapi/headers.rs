//! The headers of the document (contract §5): which operation takes which, and which of its answers has which.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{Components, ObjectBuilder, Ref, RefOr, Required, Response, Type};

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
        "`private, no-cache` for customers: the caller may cache the response and revalidates it each time; `no-store` \
         otherwise.",
        "private, no-cache",
    ),
    text(
        "cache-status",
        "How each queried source was served (RFC 9211), one member for each source: `hit` for a cached record, with the \
         seconds for which it is still fresh (negative for a stale one); `fwd=miss` or `fwd=request` for a call to the \
         source; `collapsed` for a call that another request had already started.",
        "\"scrm-gateway/juzibot\";hit;ttl=41, \"scrm-gateway/tanma\";fwd=miss;stored",
    ),
    text(
        "etag",
        "Weak ETag of the content; fetch times are not included. Send it as `If-None-Match`. Responses with \
         `include=raw` have none.",
        "W/\"Fh0cTqXl7pUB6oCmQ0mXyg\"",
    ),
    text(
        "idempotent-replayed",
        "`true` where the response is the stored first response of the idempotency key.",
        "true",
    ),
    text(
        "ratelimit",
        "Remaining quota of the caller: `r` requests now, the full quota in `t` seconds.",
        "\"caller\";r=93;t=1",
    ),
    text(
        "ratelimit-policy",
        "Quota of the caller: a burst of `q` requests, refilled in `w` seconds.",
        "\"caller\";q=100;w=10",
    ),
    Answered {
        name: "retry-after",
        kind: Type::Integer,
        description: "Seconds to wait before a retry (at least 1).",
        example: "1",
    },
    text(
        "server-timing",
        "Time spent, in milliseconds: `auth`, one entry for each queried source, and `cache` for a customer.",
        "cache;desc=partial, tanma;dur=12.3, auth;dur=0.1",
    ),
    text("vary", "Request headers that the response depends on.", "Accept, Authorization"),
    text(
        "www-authenticate",
        "Challenge (RFC 6750 §3): the error of the token, and for a 403 the scope that it lacks.",
        "Bearer realm=\"scrm-gateway\", error=\"invalid_token\"",
    ),
    text("x-accel-buffering", "`no` on a stream: a proxy must not buffer its lines.", "no"),
    text(
        "x-request-id",
        "Id of the request in the gateway's log: the caller's own `X-Request-Id` where it is well formed.",
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

/// Refers each success of the operation to the headers it may have; error responses have theirs from `problems`.
pub(super) fn add_to_answers(operation: &mut Operation) {
    let statuses: Vec<String> = operation.responses.responses.keys().cloned().collect();
    for status in statuses {
        let names = answered(operation, &status);
        if let Some(RefOr::T(response)) = operation.responses.responses.get_mut(&status) {
            refer(response, names);
        }
    }
}

/// Refers a response to the components of its headers.
pub(super) fn refer(response: &mut Response, names: Vec<&'static str>) {
    for name in names {
        let header = Ref::new(format!("#/components/headers/{name}"));
        response.headers.insert(name.to_owned(), RefOr::Ref(header));
    }
}

/// Returns the headers that a response of this status may have. The headers of every response are listed at status 200
/// only; the introduction says that the others have them too.
pub(super) fn answered(operation: &Operation, status: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    if status == "200" {
        names.push("x-request-id");
        if !is_public(operation) {
            names.extend(["ratelimit", "ratelimit-policy", "server-timing"]);
        }
    }
    match status {
        "200" | "304" => {
            names.push("cache-control");
            // Responses to strangers are not negotiated.
            names.extend((!is_public(operation)).then_some("vary"));
        }
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
            "`wait=5`: the seconds that the caller is willing to wait (RFC 7240), limited by the server's own deadline. \
             It shortens retries and the timeouts of sources. Invalid values are ignored.",
        ));
    }
    taken.push(header(
        "X-Request-Id",
        "The caller's own id of the request: up to 128 printable ASCII characters; otherwise one is generated.",
    ));
    taken.push(header(
        "traceparent",
        "Trace of the caller (W3C Trace Context). The gateway continues it in its log, and sends it to sources only where \
         that is configured. Invalid values are ignored.",
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
