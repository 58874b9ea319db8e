//! Readers for what vendors send: absent, null, empty and numbers in strings are all forms of the same thing.

use std::hash::Hash;
use std::marker::PhantomData;

use indexmap::IndexSet;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A text; absent, null and `""` are `None`.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()))
}

/// A list; absent and null are empty.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<List<T>>::deserialize(deserializer)?.map(|list| list.0).unwrap_or_default())
}

/// A list of objects; absent and null are empty.
pub fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Object::all(list(deserializer)?))
}

/// An integer, also as a numeric string; absent, null and `""` are `None`.
pub fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    match code(deserializer)? {
        None => Ok(None),
        Some(code) => code.0.parse().map(Some).map_err(|_| de::Error::custom("expected an integer")),
    }
}

/// A code or an id, as a number or a string; absent, null and `""` are `None`.
pub fn code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Code>, D::Error> {
    Ok(Option::<Code>::deserialize(deserializer)?.filter(|code| !code.0.is_empty()))
}

/// A code or an id in its decimal or textual form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Code(pub String);

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CodeVisitor;
        impl Visitor<'_> for CodeVisitor {
            type Value = Code;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an integer or a string")
            }
            fn visit_i64<E>(self, value: i64) -> Result<Code, E> {
                Ok(Code(value.to_string()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Code, E> {
                Ok(Code(value.to_string()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Code, E> {
                Ok(Code(value.trim().to_owned()))
            }
        }
        deserializer.deserialize_any(CodeVisitor)
    }
}

/// The most elements of one list: ten times the largest page that a source is asked for. Elements may be much smaller in
/// an answer than what is made of them, so the size of the answer alone does not bound that.
pub const MAX_ELEMENTS: usize = 10_000;

/// What is said of a list that is longer.
pub const TOO_MANY: &str = "too many elements";

/// A list that is read up to [`MAX_ELEMENTS`].
#[derive(Debug)]
pub struct List<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = List<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<List<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = elements.next_element()? {
                    if list.len() == MAX_ELEMENTS {
                        return Err(de::Error::custom(TOO_MANY));
                    }
                    list.push(element);
                }
                Ok(List(list))
            }
        }
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

/// An object. A derived struct alone reads an array too, its elements as the fields in the order in which we happen to
/// declare them; what a source sends as an array where an object belongs is no such thing.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<T> Object<T> {
    pub fn all(objects: Vec<Self>) -> Vec<T> {
        objects.into_iter().map(|object| object.0).collect()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// So many values are held against each other; of more each is found by its hash, for a source decides how many there are.
const FEW: usize = 16;

/// Each value once, in order of first appearance.
pub fn distinct<T: Eq + Hash>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values = values.into_iter();
    let mut kept = Vec::new();
    while kept.len() < FEW {
        match values.next() {
            Some(value) if kept.contains(&value) => {}
            Some(value) => kept.push(value),
            None => return kept,
        }
    }
    kept.into_iter().chain(values).collect::<IndexSet<T>>().into_iter().collect()
}

/// Each text once, in order of first appearance, empty ones left out.
pub fn distinct_texts(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    distinct(texts.into_iter().filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn few_or_many_each_is_there_once_and_where_it_first_was(values in vec(0_u8..60, 0..200)) {
            let first = |(index, value): (usize, &u8)| (!values[..index].contains(value)).then_some(*value);
            let expected: Vec<u8> = values.iter().enumerate().filter_map(first).collect();
            prop_assert_eq!(distinct(values.iter().copied()), expected);
        }
    }

    #[test]
    fn a_list_is_read_up_to_its_bound() {
        let read = |elements: usize| serde_json::from_str::<List<u8>>(&format!("[{}0]", "0,".repeat(elements - 1)));
        assert_eq!(read(MAX_ELEMENTS).unwrap().0.len(), MAX_ELEMENTS);
        assert!(read(MAX_ELEMENTS + 1).unwrap_err().to_string().starts_with(TOO_MANY));
    }
}
