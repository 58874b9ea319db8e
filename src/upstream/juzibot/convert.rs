//! JuziBot's customer into ours (contract §3.1): pure and total.

use std::collections::BTreeMap;

use indexmap::IndexSet;
use jiff::Timestamp;

use crate::model::{
    AccountType, Customer, Gender, Relation, SourceName, SourceRecord, SourcedCustomer, Tag, TagScope, WarningCode,
};
use crate::upstream::lenient::{Code, Lenient, distinct, distinct_texts};
use crate::upstream::warnings::{Part, Warnings};

use super::wire;

/// The fields of a customer that JuziBot can fill, in the list and in the detail alike.
pub const FIELDS: &[&str] = &[
    "external_user_id",
    "union_id",
    "name",
    "nickname",
    "avatar_url",
    "gender",
    "account_type",
    "mobiles",
    "relations.staff_id",
    "relations.staff_name",
    "relations.staff_avatar_url",
    "relations.remark",
    "relations.added_at",
    "relations.channel_state",
    "relations.mobiles",
    "relations.tags.id",
    "relations.tags.name",
    "relations.tags.group",
    "relations.tags.scope",
    "records.id",
    "records.type_code",
];

/// Timestamps below this are epoch seconds: as milliseconds they would be before March 1973.
const MIN_MILLISECONDS: i64 = 100_000_000_000;

pub fn customer(source: &SourceName, wire: wire::Customer) -> SourcedCustomer {
    let mut warnings = Warnings::new(source);
    let external_user_id =
        warnings.take("externalUserId", wire.external_user_id, Part::Customer, "external_user_id").map(|id| id.0);
    let name = warnings.take("name", wire.name, Part::Customer, "name");
    let kind = warnings.take("type", wire.kind, Part::Record, "type_code");
    let type_code = kind.as_ref().and_then(Code::number);
    if kind.is_some() && type_code.is_none() {
        warnings.add(WarningCode::UnreadableValue, Part::Record, "type_code", "type is not a number");
    }
    let mut relations = IndexSet::with_capacity(wire.follow_user.items.len());
    for follow in warnings.take_all("followUser", wire.follow_user, Part::Customer, "relations") {
        let mark = warnings.mark();
        let relation = relation(source, follow, Part::Relation(relations.len()), &mut warnings);
        if !relations.insert(relation) {
            // The relation that it repeats has the same warnings.
            warnings.rewind(&mark);
        }
    }
    let customer = Customer {
        external_user_id: external_user_id.clone(),
        union_id: warnings.take("unionId", wire.union_id, Part::Customer, "union_id").map(|id| id.0),
        nickname: name.clone(),
        name,
        avatar_url: warnings.take("avatar", wire.avatar, Part::Customer, "avatar_url"),
        location: None,
        gender: warnings.take("gender", wire.gender, Part::Customer, "gender").map(|code| gender(&code)),
        account_type: kind.map(|code| account_type(&code)),
        mobiles: distinct_texts(relations.iter().flat_map(|relation| relation.mobiles.iter().cloned())),
        relations: relations.into_iter().collect(),
        records: vec![SourceRecord {
            source: source.clone(),
            id: external_user_id,
            type_code,
            created_at: None,
            updated_at: None,
            converted_at: None,
            attributes: BTreeMap::new(),
            raw: None,
        }],
    };
    SourcedCustomer { customer, warnings: warnings.into_list() }
}

fn relation(source: &SourceName, wire: wire::FollowUser, part: Part, warnings: &mut Warnings<'_>) -> Relation {
    let mobiles = warnings.take_all("remarkMobiles", wire.remark_mobiles, part, "mobiles");
    let tags = warnings.take_all("tags", wire.tags, part, "tags");
    Relation {
        source: source.clone(),
        staff_id: warnings.take("userId", wire.user_id, part, "staff_id").map(|id| id.0),
        staff_name: warnings.take("name", wire.name, part, "staff_name"),
        staff_avatar_url: warnings.take("avatar", wire.avatar, part, "staff_avatar_url"),
        remark: warnings.take("remark", wire.remark, part, "remark"),
        added_at: added_at(wire.create_timestamp, part, warnings),
        channel_state: warnings.take("state", wire.state, part, "channel_state"),
        mobiles: distinct_texts(mobiles),
        tags: distinct(tags.into_iter().map(|wire| tag(wire, part, warnings))),
    }
}

/// `createTimestamp`: milliseconds since the epoch; 0 is no time.
fn added_at(sent: Lenient<i64>, part: Part, warnings: &mut Warnings<'_>) -> Option<Timestamp> {
    let timestamp = warnings.take("createTimestamp", sent, part, "added_at")?;
    let time = match timestamp {
        0 => return None,
        1..MIN_MILLISECONDS => {
            warnings.add(WarningCode::UnexpectedUnit, part, "added_at", "createTimestamp is read as seconds");
            Timestamp::from_second(timestamp)
        }
        _ => Timestamp::from_millisecond(timestamp),
    };
    let time = time.ok().filter(|time| *time > Timestamp::UNIX_EPOCH);
    if time.is_none() {
        warnings.add(WarningCode::UnreadableValue, part, "added_at", "createTimestamp is outside the range of times");
    }
    time
}

