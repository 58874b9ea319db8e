//! Values of a body: each is counted, within limits, and read by what its place expects. What no place expects is skipped.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// The most values of a body, four times those of the largest batch: an error may be reported for each.
pub(super) const MAX_VALUES: usize = 20_000;
/// The most repeated keys that are reported; a body has room for millions.
const MAX_DUPLICATES: usize = 1_000;
/// The most characters of a key that are reported; the longest key of the API has 11.
const MAX_KEY_CHARS: usize = 50;
/// The longest pointer that is reported, however deep the place is. Within an item there is room for any key.
const MAX_POINTER_BYTES: usize = 256;

/// What the parser has seen of a body so far.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) values: usize,
    /// JSON pointers of keys that their object contains more than once.
    pub(super) duplicates: Vec<String>,
}

/// The place of a value.
pub(super) struct Place<'a> {
    pub(super) pointer: String,
    pub(super) seen: &'a mut Seen,
}

/// Reads a value by its JSON type. A type that a reader does not expect is skipped.
pub(super) trait Reader<'de>: Sized {
    type Value;

    /// Returns the result for a value of an unexpected type.
    fn unexpected(self) -> Self::Value;

    fn text(self, _text: &str) -> Self::Value {
        self.unexpected()
    }

    fn list<A: SeqAccess<'de>>(self, mut list: A, place: Place<'_>) -> Result<Self::Value, A::Error> {
        skip_rest(&mut list, 0, place)?;
        Ok(self.unexpected())
    }

    fn object<A: MapAccess<'de>>(self, object: A, place: Place<'_>) -> Result<Self::Value, A::Error> {
        members(object, place, |_key, object, place| object.next_value_seed(Value(Skip, place)))?;
        Ok(self.unexpected())
    }
}

/// A value at a place, to be read by a reader.
pub(super) struct Value<'a, R>(pub(super) R, pub(super) Place<'a>);

/// Reads nothing.
pub(super) struct Skip;

impl Reader<'_> for Skip {
    type Value = ();

    fn unexpected(self) {}
}

/// Skips the elements of a list from `index` on. Returns the length of the list.
pub(super) fn skip_rest<'de, A: SeqAccess<'de>>(
    list: &mut A,
    mut index: usize,
    Place { pointer: parent, seen }: Place<'_>,
) -> Result<usize, A::Error> {
    loop {
        let pointer = format!("{parent}/{index}");
        if list.next_element_seed(Value(Skip, Place { pointer, seen: &mut *seen }))?.is_none() {
            return Ok(index);
        }
        index += 1;
    }
}

/// Reads the members of an object: `read` reads the value of a key. Returns the keys.
pub(super) fn members<'de, A: MapAccess<'de>>(
    mut object: A,
    Place { pointer: parent, seen }: Place<'_>,
    mut read: impl FnMut(&str, &mut A, Place<'_>) -> Result<(), A::Error>,
) -> Result<BTreeSet<String>, A::Error> {
    let mut keys = BTreeSet::new();
    while let Some(mut key) = object.next_key::<String>()? {
        let is_whole = !shorten(&mut key);
        let mut pointer = format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"));
        if pointer.len() > MAX_POINTER_BYTES {
            // Deeper than any field of the API: the pointer is that of the enclosing object.
            pointer.clone_from(&parent);
        }
        if is_whole && keys.contains(&key) && seen.duplicates.len() < MAX_DUPLICATES {
            seen.duplicates.push(pointer.clone());
        }
        read(&key, &mut object, Place { pointer, seen: &mut *seen })?;
        keys.insert(key);
    }
    Ok(keys)
}

/// Shortens a key that is longer than any of the API, and returns whether it did: such a key stays unknown.
fn shorten(key: &mut String) -> bool {
    let Some((end, _)) = key.char_indices().nth(MAX_KEY_CHARS) else { return false };
    key.truncate(end);
    key.push('…');
    key.shrink_to_fit();
    true
}

impl<'de, R: Reader<'de>> DeserializeSeed<'de> for Value<'_, R> {
    type Value = R::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<R::Value, D::Error> {
        self.1.seen.values += 1;
        if self.1.seen.values > MAX_VALUES {
            return Err(D::Error::custom("too many values"));
        }
        // `IgnoredAny` would neither limit the depth nor see the range of numbers.
        deserializer.deserialize_any(self)
    }
}

impl<'de, R: Reader<'de>> Visitor<'de> for Value<'_, R> {
    type Value = R::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<R::Value, E> {
        Ok(self.0.unexpected())
    }

    fn visit_bool<E>(self, _: bool) -> Result<R::Value, E> {
        Ok(self.0.unexpected())
    }

    fn visit_i64<E>(self, _: i64) -> Result<R::Value, E> {
        Ok(self.0.unexpected())
    }

    fn visit_u64<E>(self, _: u64) -> Result<R::Value, E> {
        Ok(self.0.unexpected())
    }

    fn visit_f64<E>(self, _: f64) -> Result<R::Value, E> {
        Ok(self.0.unexpected())
    }

    fn visit_str<E>(self, text: &str) -> Result<R::Value, E> {
        Ok(self.0.text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<R::Value, A::Error> {
        self.0.list(list, self.1)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<R::Value, A::Error> {
        self.0.object(object, self.1)
    }
}
