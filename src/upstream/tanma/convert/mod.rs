//! Tanma's customer into ours (contract §3.2): pure and total. What cannot be read becomes a warning, never a failure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{self, Offset};

use crate::model::{
    Attribute, AttributeType, AttributeValue, Customer, Gender, Relation, SourceName, SourceRecord, SourcedCustomer,
    Tag, TagScope, WarningCode,
};
use crate::upstream::lenient::{Code, FromVendor, Items, Lenient, Scalar, distinct_texts};
use crate::upstream::warnings::{Part, Warnings};

use super::wire;

/// The fields that the list can fill.
pub const LIST_FIELDS: &[&str] = &[
    "external_user_id",
    "name",
    "nickname",
    "avatar_url",
    "location",
    "gender",
    "mobiles",
    "relations.staff_id",
    "relations.remark",
    "relations.mobiles",
    "relations.tags.id",
    "relations.tags.scope",
    "records.id",
    "records.type_code",
    "records.created_at",
    "records.updated_at",
    "records.converted_at",
    "records.attributes",
];

/// The fields that the detail can fill.
pub const DETAIL_FIELDS: &[&str] = &[
    "external_user_id",
    "union_id",
    "name",
    "nickname",
    "avatar_url",
    "mobiles",
    "relations.staff_id",
    "relations.added_at",
    "relations.mobiles",
];

/// Tanma's times have no zone; the cursor of the vendor's own sample shows that they are of UTC+08:00.
const SHANGHAI: Offset = tz::offset(8);

/// One row of the list.
pub fn list_row(source: &SourceName, wire: wire::Customer) -> SourcedCustomer {
    let mut warnings = Warnings::new(source);
    let sent = warnings.take_all("fields", wire.fields, Part::Record, "attributes");
    let fields = first_of_each_key(sent, &mut warnings);
    let mobiles = mobiles(fields.get("mobile"), &mut warnings);
    let tags = distinct_texts(warnings.take_all("tagIds", wire.tag_ids, Part::Relation(0), "tags"));
    let nickname = warnings.take("wechatNickname", wire.wechat_nickname, Part::Customer, "nickname");
    let relation = Relation {
        source: source.clone(),
        staff_id: warnings.take("qwUserId", wire.qw_user_id, Part::Relation(0), "staff_id").map(|id| id.0),
        staff_name: None,
        staff_avatar_url: None,
        remark: warnings.take("qwRemark", wire.qw_remark, Part::Relation(0), "remark"),
        added_at: None,
        channel_state: None,
        mobiles: mobiles.clone(),
        tags: tags.into_iter().map(|id| Tag { id: Some(id), name: None, group: None, scope: TagScope::Corp }).collect(),
    };
    let record = SourceRecord {
        source: source.clone(),
        id: warnings.take("customerId", wire.customer_id, Part::Record, "id").map(|id| id.0),
        type_code: warnings.take("type", wire.kind, Part::Record, "type_code"),
        created_at: time("createTime", wire.create_time, Part::Record, "created_at", &mut warnings),
        updated_at: time("lastUpdateTime", wire.last_update_time, Part::Record, "updated_at", &mut warnings),
        converted_at: time(
            "convertCustomerTime",
            wire.convert_customer_time,
            Part::Record,
            "converted_at",
            &mut warnings,
        ),
        attributes: fields.iter().map(|(key, field)| (key.clone(), attribute(key, field, &mut warnings))).collect(),
        raw: None,
    };
    let customer = Customer {
        external_user_id: warnings
            .take("externalUserId", wire.external_user_id, Part::Customer, "external_user_id")
            .map(|id| id.0),
        union_id: None,
        name: text_of(&fields, "name").map(str::to_owned).or_else(|| nickname.clone()),
        nickname,
        avatar_url: warnings.take("wechatAvatar", wire.wechat_avatar, Part::Customer, "avatar_url"),
        location: warnings.take("wechatLocation", wire.wechat_location, Part::Customer, "location"),
        gender: text_of(&fields, "gender").map(gender),
        account_type: None,
        mobiles,
        relations: vec![relation],
        records: vec![record],
    };
    SourcedCustomer { customer, warnings: warnings.into_list() }
}

/// One row of a detail: a customer with one relation. A detail joins them.
pub fn detail_row(source: &SourceName, row: wire::DetailRow) -> SourcedCustomer {
    let mut warnings = Warnings::new(source);
    let nickname = warnings.take("wechatNickname", row.wechat_nickname, Part::Customer, "nickname");
    let relation = Relation {
        source: source.clone(),
        staff_id: warnings.take("qwUserId", row.qw_user_id, Part::Relation(0), "staff_id").map(|id| id.0),
        staff_name: None,
        staff_avatar_url: None,
        remark: None,
        added_at: time("qwCustomerTime", row.qw_customer_time, Part::Relation(0), "added_at", &mut warnings),
        channel_state: None,
        mobiles: distinct_texts(warnings.take_all("mobiles", row.mobiles, Part::Relation(0), "mobiles")),
        tags: Vec::new(),
    };
    let customer = Customer {
        external_user_id: warnings
            .take("externalUserId", row.external_user_id, Part::Customer, "external_user_id")
            .map(|id| id.0),
        union_id: warnings.take("unionId", row.union_id, Part::Customer, "union_id").map(|id| id.0),
        name: nickname.clone(),
        nickname,
        avatar_url: warnings.take("wechatAvatar", row.wechat_avatar, Part::Customer, "avatar_url"),
        mobiles: relation.mobiles.clone(),
        relations: vec![relation],
        records: vec![SourceRecord {
            source: source.clone(),
            id: None,
            type_code: None,
            created_at: None,
            updated_at: None,
            converted_at: None,
            attributes: BTreeMap::new(),
            raw: None,
        }],
        ..Customer::default()
    };
    SourcedCustomer { customer, warnings: warnings.into_list() }
}

