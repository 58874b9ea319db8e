//! Lenient readers of vendors' JSON: values count, not their spelling.
//!
//! Absent, null and `""` are the same. Numbers may be texts, floats or in exponent form, texts may be numbers, a list may be a
//! single value or JSON inside a text. A value that cannot be read becomes [`Lenient::Unreadable`] and fails nothing else.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use indexmap::IndexSet;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::repair;

/// A field as a vendor sent it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Lenient<T> {
    /// Not sent, null or `""`.
    #[default]
    Absent,
    Value(T),
    /// Sent in a form that cannot be read as a `T`.
    Unreadable,
}

impl<T> Lenient<T> {
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Unreadable => None,
        }
    }

    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Lenient<U> {
        match self {
            Self::Absent => Lenient::Absent,
            Self::Value(value) => Lenient::Value(convert(value)),
            Self::Unreadable => Lenient::Unreadable,
        }
    }

    fn or_unreadable(value: Option<T>) -> Self {
        value.map_or(Self::Unreadable, Self::Value)
    }
}

/// A JSON value that holds no other.
#[derive(Debug, Clone, Copy)]
pub enum Scalar<'a> {
    Bool,
    Integer(i128),
    Float(f64),
    Text(&'a str),
}

/// The largest magnitude up to which every integer has a float of its own. A larger float may stand for several integers, so
/// an id must not be made of it.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

impl Scalar<'_> {
    /// The integer that it stands for, in decimal.
    fn integer(self) -> Option<i128> {
        match self {
            Self::Bool => None,
            Self::Integer(integer) => Some(integer),
            Self::Float(float) => exact_integer(float),
            Self::Text(text) => {
                let text = text.trim();
                let is_decimal = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
                text.parse().ok().or_else(|| {
                    let float = Some(text).filter(|text| text.bytes().all(is_decimal))?.parse().ok()?;
                    exact_integer(float)
                })
            }
        }
    }

    /// Its text; `None` for a boolean, and for a number that has none which is certain.
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.to_owned()),
            Self::Float(float) if float.fract() != 0.0 => Some(float.to_string()),
            _ => self.integer().map(|integer| integer.to_string()),
        }
    }

    fn is_empty(self) -> bool {
        matches!(self, Self::Text(text) if text.trim().is_empty())
    }
}

fn exact_integer(float: f64) -> Option<i128> {
    #[expect(clippy::cast_possible_truncation, reason = "it is a whole number below 2^53")]
    (float.fract() == 0.0 && float.abs() < MAX_EXACT).then_some(float as i128)
}

/// A type that a vendor's value is read as. Errors are those of the JSON's syntax alone.
pub trait FromVendor: Sized {
    fn from_scalar(scalar: Scalar<'_>) -> Lenient<Self> {
        if scalar.is_empty() { Lenient::Absent } else { Lenient::Unreadable }
    }

    fn from_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Lenient<Self>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Lenient::Unreadable)
    }

    fn from_seq<'de, A: SeqAccess<'de>>(seq: A) -> Result<Lenient<Self>, A::Error> {
        skip(seq)?;
        Ok(Lenient::Unreadable)
    }
}

fn skip<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

impl FromVendor for String {
    fn from_scalar(scalar: Scalar<'_>) -> Lenient<Self> {
        match scalar {
            Scalar::Text("") => Lenient::Absent,
            _ => Lenient::or_unreadable(scalar.text()),
        }
    }
}

impl FromVendor for i64 {
    fn from_scalar(scalar: Scalar<'_>) -> Lenient<Self> {
        if scalar.is_empty() {
            return Lenient::Absent;
        }
        Lenient::or_unreadable(scalar.integer().and_then(|integer| Self::try_from(integer).ok()))
    }
}

/// An id in its decimal or textual form, without surrounding blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id(pub String);

impl FromVendor for Id {
    fn from_scalar(scalar: Scalar<'_>) -> Lenient<Self> {
        if scalar.is_empty() {
            return Lenient::Absent;
        }
        let text = match scalar {
            Scalar::Text(text) => Some(text.trim().to_owned()),
            _ => scalar.integer().map(|integer| integer.to_string()),
        };
        Lenient::or_unreadable(text.map(Self))
    }
}

/// A code, by its value where it is a whole number (`1.0` and `"1"` are `1`), else as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code(pub String);

impl Code {
    /// The number, where it is one.
    pub fn number(&self) -> Option<i64> {
        self.0.parse().ok()
    }
}

