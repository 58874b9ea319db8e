//! Problems (RFC 9457, contract §4): the one table behind errors, the OpenAPI document and `/v1/errors`.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::{Scope, SourceName};

/// The code of a problem. Within `/v1` codes may be added; a caller tolerates those it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    InvalidRequest,
    CursorInvalid,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    PayloadTooLarge,
    UnsupportedMediaType,
    ValidationFailed,
    IdempotencyKeyReused,
    IdempotencyInProgress,
    NotOffered,
    RateLimited,
    Internal,
    SourceRejected,
    SourceBadPayload,
    SourceCredentials,
    SourceRateLimited,
    SourceUnavailable,
    Overloaded,
    SourceTimeout,
}

/// Who can do something about a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    Caller,
    Operator,
    Source,
}

/// One row of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProblemKind {
    pub code: ProblemCode,
    /// The HTTP status.
    pub status: u16,
    pub title: &'static str,
    /// Whether the same request may succeed later, unchanged.
    pub retryable: bool,
    pub who: Who,
    pub description: &'static str,
}

/// The answer of `/v1/errors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErrorsAnswer {
    pub data: Vec<ProblemKind>,
}

const fn kind(
    code: ProblemCode,
    status: u16,
    title: &'static str,
    retryable: bool,
    who: Who,
    description: &'static str,
) -> ProblemKind {
    ProblemKind { code, status, title, retryable, who, description }
}

/// Every problem there is, in the order of its code.
pub const CATALOGUE: [ProblemKind; 22] = {
    use ProblemCode as C;
    use Who::{Caller, Operator, Source};
    [
        kind(
            C::InvalidRequest,
            400,
            "Invalid request",
            false,
            Caller,
            "The body is no JSON, or a parameter is unknown, repeated, missing or out of range; errors names each.",
        ),
        kind(
            C::CursorInvalid,
            400,
            "Cursor invalid",
            false,
            Caller,
            "The cursor is expired, not ours, or was given out to another caller or for other filters; start the walk anew.",
        ),
        kind(
            C::Unauthenticated,
            401,
            "Not authenticated",
            false,
            Caller,
            "No bearer token, or one that is expired, for another audience, or not verifiable.",
        ),
        kind(C::Forbidden, 403, "Forbidden", false, Caller, "The token lacks the scope that the detail names."),
        kind(
            C::NotFound,
            404,
            "Not found",
            false,
            Caller,
            "No asked source knows the customer, or there is no such route.",
        ),
        kind(
            C::MethodNotAllowed,
            405,
            "Method not allowed",
            false,
            Caller,
            "The route exists, with the methods that the Allow header lists.",
        ),
        kind(
            C::NotAcceptable,
            406,
            "Not acceptable",
            false,
            Caller,
            "Accept names no representation that the route has.",
        ),
        kind(C::PayloadTooLarge, 413, "Payload too large", false, Caller, "The body is larger than the server takes."),
        kind(
            C::UnsupportedMediaType,
            415,
            "Unsupported media type",
            false,
            Caller,
            "A body is sent as application/json.",
        ),
        kind(
            C::ValidationFailed,
            422,
            "Validation failed",
            false,
            Caller,
            "The body is JSON with faults; errors lists all of them by JSON pointer. Or the source refused the values: upstream says how.",
        ),
        kind(
            C::IdempotencyKeyReused,
            422,
            "Idempotency key reused",
            false,
            Caller,
            "The key was used before with another body.",
        ),
        kind(
            C::IdempotencyInProgress,
            409,
            "Idempotent request in progress",
            true,
            Caller,
            "The first request with this key is still running.",
        ),
        kind(
            C::NotOffered,
            422,
            "Not offered",
            false,
            Caller,
            "No asked source offers the operation; /v1/sources tells what each offers.",
        ),
        kind(
            C::RateLimited,
            429,
            "Rate limited",
            true,
            Caller,
            "The caller's quota, or its address's, is spent; Retry-After tells when there is room.",
        ),
        kind(
            C::Internal,
            500,
            "Internal error",
            false,
            Operator,
            "A fault of the gateway; the request id finds it in the log.",
        ),
        kind(
            C::SourceRejected,
            502,
            "Source rejected",
            false,
            Operator,
            "The source answered with a code that no table knows, or with an unexpected status.",
        ),
        kind(
            C::SourceBadPayload,
            502,
            "Source sent a bad payload",
            true,
            Source,
            "The source's answer is not JSON, of the wrong shape, cut short, or too large.",
        ),
        kind(
            C::SourceCredentials,
            502,
            "Source refused our credentials",
            false,
            Operator,
            "The source refused the gateway's token, signature or clock.",
        ),
        kind(C::SourceRateLimited, 503, "Source rate limited", true, Source, "The source's own limit is reached."),
        kind(
            C::SourceUnavailable,
            503,
            "Source unavailable",
            true,
            Source,
            "The source cannot be reached or says that it cannot serve.",
        ),
        kind(C::Overloaded, 503, "Overloaded", true, Operator, "The gateway sheds load, or is stopping."),
        kind(
            C::SourceTimeout,
            504,
            "Source timed out",
            true,
            Source,
            "The deadline passed before the source answered.",
        ),
    ]
};

