//! The one table of problems, behind errors, the OpenAPI document and `/v1/errors` (contract §4).

use serde::Serialize;
use utoipa::ToSchema;

use super::ProblemCode;

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
pub const CATALOGUE: [ProblemKind; 24] = {
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
            "A limit of the caller's is reached: its quota, its address's, its open streams, or its share of the kept answers; Retry-After tells when to ask again.",
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
            "The source's answer is not its envelope: HTML, not JSON, truncated, or too large.",
        ),
        kind(
            C::SourceBadData,
            502,
            "Source sent unusable data",
            false,
            Source,
            "The content of the source's answer cannot be used: it is about another customer, has no id, or has no readable row.",
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
            C::IssuerUnavailable,
            503,
            "Issuer unavailable",
            true,
            Operator,
            "The keys of the token's issuer cannot be had now, so that the token is neither good nor bad.",
        ),
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