fn gender(code: &str) -> Gender {
    match Code::from_scalar(Scalar::Text(code)).value().as_ref().map(|code| code.0.as_str()) {
        Some("1") => Gender::Male,
        Some("2") => Gender::Female,
        _ => Gender::Unknown,
    }
}

/// The numbers of the field `mobile`.
fn mobiles(field: Option<&wire::Field>, warnings: &mut Warnings<'_>) -> Vec<String> {
    match field.map(|field| &field.value_as_text) {
        Some(Lenient::Value(wire::FieldValue::List(numbers))) => distinct_texts(numbers.iter().cloned()),
        Some(Lenient::Value(wire::FieldValue::Text(text))) => match texts_in(text) {
            Texts::Array(numbers) => distinct_texts(numbers),
            Texts::Plain(number) => vec![number],
            Texts::Unreadable => {
                let detail = "starts like an array and is none; no mobile is taken from it";
                warnings.add(WarningCode::UnreadableValue, Part::Record, "attributes/mobile/value", detail);
                Vec::new()
            }
        },
        _ => Vec::new(),
    }
}

/// The text of a field that holds one.
fn text_of<'a>(fields: &'a BTreeMap<String, wire::Field>, key: &str) -> Option<&'a str> {
    match &fields.get(key)?.value_as_text {
        Lenient::Value(wire::FieldValue::Text(text)) => Some(text),
        _ => None,
    }
}

/// The fields by their keys; of a key sent twice the first counts. A field without a key cannot be told apart and is
/// left out with a warning.
fn first_of_each_key(fields: Vec<wire::Field>, warnings: &mut Warnings<'_>) -> BTreeMap<String, wire::Field> {
    let mut kept = BTreeMap::new();
    for field in fields {
        match field.field.clone().value() {
            None => warnings.add(WarningCode::UnreadableValue, Part::Record, "attributes", "a field without a key"),
            Some(key) if kept.contains_key(&key) => {
                let place = format!("attributes/{}", escape(&key));
                let detail = "sent more than once; the first one counts";
                warnings.add(WarningCode::DuplicateKey, Part::Record, &place, detail);
            }
            Some(key) => {
                kept.insert(key, field);
            }
        }
    }
    kept
}

/// A field of the list (type codes: Tanma's page on the customer's fields).
fn attribute(key: &str, field: &wire::Field, warnings: &mut Warnings<'_>) -> Attribute {
    let place = |member: &str| format!("attributes/{}/{member}", escape(key));
    // Read of a reference: on the usual path nothing is formatted.
    for (sent, unreadable, member) in [
        ("type", matches!(field.kind, Lenient::Unreadable), "type_code"),
        ("valueAsText", matches!(field.value_as_text, Lenient::Unreadable), "value"),
    ] {
        if unreadable {
            warnings.take::<()>(sent, Lenient::Unreadable, Part::Record, &place(member));
        }
    }
    let type_code = field.kind.clone().value();
    let kind = match type_code {
        Some(1) => AttributeType::Text,
        Some(2) => AttributeType::SingleChoice,
        Some(3) => AttributeType::Date,
        Some(4) => AttributeType::Number,
        Some(5) => AttributeType::MultilineText,
        Some(6) => AttributeType::MultiChoice,
        Some(7) => AttributeType::Datetime,
        Some(8) => AttributeType::Phone,
        _ => AttributeType::Unknown,
    };
    let value = field.value_as_text.clone().value().map(|value| match (value, kind) {
        (wire::FieldValue::List(texts), _) => AttributeValue::List(distinct_texts(texts)),
        (wire::FieldValue::Text(text), AttributeType::MultiChoice | AttributeType::Phone) => {
            AttributeValue::List(match texts_in(&text) {
                Texts::Array(texts) => distinct_texts(texts),
                Texts::Plain(_) | Texts::Unreadable => vec![text],
            })
        }
        (wire::FieldValue::Text(text), _) => AttributeValue::Text(text),
    });
    Attribute { kind, type_code, value }
}

/// What a text that may hold several holds.
enum Texts {
    Array(Vec<String>),
    Plain(String),
    /// It starts like an array and is none of strings and numbers.
    Unreadable,
}

fn texts_in(text: &str) -> Texts {
    let text = text.trim();
    if !text.starts_with('[') {
        return if text.is_empty() { Texts::Array(Vec::new()) } else { Texts::Plain(text.to_owned()) };
    }
    match serde_json::from_str::<Items<String>>(text) {
        Ok(Items { items, unreadable: false }) => {
            Texts::Array(items.into_iter().map(|text| text.trim().to_owned()).collect())
        }
        _ => Texts::Unreadable,
    }
}

/// "YYYY-MM-DD HH:MM:SS" at UTC+08:00; `0`, a date of zeros and the epoch are no time.
fn time(sent: &str, value: Lenient<String>, part: Part, field: &str, warnings: &mut Warnings<'_>) -> Option<Timestamp> {
    let text = warnings.take(sent, value, part, field)?;
    let text = Some(text.trim()).filter(|text| *text != "0" && !text.starts_with("0000-00-00"))?;
    let parsed = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).and_then(|local| SHANGHAI.to_timestamp(local));
    if parsed.is_err() {
        warnings.add(WarningCode::UnreadableValue, part, field, format!("{sent} is not YYYY-MM-DD HH:MM:SS"));
    }
    parsed.ok().filter(|time| *time != Timestamp::UNIX_EPOCH)
}

/// A key as a part of a JSON pointer (RFC 6901 §3).
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests;