/// Warnings point at the list of tags: equal tags are merged, so an index would not be certain.
fn tag(wire: wire::Tag, part: Part, warnings: &mut Warnings<'_>) -> Tag {
    let kind = warnings.take("tags[].type", wire.kind, part, "tags");
    let scope = match kind.as_ref().map(|kind| kind.0.as_str()) {
        Some("1") => TagScope::Corp,
        Some("2") => TagScope::Personal,
        _ => TagScope::Unknown,
    };
    Tag {
        id: warnings.take("tags[].tagId", wire.tag_id, part, "tags").map(|id| id.0),
        name: warnings.take("tags[].tagName", wire.tag_name, part, "tags"),
        group: warnings.take("tags[].groupName", wire.group_name, part, "tags"),
        scope,
    }
}

fn gender(code: &Code) -> Gender {
    match code.0.as_str() {
        "1" => Gender::Male,
        "2" => Gender::Female,
        _ => Gender::Unknown,
    }
}

fn account_type(code: &Code) -> AccountType {
    match code.0.as_str() {
        "1" => AccountType::Wechat,
        "2" => AccountType::Wecom,
        _ => AccountType::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::upstream::filled::{assert_well_made, filled, lenient, list};
    use crate::upstream::lenient::{Id, Items};

    use super::*;

    fn source() -> SourceName {
        "juzibot".parse().unwrap()
    }

    #[test]
    fn the_table_of_fields_is_what_the_mapper_fills() {
        let text = |text: &str| Lenient::Value(text.to_owned());
        let id = |id: &str| Lenient::Value(Id(id.to_owned()));
        let code = |code: &str| Lenient::Value(Code(code.to_owned()));
        let wire = wire::Customer {
            external_user_id: id("wm"),
            union_id: id("o"),
            name: text("name"),
            avatar: text("https://a.test/1"),
            gender: code("1"),
            kind: code("1"),
            follow_user: items(vec![wire::FollowUser {
                user_id: id("rocky"),
                name: text("staff"),
                avatar: text("https://a.test/2"),
                remark: text("remark"),
                create_timestamp: Lenient::Value(1_604_048_292_000),
                state: text("state"),
                tags: items(vec![wire::Tag {
                    group_name: text("group"),
                    tag_name: text("tag"),
                    kind: code("1"),
                    tag_id: id("et"),
                }]),
                remark_mobiles: items(vec!["1".to_owned()]),
            }]),
        };
        let told = customer(&source(), wire);
        assert_eq!(filled(&told.customer), FIELDS.iter().map(|field| (*field).to_owned()).collect());
        assert_eq!(told.warnings, []);
    }

    fn items<T>(items: Vec<T>) -> Items<T> {
        Items { items, unreadable: false }
    }

    /// Mostly few and short, so that some are the same.
    fn text() -> impl Strategy<Value = Lenient<String>> {
        lenient(prop_oneof![9 => "[ab]", 1 => any::<String>()])
    }

    fn id() -> impl Strategy<Value = Lenient<Id>> {
        text().prop_map(|text| text.map(Id))
    }

    fn code() -> impl Strategy<Value = Lenient<Code>> {
        lenient(prop_oneof!["[0-4]", "M"].prop_map(Code))
    }

    fn timestamp() -> impl Strategy<Value = Lenient<i64>> {
        lenient(prop_oneof![-1_i64..4, any::<i64>(), Just(1_604_048_292_000), Just(1_604_048_292)])
    }

    prop_compose! {
        fn tag()(group_name in text(), tag_name in text(), kind in code(), tag_id in id()) -> wire::Tag {
            wire::Tag { group_name, tag_name, kind, tag_id }
        }
    }

    prop_compose! {
        fn follow_user()(
            user_id in id(),
            [name, avatar, remark, state] in proptest::array::uniform4(text()),
            create_timestamp in timestamp(),
            tags in list(tag()),
            remark_mobiles in list("[ab]?"),
        ) -> wire::FollowUser {
            wire::FollowUser { user_id, name, avatar, remark, create_timestamp, state, tags, remark_mobiles }
        }
    }

    /// With a time and nothing else: two of them are often the same relation.
    fn bare_follow_user() -> impl Strategy<Value = wire::FollowUser> {
        timestamp().prop_map(|create_timestamp| wire::FollowUser { create_timestamp, ..wire::FollowUser::default() })
    }

    prop_compose! {
        fn person()(
            [external_user_id, union_id] in proptest::array::uniform2(id()),
            [name, avatar] in proptest::array::uniform2(text()),
            [gender, kind] in proptest::array::uniform2(code()),
            follow_user in list(prop_oneof![follow_user(), bare_follow_user()]),
        ) -> wire::Customer {
            wire::Customer { external_user_id, union_id, name, avatar, gender, kind, follow_user }
        }
    }

    proptest! {
        #[test]
        fn any_row_becomes_a_customer(wire in person()) {
            let id = wire.external_user_id.clone().value().map(|id| id.0);
            let type_code = wire.kind.clone().value().and_then(|code| code.number());
            let told = customer(&source(), wire);
            assert_well_made(&told);
            prop_assert_eq!(&told.customer.records[0].id, &id);
            prop_assert_eq!(told.customer.records[0].type_code, type_code);
        }
    }
}
