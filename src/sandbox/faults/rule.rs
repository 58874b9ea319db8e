//! The language of the script.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use super::super::{Endpoint, Source};

/// The largest padding of [`Effect::Oversized`].
const MAX_MIB: u32 = 1_024;
/// The most rows that one request inserts by [`Effect::InsertRows`].
const MAX_INSERTED: u32 = 10_000;

/// One line of the script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Default: everything.
    #[serde(default)]
    pub target: Target,
    /// How many of the target's requests pass untouched before `when` begins to count. Default 0.
    #[serde(default)]
    pub after: u64,
    /// Default: always.
    #[serde(default)]
    pub when: When,
    pub effect: Effect,
}

impl Rule {
    /// Strikes the target always.
    pub fn new(target: impl Into<Target>, effect: Effect) -> Self {
        Self { target: target.into(), after: 0, when: When::Always, effect }
    }

    #[must_use]
    pub fn when(self, when: When) -> Self {
        Self { when, ..self }
    }

    #[must_use]
    pub fn after(self, after: u64) -> Self {
        Self { after, ..self }
    }
}

/// Whom a rule strikes; in JSON `"all"`, a source's name, or an endpoint's. An effect that makes no sense at an endpoint (a wrong
/// total where there is none) passes it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Target {
    #[default]
    All,
    Source(Source),
    Endpoint(Endpoint),
}

impl Target {
    pub(super) fn covers(self, endpoint: Endpoint) -> bool {
        match self {
            Self::All => true,
            Self::Source(source) => source == endpoint.source(),
            Self::Endpoint(one) => one == endpoint,
        }
    }
}

impl From<Source> for Target {
    fn from(source: Source) -> Self {
        Self::Source(source)
    }
}

impl From<Endpoint> for Target {
    fn from(endpoint: Endpoint) -> Self {
        Self::Endpoint(endpoint)
    }
}

impl From<Target> for &'static str {
    fn from(target: Target) -> Self {
        match target {
            Target::All => "all",
            Target::Source(Source::Juzibot) => "juzibot",
            Target::Source(Source::Tanma) => "tanma",
            Target::Endpoint(endpoint) => endpoint.name(),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match name.as_str() {
            "all" => Ok(Self::All),
            "juzibot" => Ok(Self::Source(Source::Juzibot)),
            "tanma" => Ok(Self::Source(Source::Tanma)),
            _ => Endpoint::try_from(name)
                .map(Self::Endpoint)
                .map_err(|error| format!("{error}, nor is it \"all\", \"juzibot\" or \"tanma\"")),
        }
    }
}

/// Which of the target's requests a rule strikes, counted from the moment the rule was set.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum When {
    #[default]
    Always,
    /// The first so many.
    First(u64),
    /// Every so many-th: 3 strikes the third, the sixth …
    Every(u64),
    /// This share of them, 0 to 1, drawn from the sandbox's seed: the same requests in the same order are struck alike.
    Rate(f64),
    /// Those that come in this time from the moment the rule was set; in JSON `{"from": "0s", "lasts": "2s"}`.
    Window {
        #[serde(default, with = "humantime_serde")]
        from: Duration,
        #[serde(with = "humantime_serde")]
        lasts: Duration,
    },
}

/// How a request is struck. `applied` (default false) says whether the source has done what it was asked before it fails: for a
/// write, whether the change was made. A client that gives up meanwhile ends the exchange, and what was not applied never will be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// The answer is late by `min`, or where `max` is given by a time drawn between both.
    Delay {
        #[serde(with = "humantime_serde")]
        min: Duration,
        #[serde(default, with = "humantime_serde", skip_serializing_if = "Option::is_none")]
        max: Option<Duration>,
        #[serde(default)]
        applied: bool,
    },
    /// The true answer, so many bytes of its body at a time.
    Drip {
        bytes: usize,
        #[serde(with = "humantime_serde")]
        every: Duration,
    },
    /// A refusal in the source's own envelope, inside HTTP 200.
    Code {
        code: i64,
        message: String,
        #[serde(default)]
        applied: bool,
    },
    /// An HTTP status with a plain body.
    Status {
        status: u16,
        /// As it will stand in `Retry-After`: seconds, a date, or nonsense.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<String>,
        #[serde(default)]
        body: String,
        #[serde(default)]
        applied: bool,
    },
    /// The port is closed: connections are refused, those there are cut. For a source or everything, and only with
    /// [`When::Always`] or [`When::Window`], for requests that do not come cannot be counted. With `after`, the port closes on the
    /// request after those, whose connection is reset.
    RefuseConnections,
    /// The connection is reset (a real RST) instead of an answer.
    Reset {
        #[serde(default)]
        applied: bool,
    },
    /// The head of the true answer with its true `Content-Length`, at most `keep` bytes of its body (default: half), then the
    /// connection is closed.
    Truncate {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep: Option<usize>,
    },
    /// A web page with HTTP 200, as a proxy or a login wall sends it.
    Html {
        #[serde(default)]
        applied: bool,
    },
    /// The true answer with wrong JSON types. For reads.
    WrongTypes(WrongTypes),
    /// A text of the first customer holds a raw control character, half a surrogate pair and a cut emoji. For reads.
    DamagedText,
    /// The first row of a list has no id of any kind.
    RowWithoutId,
    /// A detail is about another customer than the one asked for.
    OtherCustomer,
    /// Page n of `JuziBot`'s list is answered with the rows of page n - 1.
    DuplicatePage,
    /// So many customers are added just before the list is read: in front of `JuziBot`'s, behind Tanma's.
    InsertRows(u32),
    /// The source's clock is so many seconds ahead of ours (negative: behind) for this request: in Tanma's check of its timestamp,
    /// and in `Date`.
    ClockSkew(i64),
    /// The source refuses its token (`JuziBot`) or its app key (Tanma) for this request.
    TokenRevoked,
    /// `total` of `JuziBot`'s list is this.
    WrongTotal(i64),
    /// Tanma's list tells the cursor it was asked with as the next one; a careless walk never ends.
    RepeatCursor,
    /// The first `items` of a write to `JuziBot` fail, the others are applied. `code` stands in the envelope (0: ok), `item_code`
    /// at each failed remark (follow-ups fail without a reason).
    FailItems {
        items: usize,
        #[serde(default)]
        code: i64,
        #[serde(default)]
        item_code: i64,
    },
    /// A write to `JuziBot` is applied, and its `fail_list` has one more entry, which matches nothing that was sent.
    StrayFailure,
    /// The true answer followed by this many MiB of blanks: still valid JSON.
    Oversized {
        mib: u32,
        /// Without `Content-Length`, so that the size shows only while it is read. Default false.
        #[serde(default)]
        chunked: bool,
    },
    /// Nothing is ever answered; the connection stays open.
    NeverAnswer {
        #[serde(default)]
        applied: bool,
    },
}