impl FromVendor for Code {
    fn from_scalar(scalar: Scalar<'_>) -> Lenient<Self> {
        if scalar.is_empty() {
            return Lenient::Absent;
        }
        match (scalar.integer(), scalar) {
            (Some(integer), _) => Lenient::Value(Self(integer.to_string())),
            (None, Scalar::Text(text)) => Lenient::Value(Self(text.trim().to_owned())),
            (None, _) => Lenient::Unreadable,
        }
    }
}

/// Reads types that derive `Deserialize` from JSON objects, also from one as JSON inside a text. A derived struct alone would read an array too, its elements as the
/// fields in the order of their declaration.
macro_rules! from_object {
    ($($type:ty),+) => {$(
        impl $crate::upstream::lenient::FromVendor for $type {
            fn from_scalar(scalar: $crate::upstream::lenient::Scalar<'_>) -> $crate::upstream::lenient::Lenient<Self> {
                $crate::upstream::lenient::object_in_text(scalar)
            }

            fn from_map<'de, A: serde::de::MapAccess<'de>>(
                map: A,
            ) -> Result<$crate::upstream::lenient::Lenient<Self>, A::Error> {
                let object = serde::de::value::MapAccessDeserializer::new(map);
                serde::Deserialize::deserialize(object).map($crate::upstream::lenient::Lenient::Value)
            }
        }
    )+};
}
pub(super) use from_object;

/// Parses the JSON inside a text, after a repair if need be.
fn in_text<T: DeserializeOwned>(json: &str) -> Option<T> {
    serde_json::from_str(json).or_else(|_| serde_json::from_str(&repair::json(json).json)).ok()
}

/// Reads an object that stands as JSON inside a text.
pub fn object_in_text<T: FromVendor>(scalar: Scalar<'_>) -> Lenient<T> {
    match scalar {
        Scalar::Text(text) if text.trim_start().starts_with('{') => in_text(text).unwrap_or(Lenient::Unreadable),
        _ if scalar.is_empty() => Lenient::Absent,
        _ => Lenient::Unreadable,
    }
}

