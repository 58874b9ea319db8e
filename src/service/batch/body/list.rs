//! The object of a body, and its list of items.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use serde::de::{MapAccess, SeqAccess};

use crate::model::{MAX_BATCH_ITEMS, Problem};

use super::Faults;
use super::item::{FirstOf, ItemDraft, ItemReader};
use super::value::{Place, Reader, Skip, Value, members, skip_rest};

/// The items of a body, as far as they have been read.
#[derive(Default)]
pub(super) enum ItemList<D: ItemDraft> {
    #[default]
    Missing,
    WrongType,
    Read {
        items: Vec<D::Item>,
        count: usize,
        faults: Faults,
    },
}

impl<D: ItemDraft> ItemList<D> {
    /// Returns the items, if there is nothing wrong with them and no error was found elsewhere.
    pub(super) fn finish(self, mut faults: Faults) -> Result<Vec<D::Item>, Problem> {
        let place = "/items".to_owned();
        match self {
            Self::Missing => faults.add(place, "missing", "is required"),
            Self::WrongType => faults.add(place, "wrong_type", "expected a list"),
            Self::Read { count: 0, .. } => faults.add(place, "empty", "expected 1 to 1000 items"),
            Self::Read { count, .. } if count > MAX_BATCH_ITEMS => {
                // One error is enough: the caller has to split the batch before the other errors matter.
                let detail = format!("expected 1 to {MAX_BATCH_ITEMS} items, there are {count}");
                faults.add(place, "too_many", detail);
            }
            Self::Read { items, faults: more, .. } => {
                faults.append(more);
                return faults.result(items);
            }
        }
        faults.result(Vec::new())
    }
}

/// Reads the object of a body into its list, and returns its keys; `None` if it is not an object.
pub(super) struct Document<'a, D: ItemDraft>(pub(super) &'a mut ItemList<D>);

impl<'de, D: ItemDraft> Reader<'de> for Document<'_, D> {
    type Value = Option<BTreeSet<String>>;

    fn unexpected(self) -> Self::Value {
        None
    }

    fn object<A: MapAccess<'de>>(self, object: A, place: Place<'_>) -> Result<Self::Value, A::Error> {
        let read = |key: &str, object: &mut A, place: Place<'_>| match key {
            "items" => {
                // A repeated list replaces the one before, which is freed first.
                *self.0 = ItemList::Missing;
                *self.0 = object.next_value_seed(Value(ListReader(PhantomData), place))?;
                Ok(())
            }
            _ => object.next_value_seed(Value(Skip, place)),
        };
        members(object, place, read).map(Some)
    }
}

/// Reads the list of items.
struct ListReader<D>(PhantomData<D>);

impl<'de, D: ItemDraft> Reader<'de> for ListReader<D> {
    type Value = ItemList<D>;

    fn unexpected(self) -> ItemList<D> {
        ItemList::WrongType
    }

    fn list<A: SeqAccess<'de>>(self, mut list: A, place: Place<'_>) -> Result<ItemList<D>, A::Error> {
        let (mut items, mut faults) = (Vec::new(), Faults::default());
        let mut first_of = FirstOf::new();
        for index in 0..MAX_BATCH_ITEMS {
            let pointer = format!("{}/{index}", place.pointer);
            let at = Place { pointer: pointer.clone(), seen: &mut *place.seen };
            let item = match list.next_element_seed(Value(ItemReader(D::default()), at))? {
                None => return Ok(ItemList::Read { items, count: index, faults }),
                Some(None) => {
                    faults.add(pointer, "wrong_type", "expected an object");
                    continue;
                }
                Some(Some((draft, keys))) => {
                    faults.unknown_keys(&pointer, keys.iter(), D::FIELDS);
                    draft.finish(&pointer, index, &mut first_of, &mut faults)
                }
            };
            match item {
                Some(item) if faults.is_empty() => items.push(item),
                // The batch is refused: its items are of no use.
                _ => items = Vec::new(),
            }
        }
        let count = skip_rest(&mut list, MAX_BATCH_ITEMS, place)?;
        Ok(ItemList::Read { items, count, faults })
    }
}
