//! JuziBot's customer into ours (contract §3.1): pure and total.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::{
    AccountType, Customer, Gender, Record, Relation, SourceName, SourcedCustomer, Tag, TagScope, Warning, WarningCode,
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
    let mut relations = Vec::with_capacity(wire.follow_user.len());
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
        if relations.contains(&relation) {
            // What was wrong with it has been said of the one that is kept.
            warnings.truncate(warned_before);
        } else {
            relations.push(relation);
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
        relations,
        records: vec![Record {
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
    Tag {
        id: wire.tag_id,
        name: wire.tag_name,
        group: wire.group_name,
        scope,
    }
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