/// What is wrong about the types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrongTypes {
    /// `data` is a string.
    DataIsText,
    /// Each number inside `data` is an object.
    NumbersAreObjects,
}

/// A rule that can never do what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRule(String);

impl Effect {
    /// Whether the effect makes sense at the endpoint.
    pub(super) fn fits(&self, endpoint: Endpoint) -> bool {
        use Endpoint::{JuzibotAddFollow, JuzibotDetail, JuzibotList, JuzibotSetRemark, TanmaDetails, TanmaList};
        match self {
            Self::WrongTypes(WrongTypes::DataIsText) => {
                matches!(endpoint, JuzibotList | JuzibotDetail | TanmaList | TanmaDetails)
            }
            Self::WrongTypes(WrongTypes::NumbersAreObjects) => {
                matches!(endpoint, JuzibotList | JuzibotDetail | TanmaList)
            }
            Self::DamagedText => matches!(endpoint, JuzibotList | JuzibotDetail | TanmaList | TanmaDetails),
            Self::RowWithoutId => matches!(endpoint, JuzibotList | TanmaList),
            Self::OtherCustomer => matches!(endpoint, JuzibotDetail | TanmaDetails),
            Self::DuplicatePage | Self::WrongTotal(_) => endpoint == JuzibotList,
            Self::RepeatCursor => endpoint == TanmaList,
            Self::InsertRows(_) => matches!(endpoint, JuzibotList | TanmaList),
            Self::FailItems { .. } | Self::StrayFailure => matches!(endpoint, JuzibotSetRemark | JuzibotAddFollow),
            _ => true,
        }
    }

    /// Whether the source does what it was asked.
    pub(in super::super) fn applies(&self) -> bool {
        match self {
            Self::Delay { applied, .. }
            | Self::Code { applied, .. }
            | Self::Status { applied, .. }
            | Self::Reset { applied }
            | Self::Html { applied }
            | Self::NeverAnswer { applied } => *applied,
            Self::RefuseConnections => false,
            _ => true,
        }
    }

    fn fault(&self) -> Option<&'static str> {
        match self {
            Self::Delay { min, max: Some(max), .. } if max < min => Some("max is less than min"),
            Self::Drip { bytes: 0, .. } => Some("bytes must be at least 1"),
            Self::Status { status, .. } if !(200..=599).contains(status) || StatusCode::from_u16(*status).is_err() => {
                Some("status must be from 200 to 599")
            }
            Self::Status { retry_after: Some(text), .. } if HeaderValue::from_str(text).is_err() => {
                Some("retry_after cannot stand in a header")
            }
            Self::FailItems { items: 0, .. } => Some("items must be at least 1"),
            Self::InsertRows(count) if !(1..=MAX_INSERTED).contains(count) => Some("rows are from 1 to 10000"),
            Self::Oversized { mib, .. } if !(1..=MAX_MIB).contains(mib) => Some("mib must be from 1 to 1024"),
            _ => None,
        }
    }
}

impl Rule {
    pub(super) fn strikes(&self, endpoint: Endpoint) -> bool {
        self.target.covers(endpoint) && self.effect.fits(endpoint)
    }

    pub(super) fn check(&self) -> Result<(), BadRule> {
        let when = match self.when {
            When::First(0) | When::Every(0) => Some("a count must be at least 1"),
            When::Rate(rate) if !(0.0..=1.0).contains(&rate) => Some("a rate must be from 0 to 1"),
            _ => None,
        };
        let refusal = match (&self.effect, self.target, self.when) {
            (Effect::RefuseConnections, Target::Endpoint(_), _) => {
                Some("connections are refused by a source, not an endpoint")
            }
            (Effect::RefuseConnections, _, When::First(_) | When::Every(_) | When::Rate(_)) => {
                Some("connections are refused always or in a window; refused ones cannot be counted")
            }
            _ => None,
        };
        let nowhere = !Endpoint::ALL.into_iter().any(|endpoint| self.strikes(endpoint));
        let misses = nowhere.then_some("the effect makes no sense at this target");
        match when.or(refusal).or(self.effect.fault()).or(misses) {
            Some(fault) => Err(BadRule(fault.to_owned())),
            None => Ok(()),
        }
    }
}
