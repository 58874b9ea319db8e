//! Which rows were sent, within a bounded window: what a page-numbered source repeats is sent once.

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
    /// Whether the row was not sent within the window. A row without any id is always new.
    pub(super) fn is_new(&mut self, customer: &Customer) -> bool {
        let record = customer.records.first();
        let id = record.and_then(|record| record.id.as_ref());
        let Some(id) = id.or(customer.external_user_id.as_ref()).or(customer.union_id.as_ref()) else {
            return true;
        };
        let mark = (self.hashers.0.hash_one(id), self.hashers.1.hash_one(id));
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
