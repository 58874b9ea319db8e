//! One person's records, one from each source, into one customer (contract §3.3): a pure function.
//!
//! Merging one record is the identity, merging is associative, and nothing merged with a record changes it.

use indexmap::IndexSet;

use crate::model::{AccountType, Customer, Gender, SourcedCustomer};

/// Merges in the order given; `None` where there is nothing to merge.
pub fn merge(records: impl IntoIterator<Item = SourcedCustomer>) -> Option<SourcedCustomer> {
    records.into_iter().reduce(merge_two)
}

fn merge_two(first: SourcedCustomer, second: SourcedCustomer) -> SourcedCustomer {
    let SourcedCustomer { customer: a, mut warnings } = first;
    let SourcedCustomer { customer: b, warnings: more } = second;
    let relations_before = a.relations.len();
    let records_before = a.records.len();
    warnings.extend(more.into_iter().filter_map(|warning| {
        let warning = warning.relocated("/relations/", |index| Some(index + relations_before))?;
        warning.relocated("/records/", |index| Some(index + records_before))
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

fn union(a: Vec<String>, b: Vec<String>) -> Vec<String> {
    a.into_iter().chain(b).collect::<IndexSet<_>>().into_iter().collect()
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
        .filter_map(|warning| warning.relocated("/relations/", |index| places.get(index).copied().flatten()))
        .collect();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use proptest::{array, collection, option, sample};

    use crate::model::{Relation, SourceName, SourceRecord, Warning, WarningCode};

    use super::*;

    const STAFF: [&str; 3] = ["ann", "bob", "cai"];

    fn source(name: &str) -> SourceName {
        name.parse().unwrap()
    }

    /// `mark` tells one relation of one source from all others.
    fn relation(of: &str, staff_id: Option<&str>, mark: &str) -> Relation {
        Relation {
            source: source(of),
            staff_id: staff_id.map(str::to_owned),
            staff_name: None,
            staff_avatar_url: None,
            remark: Some(mark.to_owned()),
            added_at: None,
            channel_state: None,
            mobiles: Vec::new(),
            tags: Vec::new(),
        }
    }

    fn record(of: &str, mark: &str) -> SourceRecord {
        SourceRecord {
            source: source(of),
            id: Some(mark.to_owned()),
            type_code: None,
            created_at: None,
            updated_at: None,
            converted_at: None,
            attributes: BTreeMap::new(),
            raw: None,
        }
    }

    fn warning(of: &str, pointer: Option<String>, detail: &str) -> Warning {
        Warning { code: WarningCode::UnreadableValue, source: source(of), pointer, detail: detail.to_owned() }
    }

    /// What one source tells. The detail of a warning about a relation or a record is that element's mark.
    fn told(of: &'static str) -> impl Strategy<Value = SourcedCustomer> {
        let scalars = array::uniform6(option::of("[ab]"));
        let gender = option::of(sample::select(vec![Gender::Male, Gender::Female, Gender::Unknown]));
        let account_types = vec![AccountType::Wechat, AccountType::Wecom, AccountType::Unknown];
        let account_type = option::of(sample::select(account_types));
        let mobiles = sample::subsequence(vec!["1", "2", "3", "4"], 0..=4).prop_shuffle();
        let relations = collection::vec((option::of(sample::select(STAFF.to_vec())), any::<bool>()), 0..5);
        let records = collection::vec(any::<bool>(), 1..3);
        (scalars, gender, account_type, mobiles, relations, records).prop_map(move |parts| {
            let (scalars, gender, account_type, mobiles, relations, records) = parts;
            let [external_user_id, union_id, name, nickname, avatar_url, location] = scalars;
            let mut warnings = vec![warning(of, None, "all"), warning(of, Some("/relations".to_owned()), "all")];
            let relations = relations.into_iter().enumerate().map(|(index, (staff_id, warned))| {
                let mark = format!("{of} relation {index}");
                let pointer = Some(format!("/relations/{index}/added_at"));
                warnings.extend(warned.then(|| warning(of, pointer, &mark)));
                relation(of, staff_id, &mark)
            });
            let relations = relations.collect();
            let records = records.into_iter().enumerate().map(|(index, warned)| {
                let mark = format!("{of} record {index}");
                let pointer = Some(format!("/records/{index}/created_at"));
                warnings.extend(warned.then(|| warning(of, pointer, &mark)));
                record(of, &mark)
            });
            let records = records.collect();
            SourcedCustomer {
                customer: Customer {
                    external_user_id,
                    union_id,
                    name,
                    nickname,
                    avatar_url,
                    location,
                    gender,
                    account_type,
                    mobiles: mobiles.into_iter().map(str::to_owned).collect(),
                    relations,
                    records,
                },
                warnings,
            }
        })
    }

    /// Every warning about an element still points at the element with its mark.
    fn points_right(told: &SourcedCustomer) -> Result<(), TestCaseError> {
        let customer = serde_json::to_value(&told.customer).unwrap();
        for warning in told.warnings.iter().filter(|warning| warning.detail != "all") {
            let pointer = warning.pointer.as_deref().unwrap();
            prop_assert!(customer.pointer(pointer).is_some(), "{pointer}");
            let (element, _) = pointer.rsplit_once('/').unwrap();
            let element = customer.pointer(element).unwrap();
            let mark = element.get("remark").or(element.get("id")).unwrap();
            prop_assert_eq!(mark, &warning.detail);
        }
        Ok(())
    }

    fn merged(told: &[&SourcedCustomer]) -> SourcedCustomer {
        merge(told.iter().copied().cloned()).unwrap()
    }

    fn narrowed(told: &SourcedCustomer, staff_id: &str) -> SourcedCustomer {
        let mut told = told.clone();
        narrow_to_staff(&mut told, staff_id);
        told
    }

    #[test]
    fn nothing_merges_to_nothing() {
        assert_eq!(merge([]), None);
    }

    proptest! {
        #[test]
        fn one_record_stays_as_it_is(a in told("a")) {
            prop_assert_eq!(merged(&[&a]), a);
        }

        #[test]
        fn it_does_not_matter_which_two_are_merged_first(a in told("a"), b in told("b"), c in told("c")) {
            let all = merged(&[&a, &b, &c]);
            prop_assert_eq!(&merged(&[&merged(&[&a, &b]), &c]), &all);
            prop_assert_eq!(&merged(&[&a, &merged(&[&b, &c])]), &all);
        }

        #[test]
        fn a_scalar_is_the_first_that_is_told(a in told("a"), b in told("b"), c in told("c")) {
            let all = merged(&[&a, &b, &c]).customer;
            let parts = [&a.customer, &b.customer, &c.customer];
            let first = |of: fn(&Customer) -> &Option<String>| parts.iter().find_map(|part| of(part).clone());
            prop_assert_eq!(&all.external_user_id, &first(|part| &part.external_user_id));
            prop_assert_eq!(&all.union_id, &first(|part| &part.union_id));
            prop_assert_eq!(&all.name, &first(|part| &part.name));
            prop_assert_eq!(&all.nickname, &first(|part| &part.nickname));
            prop_assert_eq!(&all.avatar_url, &first(|part| &part.avatar_url));
            prop_assert_eq!(&all.location, &first(|part| &part.location));
        }

        #[test]
        fn an_unknown_word_yields_to_a_known_one_and_not_to_null(a in told("a"), b in told("b"), c in told("c")) {
            let all = merged(&[&a, &b, &c]).customer;
            let parts = [&a.customer, &b.customer, &c.customer];
            let genders: Vec<_> = parts.iter().filter_map(|part| part.gender).collect();
            let known = genders.iter().copied().find(|gender| *gender != Gender::Unknown);
            prop_assert_eq!(all.gender, known.or(genders.first().copied()));
            let types: Vec<_> = parts.iter().filter_map(|part| part.account_type).collect();
            let known = types.iter().copied().find(|kind| *kind != AccountType::Unknown);
            prop_assert_eq!(all.account_type, known.or(types.first().copied()));
        }

        #[test]
        fn mobiles_are_united_in_order_of_appearance_each_once(a in told("a"), b in told("b"), c in told("c")) {
            let mut expected: Vec<String> = Vec::new();
            for mobile in [&a, &b, &c].into_iter().flat_map(|part| &part.customer.mobiles) {
                if !expected.contains(mobile) {
                    expected.push(mobile.clone());
                }
            }
            prop_assert_eq!(merged(&[&a, &b, &c]).customer.mobiles, expected);
        }

        #[test]
        fn relations_and_records_follow_each_other_and_warnings_go_with_them(
            a in told("a"), b in told("b"), c in told("c"),
        ) {
            let all = merged(&[&a, &b, &c]);
            let parts = [&a, &b, &c];
            let relations: Vec<_> = parts.iter().flat_map(|part| part.customer.relations.clone()).collect();
            let records: Vec<_> = parts.iter().flat_map(|part| part.customer.records.clone()).collect();
            prop_assert_eq!(&all.customer.relations, &relations);
            prop_assert_eq!(&all.customer.records, &records);
            let details = |told: &SourcedCustomer| -> Vec<_> {
                told.warnings.iter().map(|warning| (warning.source.clone(), warning.detail.clone())).collect()
            };
            prop_assert_eq!(details(&all), parts.iter().flat_map(|part| details(part)).collect::<Vec<_>>());
            points_right(&all)?;
        }

        #[test]
        fn narrowing_leaves_the_relations_of_one_and_the_warnings_that_still_have_a_place(a in told("a"), b in told("b")) {
            let all = merged(&[&a, &b]);
            for staff_id in STAFF.into_iter().chain(["nobody"]) {
                let left = narrowed(&all, staff_id);
                let mut expected = all.customer.clone();
                expected.relations.retain(|relation| relation.staff_id.as_deref() == Some(staff_id));
                prop_assert_eq!(&left.customer, &expected);
                points_right(&left)?;
                let gone = |warning: &Warning| {
                    let about = |relation: &Relation| relation.remark.as_ref() == Some(&warning.detail);
                    all.customer.relations.iter().any(about) && !expected.relations.iter().any(about)
                };
                let details = |told: &SourcedCustomer| -> Vec<_> {
                    told.warnings.iter().filter(|warning| !gone(warning)).map(|w| w.detail.clone()).collect()
                };
                prop_assert_eq!(details(&left), details(&all));
                prop_assert_eq!(left.warnings.iter().filter(|warning| gone(warning)).count(), 0);
            }
        }

        #[test]
        fn narrowing_what_is_merged_is_merging_what_is_narrowed(a in told("a"), b in told("b")) {
            for staff_id in STAFF {
                let parts = [narrowed(&a, staff_id), narrowed(&b, staff_id)];
                prop_assert_eq!(narrowed(&merged(&[&a, &b]), staff_id), merged(&[&parts[0], &parts[1]]));
            }
        }
    }
}