impl ProblemCode {
    /// The catalogue's row of this code.
    pub fn kind(self) -> &'static ProblemKind {
        &CATALOGUE[self as usize]
    }

    /// The code as callers see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::CursorInvalid => "cursor_invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotAcceptable => "not_acceptable",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::ValidationFailed => "validation_failed",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::IdempotencyInProgress => "idempotency_in_progress",
            Self::NotOffered => "not_offered",
            Self::RateLimited => "rate_limited",
            Self::Internal => "internal",
            Self::SourceRejected => "source_rejected",
            Self::SourceBadPayload => "source_bad_payload",
            Self::SourceCredentials => "source_credentials",
            Self::SourceRateLimited => "source_rate_limited",
            Self::SourceUnavailable => "source_unavailable",
            Self::Overloaded => "overloaded",
            Self::SourceTimeout => "source_timeout",
        }
    }
}

/// A refusal or failure as callers see it: `application/problem+json`.
///
/// The detail never holds a cause chain, a URL with a query, a credential or an upstream body.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// A relative reference to the code's row in the catalogue.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    pub code: ProblemCode,
    pub retryable: bool,
    /// The id under which the request stands in the log.
    #[schema(required)]
    pub request_id: Option<String>,
    /// The source that failed, where one did.
    #[schema(required, value_type = Option<String>)]
    pub source: Option<SourceName>,
    /// What the source said, where it spoke.
    #[schema(required)]
    pub upstream: Option<UpstreamReply>,
    /// Every fault of the request, where it has any.
    pub errors: Vec<Fault>,
    /// Becomes the `Retry-After` header.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// Becomes the `WWW-Authenticate` header (RFC 6750 §3).
    #[serde(skip)]
    pub challenge: Option<String>,
    /// Whether something of the request reached a source before it failed.
    #[serde(skip)]
    pub reached_source: bool,
}

/// A fault of one parameter or of one place in the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// The place in the body, as a JSON pointer (RFC 6901).
    #[schema(required)]
    pub pointer: Option<String>,
    /// The query or path parameter, or the header.
    #[schema(required)]
    pub parameter: Option<String>,
    /// What is wrong, in a word: `missing`, `unknown`, `duplicate`, `wrong_type`, `too_long`, `too_many`, `empty`,
    /// `out_of_range`, `malformed`, `not_visible`.
    #[schema(value_type = String)]
    pub code: &'static str,
    pub detail: String,
}

/// What a source said: its code and message, cut and with credentials replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UpstreamReply {
    pub code: String,
    pub message: String,
}

/// A problem inside `meta`, a batch result or a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShortProblem {
    pub code: ProblemCode,
    pub detail: String,
    pub retryable: bool,
    #[schema(required)]
    pub upstream: Option<UpstreamReply>,
}

impl Problem {
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        let row = code.kind();
        Self {
            kind: format!("/v1/errors#{}", code.as_str()),
            title: row.title.to_owned(),
            status: row.status,
            detail: detail.into(),
            code,
            retryable: row.retryable,
            request_id: None,
            source: None,
            upstream: None,
            errors: Vec::new(),
            retry_after: None,
            challenge: None,
            reached_source: false,
        }
    }

    /// A bad parameter: 400, naming it.
    pub fn parameter(name: &str, code: &'static str, detail: impl Into<String>) -> Self {
        Self::faults(ProblemCode::InvalidRequest, vec![Fault::parameter(name, code, detail)])
    }

    /// A problem made of faults; its detail is the first one's, and how many more there are.
    pub fn faults(code: ProblemCode, errors: Vec<Fault>) -> Self {
        let detail = match errors.as_slice() {
            [] => code.kind().title.to_owned(),
            [one] => one.to_string(),
            [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
        };
        Self { errors, ..Self::new(code, detail) }
    }

    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// A token without a scope that the route asks for: 403, naming it (RFC 6750 §3.1).
    pub fn missing_scope(scope: Scope) -> Self {
        let challenge = format!("Bearer realm=\"scrm-gateway\", error=\"insufficient_scope\", scope=\"{scope}\"");
        let problem = Self::new(ProblemCode::Forbidden, format!("the token lacks the scope {scope}"));
        Self { challenge: Some(challenge), ..problem }
    }

    pub fn short(&self) -> ShortProblem {
        ShortProblem {
            code: self.code,
            detail: self.detail.clone(),
            retryable: self.retryable,
            upstream: self.upstream.clone(),
        }
    }
}

impl Fault {
    pub fn parameter(name: &str, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: None, parameter: Some(name.to_owned()), code, detail: detail.into() }
    }

    pub fn at(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), parameter: None, code, detail: detail.into() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.parameter.as_deref().or(self.pointer.as_deref()) {
            Some(place) if !place.is_empty() => write!(f, "{place}: {}", self.detail),
            _ => f.write_str(&self.detail),
        }
    }
}

impl ShortProblem {
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), retryable: code.kind().retryable, upstream: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_stands_in_the_order_of_the_codes() {
        for (index, row) in CATALOGUE.iter().enumerate() {
            assert_eq!(row.code as usize, index, "{}", row.title);
            assert_eq!(serde_json::to_value(row.code).unwrap(), row.code.as_str());
        }
    }
}
