//! Readers for what vendors send: absent, null, empty and numbers in strings are all forms of the same thing.

use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A text; absent, null and `""` are `None`.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()))
}

/// A list; absent and null are empty.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
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

/// Each value once, in order of first appearance.
pub fn distinct<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut kept = Vec::new();
    for value in values {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept
}

/// Each text once, in order of first appearance, empty ones left out.
pub fn distinct_texts(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    distinct(texts.into_iter().filter(|text| !text.is_empty()))
}
