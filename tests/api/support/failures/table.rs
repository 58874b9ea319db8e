//! The table: what the source does, and what a caller is told of it.

use serde_json::{Value, json};

use super::{BODY_TEXT, Failure, Items, WORDS};
use crate::support::{Behaviour, Vendor};

/// A refusal inside HTTP 200.
fn refusal(vendor: Vendor, code: i64) -> Behaviour {
    answer(&vendor.envelope(code, WORDS, &json!({"data": BODY_TEXT, "trace": BODY_TEXT})))
}

pub fn answer(body: &Value) -> Behaviour {
    Behaviour::http("200 OK\nContent-Type: application/json", &body.to_string())
}

fn status(head: &str) -> Behaviour {
    Behaviour::http(head, BODY_TEXT)
}

/// A success for reads and writes alike, if it is read.
fn padded_success(vendor: Vendor) -> String {
    let padding = BODY_TEXT.repeat(1_000);
    vendor.envelope(0, "ok", &json!({"data": null, "padding": padding})).to_string()
}

pub const FAILURES: &[Failure] = &[
    Failure::new(
        "a code of class credentials",
        |vendor| refusal(vendor, 40001),
        502,
        "source_credentials",
        Items::Failed,
    )
    .saying("40001"),
    Failure::new(
        "a code of class rate_limited",
        |vendor| refusal(vendor, 45009),
        503,
        "source_rate_limited",
        Items::Failed,
    )
    .saying("45009"),
    Failure::new(
        "a code of class retryable",
        |vendor| refusal(vendor, 50001),
        503,
        "source_unavailable",
        Items::Unconfirmed,
    )
    .saying("50001"),
    Failure::new("a code of class invalid", |vendor| refusal(vendor, 40058), 422, "validation_failed", Items::Failed)
        .saying("40058"),
    Failure::new(
        "a code that no table knows",
        |vendor| refusal(vendor, 99_999),
        502,
        "source_rejected",
        Items::Unconfirmed,
    )
    .saying("99999"),
    Failure::new("HTTP 404", |_| status("404 Not Found"), 502, "source_rejected", Items::Failed),
    Failure::new("HTTP 400", |_| status("400 Bad Request"), 502, "source_rejected", Items::Failed),
    Failure::new("HTTP 401", |_| status("401 Unauthorized"), 502, "source_credentials", Items::Failed),
    Failure::new("HTTP 403", |_| status("403 Forbidden"), 502, "source_credentials", Items::Failed),
    Failure::new(
        "HTTP 429",
        |_| status("429 Too Many Requests\nRetry-After: 7"),
        503,
        "source_rate_limited",
        Items::Failed,
    )
    .after("7"),
    Failure::new(
        "HTTP 429 with an unknown code",
        |vendor| Behaviour::http("429 Too Many Requests", &vendor.envelope(99_999, WORDS, &json!({})).to_string()),
        503,
        "source_rate_limited",
        Items::Failed,
    )
    .saying("99999"),
    Failure::new("HTTP 500", |_| status("500 Internal Server Error"), 503, "source_unavailable", Items::Unconfirmed),
    Failure::new(
        "HTTP 500 with a success in it",
        |vendor| Behaviour::http("500 Internal Server Error", &padded_success(vendor)),
        503,
        "source_unavailable",
        Items::Unconfirmed,
    ),
    Failure::new(
        "HTTP 503",
        |_| status("503 Service Unavailable\nRetry-After: 120"),
        503,
        "source_unavailable",
        Items::Unconfirmed,
    )
    .after("120"),
    Failure::new("slow", |_| Behaviour::Silence, 504, "source_timeout", Items::Unconfirmed)
        .with_keys("timeout = \"100ms\"\nwrite_timeout = \"100ms\""),
    Failure::new("connection refused", |_| Behaviour::Refuse, 503, "source_unavailable", Items::NotSent),
    Failure::new("reset", |_| Behaviour::Reset, 503, "source_unavailable", Items::Unconfirmed),
    Failure::new(
        "closed without a word",
        |_| Behaviour::Answer(Vec::new()),
        503,
        "source_unavailable",
        Items::Unconfirmed,
    ),
    Failure::new(
        "body cut short",
        |vendor| {
            let body = padded_success(vendor);
            Behaviour::http_of_length(body.len(), "200 OK", &body[..body.len() / 2])
        },
        502,
        "source_bad_payload",
        Items::Unconfirmed,
    ),
    Failure::new(
        "a cut body in a whole answer",
        |vendor| {
            let body = padded_success(vendor);
            Behaviour::http("200 OK", &body[..body.len() / 2])
        },
        502,
        "source_bad_payload",
        Items::Unconfirmed,
    ),
    Failure::new("an empty body", |_| Behaviour::http("200 OK", ""), 502, "source_bad_payload", Items::Unconfirmed),
    Failure::new(
        "wrong types",
        |vendor| answer(&vendor.envelope(0, "ok", &json!({"data": BODY_TEXT, "fail_list": BODY_TEXT}))),
        502,
        "source_bad_data",
        Items::Unconfirmed,
    ),
    Failure::new(
        "a code that is no code",
        |vendor| answer(&vendor.envelope(json!({BODY_TEXT: 0}), "ok", &json!({}))),
        502,
        "source_bad_payload",
        Items::Unconfirmed,
    ),
    Failure::new(
        "JSON without a code",
        |_| answer(&json!({"data": null})),
        502,
        "source_bad_payload",
        Items::Unconfirmed,
    ),
    Failure::new("an array for an envelope", |_| answer(&json!([0, 0])), 502, "source_bad_payload", Items::Unconfirmed),
    Failure::new(
        "a key of its own with no value",
        |_| Behaviour::http("200 OK", &format!("{{\"code\": 0, \"errcode\": 0, \"{BODY_TEXT}\": nothing}}")),
        502,
        "source_bad_payload",
        Items::Unconfirmed,
    ),
    Failure::new(
        "HTML",
        |_| Behaviour::http("200 OK\nContent-Type: text/html", &format!("<html>{BODY_TEXT}</html>")),
        502,
        "source_bad_payload",
        Items::Unconfirmed,
    ),
    Failure::new(
        "larger than max_response",
        |vendor| Behaviour::http("200 OK", &padded_success(vendor)),
        502,
        "source_bad_payload",
        Items::Unconfirmed,
    )
    .with_keys("max_response = \"1KiB\""),
    Failure::new(
        "larger than max_response, of no declared length",
        |vendor| Behaviour::bare("200 OK", &padded_success(vendor)),
        502,
        "source_bad_payload",
        Items::Unconfirmed,
    )
    .with_keys("max_response = \"1KiB\""),
];
