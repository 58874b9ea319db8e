//! Who calls (contract §7, §10).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::SourceName;

/// A caller's identity: the issuer of its token and its subject. Two issuers may use the same subject for different
/// callers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId {
    pub issuer: Arc<str>,
    pub subject: Arc<str>,
}

/// A right that a token carries in its `scope` or `scp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    CustomersRead,
    CustomersWrite,
    CustomersRaw,
}

impl Scope {
    /// Every scope of this service, with what it allows.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::CustomersRead, "read customers and sources"),
        (Self::CustomersWrite, "set remarks and add follow-ups"),
        (Self::CustomersRaw, "see the sources' own JSON with include=raw"),
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::CustomersRead => "customers:read",
            Self::CustomersWrite => "customers:write",
            Self::CustomersRaw => "customers:raw",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A verified caller and what it may see.
#[derive(Debug, Clone)]
pub struct Caller {
    pub id: CallerId,
    /// The scopes of the token as it spells them, known to this service or not.
    pub scopes: BTreeSet<String>,
    /// The visible sources, in the order of merges.
    pub sources: Vec<SourceName>,
}

impl Caller {
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(scope.as_str())
    }

    pub fn sees(&self, source: &SourceName) -> bool {
        self.sources.contains(source)
    }
}

/// Response with the authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MeAnswer {
    /// The authenticated caller.
    pub data: Me,
}

/// Authenticated caller and its permissions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Me {
    /// Issuer of the token (`iss`).
    pub issuer: String,
    /// Subject of the token (`sub`).
    pub subject: String,
    /// Scopes of the token, including those that this service does not use.
    pub scopes: Vec<String>,
    /// Names of the sources that the caller can use, in the order in which records are merged.
    #[schema(value_type = Vec<String>)]
    pub sources: Vec<SourceName>,
    /// Quota of the caller.
    pub quota: QuotaState,
}

/// Quota of a caller and its remainder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct QuotaState {
    /// Requests that the quota allows in one window.
    pub requests: u32,
    /// Length of the window, in seconds.
    pub window_seconds: u64,
    /// Largest number of requests that the caller can send at once.
    pub burst: u32,
    /// Number of requests that the caller can send at once now.
    pub remaining: u32,
}
