//! The rows: every fault that the simulated sources know, in the forms that may differ for a caller.
//!
//! Left out is what would be a lie of the source: a refusal (a code of class credentials, rate limited or invalid, an HTTP
//! 4xx) after the write was applied. The contract believes a refusal, and must.

use std::time::Duration;

use jiff::SignedDuration;
use scrm_gateway::sandbox::faults::{Effect, WrongTypes};

use super::measure::{MAX_RESPONSE_MIB, Operation, TIMEOUT};
use crate::support::failures::{BODY_TEXT, WORDS};

/// One way to fail.
pub struct Fault {
    pub name: String,
    pub makes: Makes,
    /// Differs from another row for writes alone.
    writes_only: bool,
}

pub enum Makes {
    Nothing,
    Strikes(Effect),
    /// The source's clock is so far off.
    Skews(SignedDuration),
    Revokes,
}

impl Fault {
    fn new(name: impl Into<String>, makes: Makes) -> Self {
        Self { name: name.into(), makes, writes_only: false }
    }

    fn strikes(name: impl Into<String>, effect: Effect) -> Self {
        Self::new(name, Makes::Strikes(effect))
    }

    /// A write is applied before it fails.
    fn applied(name: impl Into<String>, effect: Effect) -> Self {
        Self { writes_only: true, ..Self::strikes(name, effect) }
    }

    pub fn is_of(&self, operation: Operation) -> bool {
        operation.writes() || !self.writes_only
    }

    /// What follows is not what it was before, though the fault is over.
    pub fn moves_rows(&self) -> bool {
        matches!(self.makes, Makes::Strikes(Effect::InsertRows(_)))
    }

    /// The source asks for a wait that fits the deadline.
    pub fn asks_for_time(&self) -> bool {
        matches!(&self.makes, Makes::Strikes(Effect::Status { retry_after: Some(wait), .. }) if wait == "1")
    }
}

/// All rows, the first without a fault.
pub fn all() -> Vec<Fault> {
    let mut faults = vec![Fault::new("none", Makes::Nothing)];
    faults.extend(codes());
    faults.extend(statuses());
    faults.extend(connections());
    faults.extend(late());
    faults.extend(bodies());
    faults.extend(contents());
    faults.push(Fault::new("clock 10 min ahead", Makes::Skews(SignedDuration::from_mins(10))));
    faults.push(Fault::strikes("clock 10 min behind, by script", Effect::ClockSkew(-600)));
    faults.push(Fault::new("token revoked", Makes::Revokes));
    faults.push(Fault::strikes("token revoked, by script", Effect::TokenRevoked));
    // The last of all: the rows stay.
    faults.push(Fault::strikes("3 rows inserted", Effect::InsertRows(3)));
    faults
}

fn codes() -> Vec<Fault> {
    let code = |code, applied| Effect::Code { code, message: WORDS.to_owned(), applied };
    let classes = [
        ("not_found", 84_061),
        ("credentials", 40_001),
        ("rate_limited", 45_009),
        ("retryable", 50_001),
        ("invalid", 40_058),
        ("unknown", 99_999),
    ];
    let mut faults: Vec<Fault> =
        classes.map(|(class, number)| Fault::strikes(format!("code: {class}"), code(number, false))).into();
    faults.push(Fault::applied("code: retryable, applied", code(50_001, true)));
    faults.push(Fault::applied("code: unknown, applied", code(99_999, true)));
    faults
}

fn statuses() -> Vec<Fault> {
    let effect = |status, retry_after: Option<&str>, applied| {
        let retry_after = retry_after.map(str::to_owned);
        Effect::Status { status, retry_after, body: BODY_TEXT.to_owned(), applied }
    };
    let forms = [
        (400, None),
        (401, None),
        (403, None),
        (404, None),
        (429, None),
        (429, Some("1")),
        (429, Some("60")),
        (500, None),
        (503, None),
        (503, Some("1")),
        (503, Some("60")),
    ];
    let mut faults: Vec<Fault> = forms
        .map(|(status, retry_after)| {
            let suffix = retry_after.map(|seconds| format!(", Retry-After: {seconds}")).unwrap_or_default();
            Fault::strikes(format!("HTTP {status}{suffix}"), effect(status, retry_after, false))
        })
        .into();
    faults.push(Fault::applied("HTTP 500, applied", effect(500, None, true)));
    faults
}

fn connections() -> Vec<Fault> {
    vec![
        Fault::strikes("reset", Effect::Reset { applied: false }),
        Fault::applied("reset, applied", Effect::Reset { applied: true }),
        // After those: a write on a connection that is kept and just being cut is rightly unconfirmed.
        Fault::strikes("connection refused", Effect::RefuseConnections),
        Fault::strikes("never answered", Effect::NeverAnswer { applied: false }),
        Fault::applied("never answered, applied", Effect::NeverAnswer { applied: true }),
    ]
}

fn late() -> Vec<Fault> {
    let delay = |min, applied| Effect::Delay { min, max: None, applied };
    let beyond = TIMEOUT * 3 / 2;
    vec![
        Fault::strikes("late, within the timeout", delay(Duration::from_millis(50), false)),
        Fault::strikes("late, beyond the timeout", delay(beyond, false)),
        Fault::applied("late, beyond the timeout, applied", delay(beyond, true)),
        Fault::strikes(
            "drip-fed, within the timeout",
            Effect::Drip { bytes: 64 << 10, every: Duration::from_millis(1) },
        ),
        Fault::strikes("drip-fed, beyond the timeout", Effect::Drip { bytes: 1, every: TIMEOUT / 10 }),
    ]
}

fn bodies() -> Vec<Fault> {
    let mib = MAX_RESPONSE_MIB + 1;
    vec![
        Fault::strikes("HTML", Effect::Html { applied: false }),
        Fault::applied("HTML, applied", Effect::Html { applied: true }),
        Fault::strikes("cut short", Effect::Truncate { keep: None }),
        Fault::strikes("head without a body", Effect::Truncate { keep: Some(0) }),
        Fault::strikes("oversized", Effect::Oversized { mib, chunked: false }),
        Fault::strikes("oversized, of no declared length", Effect::Oversized { mib, chunked: true }),
        Fault::strikes("large, within max_response", Effect::Oversized { mib: 1, chunked: true }),
    ]
}

fn contents() -> Vec<Fault> {
    let failing = |items, code, item_code| Effect::FailItems { items, code, item_code };
    vec![
        Fault::strikes("data is text", Effect::WrongTypes(WrongTypes::DataIsText)),
        Fault::strikes("numbers are objects", Effect::WrongTypes(WrongTypes::NumbersAreObjects)),
        Fault::strikes("damaged text", Effect::DamagedText),
        Fault::strikes("a row without an id", Effect::RowWithoutId),
        Fault::strikes("another customer", Effect::OtherCustomer),
        Fault::strikes("page repeated", Effect::DuplicatePage),
        Fault::strikes("total too small", Effect::WrongTotal(7)),
        Fault::strikes("total too large", Effect::WrongTotal(1_000_000)),
        Fault::strikes("total negative", Effect::WrongTotal(-1)),
        Fault::strikes("cursor does not advance", Effect::RepeatCursor),
        Fault::strikes("one item fails", failing(1, 0, 84_061)),
        Fault::strikes("one item fails, envelope retryable", failing(1, 50_001, 84_061)),
        Fault::strikes("all items fail", failing(usize::MAX, 0, 84_061)),
        Fault::strikes("a failure listed that was not sent", Effect::StrayFailure),
    ]
}
