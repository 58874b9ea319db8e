//! The audit trail: who wrote what about whom, and who read a source's own JSON, or was refused to. One JSON line each, under a
//! target of its own that no level of the log silences. Ids are hashed; names, remarks, contents and numbers are no part of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};

use crate::model::{BatchSummary, Caller, ItemStatus, Operation, SourceName};
use crate::telemetry::AUDIT;

/// Of an operation that did what it should.
pub const OK: &str = "ok";
/// Of a read that brought the customer.
pub const FOUND: &str = "found";
/// Of a read that brought none.
pub const NOT_FOUND: &str = "not_found";
/// Of chunks that were not begun because nobody waited for them any longer, and of what was read for somebody who had left.
pub const ABANDONED: &str = "abandoned";
/// Of a write that an idempotency key held back: it had been run before.
const REPLAYED: &str = "replayed";

/// Bytes of a hash that are written: enough that no two ids share them.
const HASH_BYTES: usize = 16;
/// The most relations of one line: with more than 16 KiB a line would be cut in two by the usual container runtimes.
const MAX_RELATIONS: usize = 150;

/// Whether anything was told of a request. Clones are of the same request.
#[derive(Debug, Clone, Default)]
pub struct Told(Arc<AtomicBool>);

/// One caller's operation, at one source. Goes along with work that outlives its request.
#[derive(Debug, Clone)]
pub struct Trail {
    pub(super) caller: Arc<Caller>,
    pub(super) request_id: Arc<str>,
    pub(super) told: Told,
    pub(super) operation: Operation,
    /// `None` where it did not come so far.
    pub(super) source: Option<SourceName>,
}

/// What became of a customer of a staff member in a chunk.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    pub staff_id: &'a str,
    pub union_id: &'a str,
    pub status: ItemStatus,
    /// How many items of the batch were about it.
    pub items: usize,
}

/// What differs between lines. What is not there is left out.
#[derive(Default)]
struct Line<'a> {
    staff: Option<String>,
    customer: Option<String>,
    relations: Option<String>,
    rows: Option<usize>,
    counts: Option<BatchSummary>,
    outcome: &'a str,
}

impl Trail {
    /// A chunk was answered, or given up. `outcome` is [`OK`], [`ABANDONED`] or a problem's code.
    pub fn wrote(&self, relations: &[Written<'_>], outcome: &str) {
        for relations in relations.chunks(MAX_RELATIONS) {
            self.write(&Line {
                relations: Some(relations.iter().map(told).collect::<Vec<_>>().join(" ")),
                counts: Some(counted(relations)),
                outcome,
                ..Line::default()
            });
        }
    }

    /// The caller was told again what came of a write; nothing was sent.
    pub fn replayed(&self) {
        self.write(&Line { outcome: REPLAYED, ..Line::default() });
    }

    /// The request was refused before it came to a source. `outcome` is the problem's code.
    pub fn refused(&self, outcome: &str) {
        self.write(&Line { outcome, ..Line::default() });
    }

    /// A customer's raw JSON was asked of a source. `outcome` is [`FOUND`], [`NOT_FOUND`], [`ABANDONED`] or a problem's code.
    pub fn read_customer(&self, id: &str, outcome: &str) {
        let customer = Some(hashed(id));
        self.write(&Line { customer, outcome, ..Line::default() });
    }

    /// So many raw rows of a source's list were given out. `outcome` is [`OK`], [`ABANDONED`] or a problem's code.
    pub fn read_rows(&self, staff_id: Option<&str>, rows: usize, outcome: &str) {
        let staff = staff_id.map(hashed);
        self.write(&Line { staff, rows: Some(rows), outcome, ..Line::default() });
    }

    fn write(&self, line: &Line<'_>) {
        let count = |of: fn(&BatchSummary) -> usize| line.counts.as_ref().map(of);
        self.told.0.store(true, Ordering::Relaxed);
        tracing::info!(
            target: AUDIT,
            issuer = &*self.caller.id.issuer,
            subject = &*self.caller.id.subject,
            request_id = &*self.request_id,
            operation = self.operation.as_str(),
            source = self.source.as_ref().map(SourceName::as_str),
            staff = line.staff.as_deref(),
            customer = line.customer.as_deref(),
            relations = line.relations.as_deref(),
            rows = line.rows,
            succeeded = count(|counts| counts.succeeded),
            failed = count(|counts| counts.failed),
            not_sent = count(|counts| counts.not_sent),
            unconfirmed = count(|counts| counts.unconfirmed),
            outcome = line.outcome,
        );
    }
}

impl Told {
    pub(super) fn anything(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// As `STAFF/CUSTOMER:STATUS`.
fn told(written: &Written<'_>) -> String {
    format!("{}/{}:{}", hashed(written.staff_id), hashed(written.union_id), written.status.as_str())
}

fn counted(relations: &[Written<'_>]) -> BatchSummary {
    let mut counts = BatchSummary::default();
    for written in relations {
        counts.add(written.status, written.items);
    }
    counts
}

/// An id as it stands in the trail: who has the id finds its lines (`printf %s ID | sha256sum`), who has the lines alone does
/// not read ids out of them.
fn hashed(id: &str) -> String {
    base16ct::lower::encode_string(&Sha256::digest(id)[..HASH_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_what_the_usual_tools_make_of_the_id() {
        // `printf %s ozynqsulJFCZ2z1aYeS8h-nuasdAAA | sha256sum`
        assert_eq!(hashed("ozynqsulJFCZ2z1aYeS8h-nuasdAAA"), "b8443dd790dca0d1b934148430f5758a");
    }
}