impl<'de, T: FromVendor> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LenientVisitor<T>(PhantomData<T>);
        impl<'de, T: FromVendor> Visitor<'de> for LenientVisitor<T> {
            type Value = Lenient<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_unit<E>(self) -> Result<Lenient<T>, E> {
                Ok(Lenient::Absent)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Lenient<T>, E> {
                Ok(T::from_scalar(Scalar::Bool))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Lenient<T>, E> {
                Ok(T::from_scalar(Scalar::Integer(value.into())))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Lenient<T>, E> {
                Ok(T::from_scalar(Scalar::Integer(value.into())))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Lenient<T>, E> {
                Ok(T::from_scalar(Scalar::Float(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<Lenient<T>, E> {
                Ok(T::from_scalar(Scalar::Text(value)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Lenient<T>, A::Error> {
                T::from_seq(seq)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Lenient<T>, A::Error> {
                T::from_map(map)
            }
        }
        deserializer.deserialize_any(LenientVisitor(PhantomData))
    }
}

/// The most elements of one list: ten times the largest page that a source is asked for. Elements may be much smaller in
/// an answer than what is made of them, so the size of the answer alone does not bound that.
pub const MAX_ELEMENTS: usize = 10_000;

/// A list as a vendor sent it: an array, a single value, or either as JSON inside a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Items<T> {
    /// The elements that could be read, at most [`MAX_ELEMENTS`]; absent and empty ones are left out.
    pub items: Vec<T>,
    /// Whether something of the list could not be read and was left out.
    pub unreadable: bool,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { items: Vec::new(), unreadable: false }
    }
}

impl<T> From<Lenient<T>> for Items<T> {
    fn from(single: Lenient<T>) -> Self {
        let unreadable = matches!(single, Lenient::Unreadable);
        Self { items: single.value().into_iter().collect(), unreadable }
    }
}

impl<T: FromVendor> Items<T> {
    fn from_scalar(scalar: Scalar<'_>) -> Self {
        let json = match scalar {
            Scalar::Text(text) => Some(text.trim()).filter(|text| text.starts_with(['[', '{'])),
            _ => None,
        };
        match json {
            Some(json) => in_text(json).unwrap_or_else(|| Lenient::Unreadable.into()),
            None => T::from_scalar(scalar).into(),
        }
    }
}

impl<'de, T: FromVendor> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Lenient::<Self>::deserialize(deserializer)?.value().unwrap_or_default())
    }
}

impl<T: FromVendor> FromVendor for Items<T> {
    fn from_scalar(scalar: Scalar<'_>) -> Lenient<Self> {
        Lenient::Value(Self::from_scalar(scalar))
    }

    fn from_map<'de, A: MapAccess<'de>>(map: A) -> Result<Lenient<Self>, A::Error> {
        Ok(Lenient::Value(T::from_map(map)?.into()))
    }

    fn from_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Lenient<Self>, A::Error> {
        let mut list = Self::default();
        while list.items.len() < MAX_ELEMENTS {
            match seq.next_element::<Lenient<T>>()? {
                Some(Lenient::Value(item)) => list.items.push(item),
                Some(Lenient::Absent) => {}
                Some(Lenient::Unreadable) => list.unreadable = true,
                None => return Ok(Lenient::Value(list)),
            }
        }
        if seq.next_element::<IgnoredAny>()?.is_some() {
            list.unreadable = true;
            skip(seq)?;
        }
        Ok(Lenient::Value(list))
    }
}

/// Linear search up to this many values, a hash set beyond: the source controls the count.
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

    fn read<T: FromVendor>(json: &str) -> Lenient<T> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn integer_is_read_by_value() {
        for json in ["1604048292000", "1.604048292E12", "1604048292000.0", "\"1604048292000\"", "\" 1.604048292e12 \""]
        {
            assert_eq!(read(json), Lenient::Value(1_604_048_292_000_i64), "{json}");
        }
        for json in ["null", "\"\"", "\" \""] {
            assert_eq!(read::<i64>(json), Lenient::Absent, "{json}");
        }
        for json in
            ["1.5", "\"M\"", "\"inf\"", "true", "[1]", "{}", "1e30", "18446744073709551615", "9007199254740993.0"]
        {
            assert_eq!(read::<i64>(json), Lenient::Unreadable, "{json}");
        }
    }

    #[test]
    fn id_keeps_digits_and_refuses_inexact_floats() {
        for (json, id) in [
            ("398923388842048", "398923388842048"),
            ("398923388842048.0", "398923388842048"),
            ("3.98923388842048E14", "398923388842048"),
            ("18446744073709551615", "18446744073709551615"),
            ("\" wm-one \"", "wm-one"),
            ("\"1e5\"", "1e5"),
        ] {
            assert_eq!(read(json), Lenient::Value(Id(id.to_owned())), "{json}");
        }
        for json in ["1.2345678901234567e18", "1.5", "true", "[1]", "{\"id\": 1}"] {
            assert_eq!(read::<Id>(json), Lenient::Unreadable, "{json}");
        }
    }

    #[test]
    fn code_is_compared_by_value() {
        for (json, code) in [("1", "1"), ("1.0", "1"), ("\"1\"", "1"), ("\"1.0\"", "1"), ("-0.0", "0"), ("\"M\"", "M")]
        {
            assert_eq!(read(json), Lenient::Value(Code(code.to_owned())), "{json}");
        }
        assert_eq!(read::<Code>("1.5"), Lenient::Unreadable);
    }

    #[test]
    fn list_may_be_single_value_or_json_in_text() {
        let list = |json: &str| read::<Items<String>>(json).value().unwrap_or_default();
        for json in ["[\"1\", null, \"\", 2]", "\"[\\\"1\\\", 2]\"", "[1, 2.0]"] {
            assert_eq!(list(json), Items { items: vec!["1".to_owned(), "2".to_owned()], unreadable: false }, "{json}");
        }
        for json in ["\"1\"", "1", "[1]"] {
            assert_eq!(list(json), Items { items: vec!["1".to_owned()], unreadable: false }, "{json}");
        }
        for json in ["null", "\"\"", "[]", "\"[]\""] {
            assert_eq!(list(json), Items::default(), "{json}");
        }
        assert_eq!(list("[1, {}, [2]]"), Items { items: vec!["1".to_owned()], unreadable: true });
        for json in ["{}", "true", "\"[1\""] {
            assert_eq!(list(json), Items { items: Vec::new(), unreadable: true }, "{json}");
        }
    }

    #[test]
    fn list_is_truncated_at_its_bound() {
        let list = |elements: usize| read::<Items<i64>>(&format!("[{}0]", "0,".repeat(elements - 1))).value().unwrap();
        assert!(!list(MAX_ELEMENTS).unreadable);
        let longer = list(MAX_ELEMENTS + 5);
        assert_eq!((longer.items.len(), longer.unreadable), (MAX_ELEMENTS, true));
    }
}
