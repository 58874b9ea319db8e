//! JuziBot's customer into ours (contract §3.1): pure and total.

use std::collections::BTreeMap;

use indexmap::IndexSet;
use jiff::Timestamp;

use crate::model::{
    AccountType, Customer, Gender, Relation, SourceName, SourceRecord, SourcedCustomer, Tag, TagScope, Warning,
    WarningCode,
};
use crate::upstream::lenient::{distinct, distinct_texts};

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

pub fn customer(source: &SourceName, wire: wire::Customer, raw: Option<serde_json::Value>) -> SourcedCustomer {
    let mut warnings = Vec::new();
    let mut relations = IndexSet::with_capacity(wire.follow_user.len());
    for follow in wire.follow_user {
        let index = relations.len();
        let warned_before = warnings.len();
        let relation = relation(source, follow, |pointer, detail| {
            warnings.push(Warning {
                code: WarningCode::UnreadableValue,
                source: source.clone(),
                pointer: Some(format!("/relations/{index}/{pointer}")),
                detail,
            });
        });
        if !relations.insert(relation) {
            // What was wrong with it has been said of the one that is kept.
            warnings.truncate(warned_before);
        }
    }
    let customer = Customer {
        external_user_id: wire.external_user_id.clone(),
        union_id: wire.union_id,
        nickname: wire.name.clone(),
        name: wire.name,
        avatar_url: wire.avatar,
        location: None,
        gender: wire.gender.map(gender),
        account_type: wire.kind.map(account_type),
        mobiles: distinct_texts(relations.iter().flat_map(|relation| relation.mobiles.iter().cloned())),
        relations: relations.into_iter().collect(),
        records: vec![SourceRecord {
            source: source.clone(),
            id: wire.external_user_id,
            type_code: wire.kind,
            created_at: None,
            updated_at: None,
            converted_at: None,
            attributes: BTreeMap::new(),
            raw,
        }],
    };
    SourcedCustomer { customer, warnings }
}

fn relation(source: &SourceName, wire: wire::FollowUser, mut warn: impl FnMut(&str, String)) -> Relation {
    let added_at = match wire.create_timestamp.unwrap_or(0) {
        0 => None,
        millis => Timestamp::from_millisecond(millis).ok().or_else(|| {
            warn("added_at", "createTimestamp is outside the range of times".to_owned());
            None
        }),
    };
    Relation {
        source: source.clone(),
        staff_id: wire.user_id,
        staff_name: wire.name,
        staff_avatar_url: wire.avatar,
        remark: wire.remark,
        added_at,
        channel_state: wire.state,
        mobiles: distinct_texts(wire.remark_mobiles.into_iter().flatten()),
        tags: distinct(wire.tags.into_iter().map(tag)),
    }
}

fn tag(wire: wire::Tag) -> Tag {
    let scope = match wire.kind.as_ref().map(|kind| kind.0.as_str()) {
        Some("1") => TagScope::Corp,
        Some("2") => TagScope::Personal,
        _ => TagScope::Unknown,
    };
    Tag { id: wire.tag_id, name: wire.tag_name, group: wire.group_name, scope }
}

fn gender(code: i64) -> Gender {
    match code {
        1 => Gender::Male,
        2 => Gender::Female,
        _ => Gender::Unknown,
    }
}

fn account_type(code: i64) -> AccountType {
    match code {
        1 => AccountType::Wechat,
        2 => AccountType::Wecom,
        _ => AccountType::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use crate::upstream::filled::{assert_well_made, filled};
    use crate::upstream::lenient::Code;

    use super::*;

    fn source() -> SourceName {
        "juzibot".parse().unwrap()
    }

    #[test]
    fn the_table_of_fields_is_what_the_mapper_fills() {
        let text = |text: &str| Some(text.to_owned());
        let wire = wire::Customer {
            external_user_id: text("wm"),
            union_id: text("o"),
            name: text("name"),
            avatar: text("https://a.test/1"),
            gender: Some(1),
            kind: Some(1),
            follow_user: vec![wire::FollowUser {
                user_id: text("rocky"),
                name: text("staff"),
                avatar: text("https://a.test/2"),
                remark: text("remark"),
                create_timestamp: Some(1_604_048_292_000),
                state: text("state"),
                tags: vec![wire::Tag {
                    group_name: text("group"),
                    tag_name: text("tag"),
                    kind: Some(Code("1".to_owned())),
                    tag_id: text("et"),
                }],
                remark_mobiles: vec![text("1")],
            }],
        };
        let told = customer(&source(), wire, None);
        assert_eq!(filled(&told.customer), FIELDS.iter().map(|field| (*field).to_owned()).collect());
        assert_eq!(told.warnings, []);
    }

    /// Mostly few and short, so that some are the same.
    fn text() -> impl Strategy<Value = Option<String>> {
        option::of(prop_oneof![9 => "[ab]?", 1 => any::<String>()])
    }

    fn number() -> impl Strategy<Value = Option<i64>> {
        option::of(prop_oneof![0_i64..4, any::<i64>(), Just(1_604_048_292_000)])
    }

    prop_compose! {
        fn tag()(group_name in text(), tag_name in text(), kind in text(), tag_id in text()) -> wire::Tag {
            wire::Tag { group_name, tag_name, kind: kind.map(Code), tag_id }
        }
    }

    prop_compose! {
        fn follow_user()(
            [user_id, name, avatar, remark, state] in proptest::array::uniform5(text()),
            create_timestamp in number(),
            tags in vec(tag(), 0..4),
            remark_mobiles in vec(text(), 0..4),
        ) -> wire::FollowUser {
            wire::FollowUser { user_id, name, avatar, remark, create_timestamp, state, tags, remark_mobiles }
        }
    }

    /// Of a time alone: two of them are often the same relation.
    fn bare_follow_user() -> impl Strategy<Value = wire::FollowUser> {
        number().prop_map(|create_timestamp| wire::FollowUser { create_timestamp, ..wire::FollowUser::default() })
    }

    prop_compose! {
        fn person()(
            [external_user_id, union_id, name, avatar] in proptest::array::uniform4(text()),
            gender in number(),
            kind in number(),
            follow_user in vec(prop_oneof![follow_user(), bare_follow_user()], 0..6),
        ) -> wire::Customer {
            wire::Customer { external_user_id, union_id, name, avatar, gender, kind, follow_user }
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_becomes_a_customer(wire in person()) {
            let (id, type_code) = (wire.external_user_id.clone(), wire.kind);
            let told = customer(&source(), wire, None);
            assert_well_made(&told);
            prop_assert_eq!(&told.customer.records[0].id, &id);
            prop_assert_eq!(told.customer.records[0].type_code, type_code);
        }
    }
}
