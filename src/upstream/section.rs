//! Reads sections of the configuration and collects every error in them, where serde stops at the first.

use config::{Map, Value, ValueKind};
use serde::de::value::Error as FieldsError;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

use super::reading::{Reason, Unreadable};

/// The keys and values of a section.
pub type Table = Map<String, Value>;

/// Reads a section, whose path is `within`. After each error the value at fault is taken out of `table` and the section is read
/// again, so that the next error shows. `None` where the section cannot be read without such a value.
pub fn read<T: DeserializeOwned>(
    loaded: &config::Config,
    within: &str,
    table: &mut Table,
    errors: &mut Vec<Unreadable>,
) -> Option<T> {
    loop {
        let error = match T::deserialize(Value::new(None, ValueKind::Table(table.clone()))) {
            Ok(section) => return Some(section),
            Err(error) => Unreadable::new(loaded, within, error),
        };
        let is_missing = matches!(error.reason, Reason::Missing);
        let path = error.key.strip_prefix(within).unwrap_or(&error.key).trim_start_matches('.').to_owned();
        // A required value that was taken out for its own error, or that is misspelt, is not missing.
        let is_known = |earlier: &Unreadable| earlier.key == error.key || earlier.suggests(&error.key);
        if !(is_missing && errors.iter().any(is_known)) {
            errors.push(error);
        }
        let at_fault = if is_missing { path.rsplit_once('.').map(|(section, _)| section) } else { Some(&*path) };
        if !at_fault.is_some_and(|path| remove(table, path)) {
            return None;
        }
    }
}

/// Removes the value at a path. Returns whether it was there.
fn remove(table: &mut Table, path: &str) -> bool {
    let below = |key: &String| {
        let rest = path.strip_prefix(key.as_str())?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then(|| key.clone())
    };
    // A key may have dots itself: the longest that fits is meant.
    let Some(key) = table.keys().filter_map(below).max_by_key(String::len) else { return false };
    if let Some(rest) = path[key.len()..].strip_prefix('.')
        && let Some(Value { kind: ValueKind::Table(section), .. }) = table.get_mut(&key)
    {
        return remove(section, rest);
    }
    table.remove(&key).is_some()
}

/// The names of the fields of a struct that derives `Deserialize`.
pub fn field_names<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Fields<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Fields<'_> {
        type Error = FieldsError;

        fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, FieldsError> {
            Err(FieldsError::custom("not a struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _name: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, FieldsError> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut names: &'static [&'static str] = &[];
    let _names_only = T::deserialize(Fields(&mut names));
    names
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use config::Source;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Section {
        number: u32,
        flag: bool,
        people: BTreeMap<String, Person>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Person {
        name: String,
        age: u32,
    }

    fn errors(text: &str) -> (Option<Section>, Vec<String>) {
        let file = config::File::from_str(text, config::FileFormat::Toml);
        let loaded = config::Config::builder().add_source(file).build().unwrap();
        let mut errors = Vec::new();
        let section = read(&loaded, "", &mut loaded.collect().unwrap(), &mut errors);
        (section, errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_error_of_a_section_is_collected() {
        let (section, errors) = errors(
            "number = -1\nflag = \"maybe\"\nnumbr = 1\n[people.a]\nname = \"A\"\nage = 1\n[people.b]\nname = [1]\nage = 1\n\
             [people.c]\nage = 1\n[people.c2]\nnmae = \"C\"\nage = 1\n[people.'d.e']\nname = \"D\"\nage = \"x\"\n",
        );
        let mut errors = errors;
        errors.sort();
        assert_eq!(
            errors,
            [
                "flag: expected a boolean",
                "number: expected a whole number of at least 0",
                "numbr: unknown key; did you mean \"number\"?",
                "people.b.name: expected a string",
                "people.c.name: is required",
                "people.c2.nmae: unknown key; did you mean \"name\"?",
                "people.d.e.age: expected a whole number",
            ]
        );
        let section = section.unwrap();
        assert_eq!(section.people, BTreeMap::from([("a".to_owned(), Person { name: "A".to_owned(), age: 1 })]));
        assert_eq!((section.number, section.flag), (0, false));
    }

    #[test]
    fn field_names_are_those_of_the_struct() {
        assert_eq!(field_names::<Section>(), ["number", "flag", "people"]);
        assert_eq!(field_names::<Person>(), ["name", "age"]);
        assert_eq!(field_names::<String>(), [""; 0]);
    }
}
