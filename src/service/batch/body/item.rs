//! Items of the batches.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use serde::de::MapAccess;

use crate::model::{FollowUp, MAX_CONTENT_CHARS, MAX_DESCRIPTION_CHARS, MAX_REMARK_CHARS, Remark};

use super::Faults;
use super::fields::{self, Field};
use super::value::{Place, Reader, Skip, Value, members};

/// An item whose fields are being read.
pub(super) trait ItemDraft: Default {
    type Item;
    const FIELDS: &'static [&'static str];

    /// Reads the value of a key, which may be unknown.
    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, object: &mut A, place: Place<'_>) -> Result<(), A::Error>;

    /// Reports the errors of the item at `pointer`. `first_of` has the first item of each staff member and customer.
    fn finish(self, pointer: &str, index: usize, first_of: &mut FirstOf, faults: &mut Faults) -> Option<Self::Item>;
}

/// The index of the first item for each staff member and customer.
pub(super) type FirstOf = HashMap<(String, String), usize>;

/// Reads an item: its draft and its keys. `None` if it is not an object.
pub(super) struct ItemReader<D>(pub(super) D);

impl<'de, D: ItemDraft> Reader<'de> for ItemReader<D> {
    type Value = Option<(D, BTreeSet<String>)>;

    fn unexpected(self) -> Self::Value {
        None
    }

    fn object<A: MapAccess<'de>>(mut self, object: A, place: Place<'_>) -> Result<Self::Value, A::Error> {
        let keys = members(object, place, |key, object, place| self.0.read(key, object, place))?;
        Ok(Some((self.0, keys)))
    }
}

#[derive(Default)]
pub(super) struct RemarkDraft {
    staff_id: Field<String>,
    union_id: Field<String>,
    remark: Field<String>,
    description: Field<String>,
}

impl ItemDraft for RemarkDraft {
    type Item = Remark;
    const FIELDS: &'static [&'static str] = &["staff_id", "union_id", "remark", "description"];

    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, object: &mut A, place: Place<'_>) -> Result<(), A::Error> {
        match key {
            "staff_id" => self.staff_id.read(object, place, fields::id),
            "union_id" => self.union_id.read(object, place, fields::id),
            "remark" => self.remark.read(object, place, fields::text::<MAX_REMARK_CHARS>),
            "description" => self.description.read(object, place, fields::text::<MAX_DESCRIPTION_CHARS>),
            _ => object.next_value_seed(Value(Skip, place)),
        }
    }

    fn finish(self, pointer: &str, index: usize, first_of: &mut FirstOf, faults: &mut Faults) -> Option<Remark> {
        let is_filled = self.remark.is_filled() || self.description.is_filled();
        let staff_id = self.staff_id.required(pointer, "staff_id", faults);
        let union_id = self.union_id.required(pointer, "union_id", faults);
        let remark = self.remark.optional(pointer, "remark", faults);
        let description = self.description.optional(pointer, "description", faults);
        if !is_filled {
            let detail = "at least one of remark and description is present, and not both are empty";
            faults.add(pointer.to_owned(), "missing", detail);
        }
        let (staff_id, union_id) = (staff_id?, union_id?);
        let first = *first_of.entry((staff_id.clone(), union_id.clone())).or_insert(index);
        if first != index {
            let detail = format!("is for the same staff member and customer as item {first}");
            faults.add(pointer.to_owned(), "duplicate", detail);
        }
        Some(Remark { staff_id, union_id, remark, description })
    }
}

#[derive(Default)]
pub(super) struct FollowUpDraft {
    staff_id: Field<String>,
    union_id: Field<String>,
    content: Field<String>,
    occurred_at: Field<Timestamp>,
}

impl ItemDraft for FollowUpDraft {
    type Item = FollowUp;
    const FIELDS: &'static [&'static str] = &["staff_id", "union_id", "content", "occurred_at"];

    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, object: &mut A, place: Place<'_>) -> Result<(), A::Error> {
        match key {
            "staff_id" => self.staff_id.read(object, place, fields::id),
            "union_id" => self.union_id.read(object, place, fields::id),
            "content" => self.content.read(object, place, fields::filled_text::<MAX_CONTENT_CHARS>),
            "occurred_at" => self.occurred_at.read(object, place, fields::time),
            _ => object.next_value_seed(Value(Skip, place)),
        }
    }

    fn finish(self, pointer: &str, _index: usize, _first_of: &mut FirstOf, faults: &mut Faults) -> Option<FollowUp> {
        let staff_id = self.staff_id.required(pointer, "staff_id", faults);
        let union_id = self.union_id.required(pointer, "union_id", faults);
        let content = self.content.required(pointer, "content", faults);
        let occurred_at = self.occurred_at.optional(pointer, "occurred_at", faults);
        Some(FollowUp { staff_id: staff_id?, union_id: union_id?, content: content?, occurred_at })
    }
}
