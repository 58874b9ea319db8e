//! Heap memory of stored values, as the program's allocator hands it out.
//!
//! A limit of bytes is of use only if what counts against it is what the process has to hold. The length of a record's JSON says
//! little about that: a record of many short texts takes several times as much.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{
    Attribute, AttributeValue, Customer, Fault, Meta, Problem, Relation, ShortProblem, SourceName, SourceRecord,
    SourceReport, SourcedCustomer, Tag, UpstreamReply, Warning,
};

/// Bytes that the allocator takes for a block of this size: a multiple of 16, above 128 bytes one of four sizes to each power of two.
pub(super) const fn block(size: usize) -> usize {
    if size <= 128 {
        return size.next_multiple_of(16);
    }
    size.next_multiple_of(size.next_power_of_two() / 8)
}

/// A value with memory on the heap.
pub(super) trait Weigh {
    /// Bytes on the heap, beside those of the value itself.
    fn heap_bytes(&self) -> usize;
}

impl Weigh for String {
    fn heap_bytes(&self) -> usize {
        block(self.capacity())
    }
}

/// Names are shared with the source, which has them anyway.
impl Weigh for SourceName {
    fn heap_bytes(&self) -> usize {
        0
    }
}

impl<T: Weigh> Weigh for Option<T> {
    fn heap_bytes(&self) -> usize {
        self.as_ref().map_or(0, Weigh::heap_bytes)
    }
}

impl<T: Weigh> Weigh for [T] {
    fn heap_bytes(&self) -> usize {
        self.iter().map(Weigh::heap_bytes).sum()
    }
}

impl<T: Weigh> Weigh for Vec<T> {
    fn heap_bytes(&self) -> usize {
        block(self.capacity() * size_of::<T>()) + self.as_slice().heap_bytes()
    }
}

impl<T: Weigh> Weigh for Box<T> {
    fn heap_bytes(&self) -> usize {
        block(size_of::<T>()) + T::heap_bytes(self)
    }
}

impl<T: Weigh> Weigh for Box<[T]> {
    fn heap_bytes(&self) -> usize {
        block(size_of_val::<[T]>(self)) + <[T]>::heap_bytes(self)
    }
}

/// The only holder counts for all: a record is shared with requests for a moment only.
impl<T: Weigh> Weigh for Arc<T> {
    fn heap_bytes(&self) -> usize {
        block(2 * size_of::<usize>() + size_of::<T>()) + T::heap_bytes(self)
    }
}

/// Its nodes have room for 11 entries, and are half full at worst.
impl<K: Weigh, V: Weigh> Weigh for BTreeMap<K, V> {
    fn heap_bytes(&self) -> usize {
        let node = block(11 * (size_of::<K>() + size_of::<V>()) + 2 * size_of::<usize>());
        let nodes = self.len().div_ceil(5);
        nodes * node + self.iter().map(|(key, value)| key.heap_bytes() + value.heap_bytes()).sum::<usize>()
    }
}

/// Implements [`Weigh`] as the sum over the named fields. A field that is not named does not compile; those after `;` have no memory on
/// the heap.
macro_rules! weigh {
    ($($type:ident { $($heap:ident),* ; $($flat:ident),* })*) => {$(
        impl Weigh for $type {
            fn heap_bytes(&self) -> usize {
                let Self { $($heap,)* $($flat: _,)* } = self;
                0 $(+ $heap.heap_bytes())*
            }
        }
    )*};
}

weigh! {
    SourcedCustomer { customer, warnings; }
    Customer {
        external_user_id, union_id, name, nickname, avatar_url, location, mobiles, relations, records;
        gender, account_type
    }
    Relation {
        source, staff_id, staff_name, staff_avatar_url, remark, channel_state, mobiles, tags;
        added_at
    }
    Tag { id, name, group; scope }
    // The raw JSON is never stored.
    SourceRecord { source, id, attributes; type_code, created_at, updated_at, converted_at, raw }
    Attribute { value; kind, type_code }
    Warning { source, pointer, detail; code }
    Meta { sources, warnings; }
    SourceReport { source, problem; status, fetched_at }
    ShortProblem { detail, upstream; code, retryable }
    UpstreamReply { code, message; }
    Fault { pointer, parameter, detail; code }
    Problem {
        kind, title, detail, request_id, source, upstream, errors, challenge;
        status, code, retryable, retry_after, is_final
    }
}

impl Weigh for AttributeValue {
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.heap_bytes(),
            Self::List(list) => list.heap_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_as_large_as_the_allocators_size_classes() {
        let sizes = [(0, 0), (1, 16), (16, 16), (17, 32), (128, 128), (129, 160), (160, 160), (161, 192), (256, 256)];
        for (size, expected) in sizes {
            assert_eq!(block(size), expected, "{size}");
        }
        assert_eq!((block(257), block(1_000), block(1_025)), (320, 1_024, 1_280));
    }

    #[test]
    fn capacity_counts_and_nested_values_do() {
        let mut tag = Tag { id: None, name: Some("n".repeat(20)), group: None, scope: crate::model::TagScope::Corp };
        assert_eq!(tag.heap_bytes(), 32);
        tag.id = Some(String::with_capacity(300));
        assert_eq!(tag.heap_bytes(), 32 + 320);
        let mut tags = vec![tag];
        tags.reserve_exact(3);
        assert_eq!(tags.heap_bytes(), block(4 * size_of::<Tag>()) + 32 + 320);
    }
}
