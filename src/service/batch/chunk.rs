//! Chunks of a batch: the items that one call to the source contains.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use crate::model::{FollowUp, Remark};

use super::outcome::EntryKey;

/// The most bytes of JSON that one call sends. A batch of many long notes takes more calls.
pub const MAX_CHUNK_BYTES: usize = 1 << 20;
/// Room for the JSON around the entries.
const ENVELOPE_BYTES: usize = 1 << 10;
/// The most bytes of the entries of one call.
const MAX_ENTRY_BYTES: usize = MAX_CHUNK_BYTES - ENVELOPE_BYTES;

/// The entries of one call, as the source's answer is matched with them.
pub struct Chunk {
    pub entries: Vec<Entry>,
}

/// What the source sees as one entry. It stands for one or more items.
pub struct Entry {
    pub key: EntryKey,
    /// Indices of the items.
    pub items: Vec<usize>,
}

/// A chunk that has not been sent, with its items in the order of the entries. The items are freed once it has been sent.
pub struct Pending<T> {
    pub chunk: Arc<Chunk>,
    pub items: Vec<T>,
}

/// An entry with its items, before it is put into a chunk.
pub struct Measured<T> {
    entry: Entry,
    items: Vec<T>,
    /// Bytes of its JSON.
    bytes: usize,
}

/// Makes an entry of each remark. `bytes` is the length of a remark's JSON in a call.
pub fn single(items: Vec<Remark>, bytes: impl Fn(&Remark) -> usize) -> Vec<Measured<Remark>> {
    let measured = |(index, item): (usize, Remark)| {
        let entry = Entry { key: EntryKey::new(&item.staff_id, &item.union_id), items: vec![index] };
        Measured { entry, bytes: bytes(&item), items: vec![item] }
    };
    items.into_iter().enumerate().map(measured).collect()
}

/// Makes one entry of the notes of a staff member about a customer, in the order of the items; further ones where they are too long
/// for one call. `entry_bytes` is the length of the JSON of an entry without notes, `note_bytes` that of a note.
pub fn group(
    items: Vec<FollowUp>,
    entry_bytes: impl Fn(&FollowUp) -> usize,
    note_bytes: impl Fn(&FollowUp) -> usize,
) -> Vec<Measured<FollowUp>> {
    let mut entries: Vec<Measured<FollowUp>> = Vec::new();
    let mut places: HashMap<EntryKey, usize> = HashMap::new();
    for (index, item) in items.into_iter().enumerate() {
        let bytes = note_bytes(&item);
        let key = EntryKey::new(&item.staff_id, &item.union_id);
        let place = match places.entry(key.clone()) {
            Slot::Occupied(place) if entries[*place.get()].bytes + bytes <= MAX_ENTRY_BYTES => *place.get(),
            place => {
                entries.push(Measured {
                    entry: Entry { key, items: Vec::new() },
                    items: Vec::new(),
                    bytes: entry_bytes(&item),
                });
                *place.insert_entry(entries.len() - 1).get()
            }
        };
        let entry = &mut entries[place];
        entry.entry.items.push(index);
        entry.items.push(item);
        entry.bytes += bytes;
    }
    entries
}

/// Puts entries into chunks, in their order: at most `max_batch` entries and [`MAX_CHUNK_BYTES`] each. Entries of the same key do not
/// meet in a chunk, for they did not fit together.
pub fn cut<T>(entries: Vec<Measured<T>>, max_batch: usize) -> Vec<Pending<T>> {
    let mut chunks: Vec<(Chunk, Vec<T>)> = Vec::new();
    let mut bytes = 0;
    for mut measured in entries {
        let fits = |(chunk, _): &&mut (Chunk, Vec<T>)| {
            chunk.entries.len() < max_batch && bytes + measured.bytes <= MAX_ENTRY_BYTES
        };
        if let Some((chunk, items)) = chunks.last_mut().filter(fits) {
            chunk.entries.push(measured.entry);
            items.append(&mut measured.items);
            bytes += measured.bytes;
        } else {
            chunks.push((Chunk { entries: vec![measured.entry] }, measured.items));
            bytes = measured.bytes;
        }
    }
    chunks.into_iter().map(|(chunk, items)| Pending { chunk: Arc::new(chunk), items }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn follow_up(staff: u8, customer: u8, bytes: usize) -> FollowUp {
        FollowUp {
            staff_id: format!("s{staff}"),
            union_id: format!("o{customer}"),
            content: "x".repeat(bytes),
            occurred_at: None,
        }
    }

    const ENTRY: usize = 40;
    /// A byte of content stands for so many in these tests.
    const SCALE: usize = 1_000;

    fn chunks(items: Vec<FollowUp>, max_batch: usize) -> Vec<Pending<FollowUp>> {
        cut(group(items, |_| ENTRY, |note| note.content.len() * SCALE), max_batch)
    }

    proptest! {
        #[test]
        fn every_item_is_in_exactly_one_chunk_and_no_chunk_is_too_large(
            notes in proptest::collection::vec((0_u8..20, 0_u8..40, 1_usize..60), 1..1000),
            max_batch in 1_usize..600,
        ) {
            let items: Vec<_> = notes.iter().map(|(staff, customer, bytes)| follow_up(*staff, *customer, *bytes)).collect();
            let mut seen = HashSet::new();
            for Pending { chunk, items: sent } in chunks(items.clone(), max_batch) {
                prop_assert!(!chunk.entries.is_empty() && chunk.entries.len() <= max_batch);
                let bytes = chunk.entries.len() * ENTRY + sent.iter().map(|item| item.content.len() * SCALE).sum::<usize>();
                prop_assert!(bytes <= MAX_CHUNK_BYTES - ENVELOPE_BYTES);
                let keys: HashSet<_> = chunk.entries.iter().map(|entry| entry.key.clone()).collect();
                prop_assert_eq!(keys.len(), chunk.entries.len());
                let mut sent = sent.into_iter();
                for entry in &chunk.entries {
                    prop_assert!(entry.items.is_sorted());
                    for index in &entry.items {
                        prop_assert!(seen.insert(*index));
                        prop_assert_eq!(EntryKey::new(&items[*index].staff_id, &items[*index].union_id), entry.key.clone());
                        prop_assert_eq!(sent.next(), Some(items[*index].clone()));
                    }
                }
                prop_assert_eq!(sent.next(), None);
            }
            prop_assert_eq!(seen.len(), items.len());
        }
    }

    #[test]
    fn short_notes_fill_calls_to_the_number_of_entries() {
        let items: Vec<_> = (0..1_000_u16).map(|n| follow_up(1, u8::try_from(n % 250).unwrap(), 1)).collect();
        let sizes: Vec<_> = chunks(items, 100).iter().map(|chunk| chunk.chunk.entries.len()).collect();
        assert_eq!(sizes, [100, 100, 50]);
    }

    #[test]
    fn notes_of_one_customer_that_do_not_fit_one_call_are_sent_in_several() {
        let sent = chunks((0..40).map(|_| follow_up(1, 1, 60)).collect(), 500);
        let sizes: Vec<_> = sent.iter().map(|chunk| (chunk.chunk.entries.len(), chunk.items.len())).collect();
        assert_eq!(sizes, [(1, 17), (1, 17), (1, 6)]);
    }
}
