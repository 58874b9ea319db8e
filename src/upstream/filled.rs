//! For the adapters' tests and the fuzzer: what a customer has, to be held against what an adapter says that it can fill, and
//! what holds of every customer.

#[cfg(test)]
use std::collections::BTreeSet;
use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

#[cfg(test)]
use serde_json::Value;

#[cfg(test)]
use proptest::prelude::{Just, Strategy, any, prop_oneof};

#[cfg(test)]
use super::lenient::{Items, Lenient};
#[cfg(test)]
use crate::model::Customer;
use crate::model::SourcedCustomer;

/// A field of this value, absent or unreadable.
#[cfg(test)]
pub fn lenient<T: Clone + Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Lenient<T>> {
    prop_oneof![1 => Just(Lenient::Absent), 1 => Just(Lenient::Unreadable), 6 => value.prop_map(Lenient::Value)]
}

/// A short list, of which something may be unreadable.
#[cfg(test)]
pub fn list<T: Debug>(item: impl Strategy<Value = T>) -> impl Strategy<Value = Items<T>> {
    let items = proptest::collection::vec(item, 0..6);
    (items, any::<bool>()).prop_map(|(items, unreadable)| Items { items, unreadable })
}

/// The fields that hold something, as `fields` of an operation spells them. Provenance, which every adapter fills, and
/// the raw form, which is none of the customer's fields, are left out.
#[cfg(test)]
pub fn filled(customer: &Customer) -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    collect("", &serde_json::to_value(customer).unwrap(), &mut fields);
    fields
}

#[cfg(test)]
fn collect(path: &str, value: &Value, fields: &mut BTreeSet<String>) {
    match value {
        Value::Null => {}
        Value::Array(elements) if elements.iter().any(Value::is_object) => {
            for element in elements {
                collect(path, element, fields);
            }
        }
        Value::Array(elements) if elements.is_empty() => {}
        // Which keys the attributes have is the source's affair.
        Value::Object(members) if path != "records.attributes" => {
            for (name, value) in members.iter().filter(|(name, _)| *name != "source" && *name != "raw") {
                let dot = if path.is_empty() { "" } else { "." };
                collect(&format!("{path}{dot}{name}"), value, fields);
            }
        }
        Value::Object(members) if members.is_empty() => {}
        _ => {
            fields.insert(path.to_owned());
        }
    }
}

/// What holds of everything that an adapter makes: values once, no empty texts in lists, and warnings that point at what
/// is there.
pub fn assert_well_made(told: &SourcedCustomer) {
    let customer = serde_json::to_value(&told.customer).expect("a customer has a JSON form");
    let mobiles: HashSet<&String> = assert_once(&told.customer.mobiles);
    for relation in &told.customer.relations {
        assert_once(&relation.tags);
        let of_relation = assert_once(&relation.mobiles);
        assert!(of_relation.is_subset(&mobiles) && !of_relation.contains(&String::new()));
    }
    assert_once(&told.customer.relations);
    assert_once(&told.warnings);
    for warning in &told.warnings {
        let pointer = warning.pointer.as_deref().expect("a warning points at something");
        assert!(customer.pointer(pointer).is_some(), "{pointer} in {customer}");
    }
}

fn assert_once<T: Eq + Hash + Debug>(values: &[T]) -> HashSet<&T> {
    let once: HashSet<&T> = values.iter().collect();
    assert_eq!(once.len(), values.len(), "some are there twice: {values:?}");
    once
}
