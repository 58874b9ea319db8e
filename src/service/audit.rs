//! The audit trail: who wrote what about whom, and who read a source's own JSON. One JSON line each, under a target of its own
//! that no level of the log silences. Ids are hashed; names, remarks, contents and numbers are no part of it.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::model::{BatchSummary, Caller, ItemStatus, Operation, SourceName};
use crate::telemetry::AUDIT;

/// Of an operation that did what it should.
pub const OK: &str = "ok";
/// Of a read that brought the customer.
pub const FOUND: &str = "found";
/// Of a read that brought none.
pub const NOT_FOUND: &str = "not_found";
/// Of chunks that were not begun because nobody waited for them any longer.
pub const ABANDONED: &str = "abandoned";
/// Of a write that an idempotency key held back: it had been run before.
const REPLAYED: &str = "replayed";

/// Bytes of a hash that are written: enough that no two ids share them.
const HASH_BYTES: usize = 16;
/// The most customers of one line: with more than 16 KiB a line would be cut in two by the usual container runtimes.
const MAX_CUSTOMERS: usize = 200;

/// One caller's operation at one source. Goes along with work that outlives its request.
#[derive(Debug, Clone)]
pub struct Trail {
    caller: Arc<Caller>,
    request_id: Arc<str>,
    operation: Operation,
    source: SourceName,
}

/// What became of a customer in a chunk.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    pub union_id: &'a str,
    pub status: ItemStatus,
    /// How many items of the batch were about it.
    pub items: usize,
}

/// What differs between lines. What is not there is left out.
#[derive(Default)]
struct Line<'a> {
    staff: Option<String>,
    customers: Option<String>,
    rows: Option<usize>,
    counts: Option<BatchSummary>,
    outcome: &'a str,
}

impl Trail {
    pub fn new(caller: Arc<Caller>, request_id: Arc<str>, operation: Operation, source: SourceName) -> Self {
        Self { caller, request_id, operation, source }
    }

    /// A chunk was answered, or given up. `outcome` is [`OK`], [`ABANDONED`] or a problem's code.
    pub fn wrote(&self, customers: &[Written<'_>], outcome: &str) {
        for customers in customers.chunks(MAX_CUSTOMERS) {
            let told = |written: &Written<'_>| format!("{}:{}", hashed(written.union_id), written.status.as_str());
            self.write(&Line {
                customers: Some(customers.iter().map(told).collect::<Vec<_>>().join(" ")),
                counts: Some(counted(customers)),
                outcome,
                ..Line::default()
            });
        }
    }

    /// The caller was told again what came of a write; nothing was sent.
    pub fn replayed(&self) {
        self.write(&Line { outcome: REPLAYED, ..Line::default() });
    }

    /// A customer's raw JSON was asked of a source. `outcome` is [`FOUND`], [`NOT_FOUND`] or a problem's code.
    pub fn read_customer(&self, id: &str, outcome: &str) {
        let customers = Some(hashed(id));
        self.write(&Line { customers, outcome, ..Line::default() });
    }

    /// So many raw rows of a source's list were given out. `outcome` is [`OK`] or a problem's code.
    pub fn read_rows(&self, staff_id: Option<&str>, rows: usize, outcome: &str) {
        let staff = staff_id.map(hashed);
        self.write(&Line { staff, rows: Some(rows), outcome, ..Line::default() });
    }

    fn write(&self, line: &Line<'_>) {
        let count = |of: fn(&BatchSummary) -> usize| line.counts.as_ref().map(of);
        tracing::info!(
            target: AUDIT,
            issuer = &*self.caller.id.issuer,
            subject = &*self.caller.id.subject,
            request_id = &*self.request_id,
            operation = self.operation.as_str(),
            source = self.source.as_str(),
            staff = line.staff.as_deref(),
            customers = line.customers.as_deref(),
            rows = line.rows,
            succeeded = count(|counts| counts.succeeded),
            failed = count(|counts| counts.failed),
            not_sent = count(|counts| counts.not_sent),
            unconfirmed = count(|counts| counts.unconfirmed),
            outcome = line.outcome,
        );
    }
}

fn counted(customers: &[Written<'_>]) -> BatchSummary {
    let mut counts = BatchSummary::default();
    for written in customers {
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
