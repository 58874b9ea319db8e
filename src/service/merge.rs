//! One person's records, one from each source, into one customer (contract §3.3): a pure function.
//!
//! Merging one record is the identity, merging is associative, and nothing merged with a record changes it.

use crate::model::{AccountType, Customer, Gender, SourcedCustomer, Warning};

/// Merges in the order given; `None` where there is nothing to merge.
pub fn merge(records: impl IntoIterator<Item = SourcedCustomer>) -> Option<SourcedCustomer> {
    records.into_iter().reduce(merge_two)
}

fn merge_two(first: SourcedCustomer, second: SourcedCustomer) -> SourcedCustomer {
    let SourcedCustomer {
        customer: a,
        mut warnings,
    } = first;
    let SourcedCustomer {
        customer: b,
        warnings: more,
    } = second;
    let relations_before = a.relations.len();
    let records_before = a.records.len();
    warnings.extend(more.into_iter().filter_map(|warning| {
        let warning = shifted(warning, "/relations/", |index| Some(index + relations_before))?;
        shifted(warning, "/records/", |index| Some(index + records_before))
    }));
    let customer = Customer {
        external_user_id: a.external_user_id.or(b.external_user_id),
        union_id: a.union_id.or(b.union_id),
        name: a.name.or(b.name),
        nickname: a.nickname.or(b.nickname),
        avatar_url: a.avatar_url.or(b.avatar_url),
        location: a.location.or(b.location),
        gender: first_known(a.gender, b.gender, Gender::Unknown),
        account_type: first_known(a.account_type, b.account_type, AccountType::Unknown),
        mobiles: union(a.mobiles, b.mobiles),
        relations: concat(a.relations, b.relations),
        records: concat(a.records, b.records),
    };
    SourcedCustomer { customer, warnings }
}

/// The first that is neither null nor unknown, then unknown, then null.
fn first_known<T: PartialEq + Copy>(a: Option<T>, b: Option<T>, unknown: T) -> Option<T> {
    let known = |value: &T| *value != unknown;
    a.filter(known).or(b.filter(known)).or(a).or(b)
}

fn union(mut a: Vec<String>, b: Vec<String>) -> Vec<String> {
    for value in b {
        if !a.contains(&value) {
            a.push(value);
        }
    }
    a
}

fn concat<T>(mut a: Vec<T>, b: Vec<T>) -> Vec<T> {
    a.extend(b);
    a
}

/// Leaves the relations of one staff member; warnings about the others go with them.
pub fn narrow_to_staff(told: &mut SourcedCustomer, staff_id: &str) {
    let mut kept = Vec::new();
    let mut places = Vec::with_capacity(told.customer.relations.len());
    for relation in std::mem::take(&mut told.customer.relations) {
        let is_theirs = relation.staff_id.as_deref() == Some(staff_id);
        places.push(is_theirs.then_some(kept.len()));
        if is_theirs {
            kept.push(relation);
        }
    }
    told.customer.relations = kept;
    let warnings = std::mem::take(&mut told.warnings);
    told.warnings = warnings
        .into_iter()
        .filter_map(|warning| shifted(warning, "/relations/", |index| places.get(index).copied().flatten()))
        .collect();
}

/// Moves a warning about an element of a list to where the element went; `None` where it went nowhere.
fn shifted(mut warning: Warning, list: &str, place: impl Fn(usize) -> Option<usize>) -> Option<Warning> {
    let moved = warning
        .pointer
        .as_deref()
        .and_then(|pointer| pointer.strip_prefix(list))
        .and_then(|rest| {
            let (index, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            Some((index.parse().ok()?, tail.to_owned()))
        });
    if let Some((index, tail)) = moved {
        warning.pointer = Some(format!("{list}{}{tail}", place(index)?));
    }
    Some(warning)
}
