//! What can go wrong with a source, for us; callers see the [`crate::model::Problem`] made of it.

use std::time::Duration;

use jiff::SignedDuration;

use crate::model::{ProblemCode, SourceName, UpstreamReply};

use super::{CodeClass, Phase};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A call to a source that brought no usable answer. Never holds a URL or a credential.
#[derive(Debug, thiserror::Error)]
#[error("source {name}: {failure}")]
pub struct UpstreamError {
    pub name: SourceName,
    pub failure: Failure,
    /// What the source's `Retry-After` asked for.
    pub retry_after: Option<Duration>,
    /// Where the source refused our clock.
    pub clock: Option<ClockRefused>,
    #[source]
    pub cause: Option<Cause>,
}

/// A source that refused our clock, and by how much ours is ahead of its own, where it told that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockRefused {
    pub ahead: Option<SignedDuration>,
}

/// The ways in which a call fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The source decided against the call: by a code in its envelope, or by an HTTP status.
    #[error("refused as {class:?}, status {status}")]
    Refused { class: CodeClass, status: u16, reply: Option<UpstreamReply> },
    /// An answer that cannot be read. The text says where, never what.
    #[error("unreadable answer: {0}")]
    BadPayload(String),
    /// An answer that is larger than is read. It may be one odd customer's, so it says nothing about the state of the source.
    #[error("unreadable answer: {0}")]
    TooLarge(String),
    /// The vendor's envelope, with content that cannot be used: about another customer, without an id, or without a readable
    /// row. Says nothing about the state of the source. The text says why, never what.
    #[error("unusable data: {0}")]
    BadData(String),
    /// No connection: nothing has reached the source.
    #[error("no connection")]
    Unreachable,
    /// The connection broke; the request may have reached the source.
    #[error("connection lost")]
    ConnectionLost,
    /// No answer in time; `sent` tells whether the request may have reached the source.
    #[error("no answer in time, {}", phase.as_str())]
    TimedOut { sent: bool, phase: Phase },
    /// The caller's own deadline passed before the source's time was over.
    #[error("the deadline passed, {}", phase.as_str())]
    DeadlinePassed { sent: bool, phase: Phase },
    /// All of the source's slots are in use, and the queue behind them is full or does not move; nothing was sent.
    #[error("no free slot")]
    Busy,
    /// The source's quota leaves no room before the deadline; nothing was sent.
    #[error("its quota is spent")]
    QuotaSpent,
    /// The breaker is open; nothing was sent.
    #[error("the breaker is open")]
    CircuitOpen,
    /// The gateway lacks a resource of its own, such as an open file, a local port or memory, also of its memory budget. The source is not at fault. No byte
    /// of a write was sent; a read may have been. The text names the resource.
    #[error("the gateway has no {0} left")]
    Overloaded(&'static str),
}

impl UpstreamError {
    pub fn new(name: &SourceName, failure: Failure) -> Self {
        Self { name: name.clone(), failure, retry_after: None, clock: None, cause: None }
    }

    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The code under which callers know it.
    pub fn code(&self) -> ProblemCode {
        match &self.failure {
            Failure::Refused { class, .. } => match class {
                CodeClass::NotFound => ProblemCode::NotFound,
                CodeClass::Credentials => ProblemCode::SourceCredentials,
                CodeClass::RateLimited => ProblemCode::SourceRateLimited,
                CodeClass::Retryable => ProblemCode::SourceUnavailable,
                CodeClass::Invalid => ProblemCode::ValidationFailed,
                CodeClass::Rejected => ProblemCode::SourceRejected,
            },
            Failure::BadPayload(_) | Failure::TooLarge(_) => ProblemCode::SourceBadPayload,
            Failure::BadData(_) => ProblemCode::SourceBadData,
            Failure::Unreachable | Failure::ConnectionLost | Failure::CircuitOpen | Failure::Busy => {
                ProblemCode::SourceUnavailable
            }
            Failure::QuotaSpent => ProblemCode::SourceRateLimited,
            Failure::Overloaded(_) => ProblemCode::Overloaded,
            Failure::TimedOut { .. } | Failure::DeadlinePassed { .. } => ProblemCode::SourceTimeout,
        }
    }

    /// Whether it is about the content of one answer. Then it is neutral: neither a success nor a failure of the source.
    pub fn is_of_content(&self) -> bool {
        matches!(self.failure, Failure::BadData(_) | Failure::TooLarge(_))
    }

    /// Whether the gateway lacks a resource of its own. Then the call says nothing about the source.
    pub fn is_shortage(&self) -> bool {
        matches!(self.failure, Failure::Overloaded(_))
    }

    /// Whether it is certain that nothing of the request, if it is a write, reached the source.
    pub fn nothing_sent(&self) -> bool {
        matches!(
            self.failure,
            Failure::Unreachable
                | Failure::Busy
                | Failure::QuotaSpent
                | Failure::CircuitOpen
                | Failure::Overloaded(_)
                | Failure::TimedOut { sent: false, .. }
                | Failure::DeadlinePassed { sent: false, .. }
        )
    }

    /// Whether it says anything about the source, rather than about how we asked.
    pub fn tells_of_the_source(&self) -> bool {
        !matches!(
            self.failure,
            Failure::BadData(_)
                | Failure::TooLarge(_)
                | Failure::DeadlinePassed { .. }
                | Failure::Busy
                | Failure::QuotaSpent
                | Failure::CircuitOpen
                | Failure::Overloaded(_)
        )
    }

    /// Whether a breaker counts it (contract §4): timeouts of the source, connection failures, 5xx, unreadable envelopes
    /// and the class retryable. A deadline that a caller made short says nothing about the source.
    pub fn counts_against_the_source(&self) -> bool {
        match &self.failure {
            Failure::Refused { class, .. } => *class == CodeClass::Retryable,
            Failure::BadPayload(_) | Failure::Unreachable | Failure::ConnectionLost | Failure::TimedOut { .. } => true,
            Failure::BadData(_)
            | Failure::TooLarge(_)
            | Failure::DeadlinePassed { .. }
            | Failure::Busy
            | Failure::QuotaSpent
            | Failure::CircuitOpen
            | Failure::Overloaded(_) => false,
        }
    }

    /// Whether a read may be of use when it is tried again soon. A source that limits us is asked again only at the time
    /// that it names.
    pub fn may_read_again(&self) -> bool {
        match &self.failure {
            Failure::Refused { class: CodeClass::RateLimited, .. } => self.retry_after.is_some(),
            _ => self.counts_against_the_source(),
        }
    }

    /// Whether the source failed, rather than refused what was asked: what a kept record may stand in for (§6).
    pub fn is_outage(&self) -> bool {
        match &self.failure {
            Failure::Refused { class, .. } => {
                matches!(class, CodeClass::Retryable | CodeClass::RateLimited | CodeClass::Credentials)
            }
            Failure::BadData(_) => false,
            _ => true,
        }
    }
}

impl UpstreamError {
    /// Whether the source refused our token, signature or clock.
    pub fn refuses_credentials(&self) -> bool {
        matches!(&self.failure, Failure::Refused { class: CodeClass::Credentials, .. })
    }

    /// Whether the source's code says that it does not know the customer.
    pub fn says_not_found(&self) -> bool {
        matches!(&self.failure, Failure::Refused { class: CodeClass::NotFound, .. })
    }
}
