//! Problems (RFC 9457, contract §4): what callers are told.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::{CATALOGUE, ProblemKind, Scope, SourceName};

/// Code of a problem: stable, for use in programs.
///
/// `/v1/errors` describes each code. Codes may be added within `/v1`: treat an unknown one by its HTTP status, and by
/// `retryable`.
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
    SourceBadData,
    SourceCredentials,
    SourceRateLimited,
    SourceUnavailable,
    Overloaded,
    IssuerUnavailable,
    SourceTimeout,
}

impl ProblemCode {
    /// The catalogue's row of this code.
    pub fn kind(self) -> &'static ProblemKind {
        &CATALOGUE[self as usize]
    }

    /// Returns the code as the API spells it.
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
            Self::SourceBadData => "source_bad_data",
            Self::SourceCredentials => "source_credentials",
            Self::SourceRateLimited => "source_rate_limited",
            Self::SourceUnavailable => "source_unavailable",
            Self::Overloaded => "overloaded",
            Self::IssuerUnavailable => "issuer_unavailable",
            Self::SourceTimeout => "source_timeout",
        }
    }
}

/// Error response (RFC 9457), sent as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// URI reference of the code's entry in `/v1/errors`: absolute where the gateway knows its public address.
    #[serde(rename = "type")]
    pub kind: String,
    /// Name of the problem, the same for each `code`.
    pub title: String,
    /// HTTP status of the response.
    pub status: u16,
    /// Explanation of this occurrence for people. Its text may change; use `code` in programs.
    // Never holds a cause chain, a URL with a query, a credential or an upstream body.
    pub detail: String,
    /// Code of the problem.
    pub code: ProblemCode,
    /// Whether the same request, unchanged, may succeed later. `Retry-After` has the time to wait, where it is present.
    pub retryable: bool,
    /// Id of the request in the gateway's log. Include it when you report a problem to the operators.
    #[schema(required)]
    pub request_id: Option<String>,
    /// Name of the source that failed; `null` where no source failed.
    #[schema(required, value_type = Option<String>)]
    pub source: Option<SourceName>,
    /// Code and message of the source's own answer; `null` where the source sent none.
    #[schema(required)]
    pub upstream: Option<UpstreamReply>,
    /// Errors of the request, by parameter or position in the body. Empty where the request itself is valid. Of a body, at most
    /// 10,000 errors and 1.25 MiB of them are listed.
    pub errors: Vec<Fault>,
    /// Becomes the `Retry-After` header.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// Becomes the `WWW-Authenticate` header (RFC 6750 §3).
    #[serde(skip)]
    pub challenge: Option<String>,
    /// Whether the same request under the same idempotency key would get this answer again: the source itself has refused it, or it
    /// may have changed something.
    #[serde(skip)]
    pub is_final: bool,
}

/// Error of one parameter, or of one position in the request body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// Position in the request body, as a JSON pointer (RFC 6901); `null` for an error of a parameter.
    #[schema(required)]
    pub pointer: Option<String>,
    /// Name of the query parameter, path parameter or header; `null` for an error of the body.
    #[schema(required)]
    pub parameter: Option<String>,
    /// Kind of the error: `missing`, `unknown`, `duplicate`, `wrong_type`, `too_long`, `too_many`, `empty`,
    /// `out_of_range`, `malformed`, `expired`, `not_visible`. Other kinds may be added.
    #[schema(value_type = String)]
    pub code: &'static str,
    /// Explanation of the error for people. Its text may change; use `code` in programs.
    pub detail: String,
}

/// Code and message of a source's answer, truncated, with credentials replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UpstreamReply {
    /// Code of the vendor (JuziBot `errcode`, Tanma `code`), as text.
    pub code: String,
    /// Message of the vendor.
    pub message: String,
}

/// Errors that are listed where there is no memory for all.
const FEW_ERRORS: usize = 10;

/// The most bytes that a text has in a JSON string.
fn json_bytes(text: &str) -> usize {
    let escaped = |byte| match byte {
        b'"' | b'\\' => 2,
        ..b' ' => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}

/// Problem inside `meta`, a batch result or a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShortProblem {
    /// Code of the problem.
    pub code: ProblemCode,
    /// Explanation of this occurrence for people. Its text may change; use `code` in programs.
    pub detail: String,
    /// Whether the same request, unchanged, may succeed later. Always `false` for an `unconfirmed` item of a batch.
    pub retryable: bool,
    /// Code and message of the source's own answer; `null` where the source sent none.
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
            is_final: false,
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

    /// The most bytes that it has as JSON, without what the edge adds to it.
    pub fn json_bytes(&self) -> usize {
        let errors: usize = self.errors.iter().map(Fault::json_bytes).sum();
        json_bytes(&self.detail) + errors
    }

    /// Leaves out all but the first few errors, and reports that in the detail.
    pub fn truncate_errors(&mut self) {
        if self.errors.len() > FEW_ERRORS {
            self.errors.truncate(FEW_ERRORS);
            self.errors.shrink_to_fit();
            self.detail.push_str("; only the first errors are listed: the gateway has no memory left for the others");
        }
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
    /// The most bytes that it has as JSON, in a list.
    pub fn json_bytes(&self) -> usize {
        const KEYS: usize = r#"{"pointer":null,"parameter":null,"code":"","detail":""},"#.len();
        let place = self.pointer.as_deref().or(self.parameter.as_deref()).map_or(0, json_bytes);
        KEYS + place + self.code.len() + json_bytes(&self.detail)
    }

    pub fn parameter(name: &str, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: None, parameter: Some(name.to_owned()), code, detail: detail.into() }
    }

    pub fn at(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), parameter: None, code, detail: detail.into() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The detail of an unknown parameter names it.
        let names_itself = self.parameter.is_some() && self.code == "unknown";
        match self.parameter.as_deref().or(self.pointer.as_deref()) {
            Some(place) if !place.is_empty() && !names_itself => write!(f, "{place}: {}", self.detail),
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
