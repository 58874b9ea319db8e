//! The one table of problems, behind errors, the OpenAPI document and `/v1/errors` (contract §4).

use serde::Serialize;
use utoipa::ToSchema;

use super::ProblemCode;

/// Party that can resolve a problem.
///
/// - `caller`: the calling application, by another request.
/// - `operator`: the operators of the gateway.
/// - `source`: the vendor of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    Caller,
    Operator,
    Source,
}

/// Entry of the error catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProblemKind {
    /// Code of the problem.
    pub code: ProblemCode,
    /// HTTP status of the error response.
    pub status: u16,
    /// Name of the problem.
    pub title: &'static str,
    /// Whether the same request, unchanged, may succeed later.
    pub retryable: bool,
    /// Party that can resolve the problem.
    pub who: Who,
    /// Cause of the problem, and what to do.
    pub description: &'static str,
}

/// Response with the error catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErrorsAnswer {
    /// One entry for each problem code, by HTTP status.
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

/// Every problem, in the order of [`ProblemCode`].
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
            "The body is not valid JSON, or a parameter is unknown, repeated, missing or out of range; errors lists each one.",
        ),
        kind(
            C::CursorInvalid,
            400,
            "Cursor invalid",
            false,
            Caller,
            "The cursor has expired, is not one of this service, or belongs to another caller or to other parameters. Start again without a cursor.",
        ),
        kind(
            C::Unauthenticated,
            401,
            "Not authenticated",
            false,
            Caller,
            "The bearer token is missing, has expired, is for another audience, or cannot be verified.",
        ),
        kind(C::Forbidden, 403, "Forbidden", false, Caller, "The token lacks the scope that detail names."),
        kind(
            C::NotFound,
            404,
            "Not found",
            false,
            Caller,
            "No queried source has a customer with this id, or the route does not exist.",
        ),
        kind(
            C::MethodNotAllowed,
            405,
            "Method not allowed",
            false,
            Caller,
            "The route does not support the method; the Allow header lists the methods that it supports.",
        ),
        kind(
            C::NotAcceptable,
            406,
            "Not acceptable",
            false,
            Caller,
            "The Accept header matches none of the media types of the route.",
        ),
        kind(
            C::PayloadTooLarge,
            413,
            "Payload too large",
            false,
            Caller,
            "The request body is larger than the server allows.",
        ),
        kind(
            C::UnsupportedMediaType,
            415,
            "Unsupported media type",
            false,
            Caller,
            "The request body must be application/json, without a content coding.",
        ),
        kind(
            C::ValidationFailed,
            422,
            "Validation failed",
            false,
            Caller,
            "The body has errors, which errors lists by JSON pointer; or the source refused the values, and upstream has its answer.",
        ),
        kind(
            C::IdempotencyKeyReused,
            422,
            "Idempotency key reused",
            false,
            Caller,
            "The idempotency key was used before with another path, query, body or source.",
        ),
        kind(
            C::IdempotencyInProgress,
            409,
            "Idempotent request in progress",
            true,
            Caller,
            "The first request with this idempotency key has not ended yet.",
        ),
        kind(
            C::NotOffered,
            422,
            "Not offered",
            false,
            Caller,
            "No queried source offers the operation; /v1/sources lists what each one offers.",
        ),
        kind(
            C::RateLimited,
            429,
            "Rate limited",
            true,
            Caller,
            "The caller has reached a limit: its quota, the limit of its address, its requests in flight, its open streams, its share of memory, or its share of stored idempotent responses. Retry after the time in Retry-After.",
        ),
        kind(
            C::Internal,
            500,
            "Internal error",
            false,
            Operator,
            "The gateway failed. Report the request id to the operators.",
        ),
        kind(
            C::SourceRejected,
            502,
            "Source rejected",
            false,
            Operator,
            "The source answered with a code or an HTTP status that the gateway does not know.",
        ),
        kind(
            C::SourceBadPayload,
            502,
            "Source sent a bad payload",
            true,
            Source,
            "The source's answer cannot be read: it is HTML, not JSON, truncated, or too large.",
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
            "The source refused the gateway's token, signature or clock. The operators must act.",
        ),
        kind(
            C::SourceRateLimited,
            503,
            "Source rate limited",
            true,
            Source,
            "The gateway has reached the source's own rate limit.",
        ),
        kind(
            C::SourceUnavailable,
            503,
            "Source unavailable",
            true,
            Source,
            "The source cannot be reached, or reports that it is unavailable.",
        ),
        kind(
            C::Overloaded,
            503,
            "Overloaded",
            true,
            Operator,
            "The gateway has too many requests in progress, lacks a resource such as memory, or is stopping.",
        ),
        kind(
            C::IssuerUnavailable,
            503,
            "Issuer unavailable",
            true,
            Operator,
            "The issuer's signing keys are unavailable, so the token cannot be verified.",
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
