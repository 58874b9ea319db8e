//! Deduplication of the rows of a stream, within a bounded window: a page-numbered source may repeat rows.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use crate::model::Customer;

/// Rows that are remembered: a source that repeats a row does so within a page or two.
const WINDOW: usize = 20_000;

/// Two independent hashes of a row's identity, so that no two rows are taken for one.
type Mark = (u64, u64);

#[derive(Default)]
pub(super) struct Seen {
    hashers: (RandomState, RandomState),
    marks: HashSet<Mark>,
    order: VecDeque<Mark>,
}

impl Seen {
    /// Whether the row was not sent within the window. A row is identified by all of its ids, those of its staff included. A row
    /// whose ids were repaired is always new, because repaired ids of two customers may be the same.
    pub(super) fn is_new(&mut self, customer: &Customer) -> bool {
        let record = customer.records.first().and_then(|record| record.id.as_deref());
        let ids = [record, customer.external_user_id.as_deref(), customer.union_id.as_deref()];
        let is_repaired = |id: &&str| id.contains(char::REPLACEMENT_CHARACTER);
        if ids.iter().flatten().next().is_none() || ids.iter().flatten().any(is_repaired) {
            return true;
        }
        let staff: Vec<&Option<String>> = customer.relations.iter().map(|relation| &relation.staff_id).collect();
        let mark = (self.hashers.0.hash_one((ids, &staff)), self.hashers.1.hash_one((ids, &staff)));
        if !self.marks.insert(mark) {
            return false;
        }
        self.order.push_back(mark);
        if self.order.len() > WINDOW
            && let Some(oldest) = self.order.pop_front()
        {
            self.marks.remove(&oldest);
        }
        true
    }
}
