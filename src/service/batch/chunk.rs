//! What goes out together, and in which form.

use std::collections::HashMap;

use crate::model::FollowUp;

use super::outcome::EntryKey;

/// Items that go out together. `entries` are what the source sees; each stands for one or more items.
pub struct Chunk {
    pub entries: Vec<Entry>,
}

pub struct Entry {
    pub key: EntryKey,
    /// Indices of the items that it stands for.
    pub items: Vec<usize>,
}

pub fn cut(entries: Vec<Entry>, max_batch: usize) -> Vec<Chunk> {
    let mut chunks = Vec::with_capacity(entries.len().div_ceil(max_batch));
    let mut entries = entries.into_iter().peekable();
    while entries.peek().is_some() {
        chunks.push(Chunk { entries: entries.by_ref().take(max_batch).collect() });
    }
    chunks
}

/// The notes of one staff member about one customer go into one entry, in the order of the items.
pub fn group(items: &[FollowUp]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut places = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        let place = *places.entry((&item.staff_id, &item.union_id)).or_insert_with(|| {
            entries.push(Entry { key: EntryKey::new(&item.staff_id, &item.union_id), items: Vec::new() });
            entries.len() - 1
        });
        entries[place].items.push(index);
    }
    entries
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn follow_up(staff: u8, customer: u8, n: usize) -> FollowUp {
        FollowUp {
            staff_id: format!("s{staff}"),
            union_id: format!("o{customer}"),
            content: format!("note {n}"),
            occurred_at: None,
        }
    }

    proptest! {
        #[test]
        fn every_item_is_in_exactly_one_chunk_and_no_chunk_is_too_large(
            pairs in proptest::collection::vec((0_u8..20, 0_u8..40), 1..1000),
            max_batch in 1_usize..600,
        ) {
            let items: Vec<_> = pairs.iter().enumerate().map(|(n, (s, c))| follow_up(*s, *c, n)).collect();
            let chunks = cut(group(&items), max_batch);
            let mut seen = HashSet::new();
            let mut keys = HashSet::new();
            for chunk in &chunks {
                prop_assert!(!chunk.entries.is_empty() && chunk.entries.len() <= max_batch);
                for entry in &chunk.entries {
                    prop_assert!(keys.insert((entry.key.staff_id.clone(), entry.key.union_id.clone())));
                    prop_assert!(entry.items.is_sorted());
                    for index in &entry.items {
                        prop_assert!(seen.insert(*index));
                        prop_assert_eq!(&items[*index].staff_id, &entry.key.staff_id);
                        prop_assert_eq!(&items[*index].union_id, &entry.key.union_id);
                    }
                }
            }
            prop_assert_eq!(seen.len(), items.len());
            prop_assert_eq!(chunks.len(), keys.len().div_ceil(max_batch));
        }
    }
}
