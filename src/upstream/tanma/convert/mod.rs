//! Tanma's customer into ours (contract §3.2): pure and total. What cannot be read becomes a warning, never a failure.

use std::collections::BTreeMap;

use indexmap::IndexSet;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{self, Offset};

use crate::model::{
    Attribute, AttributeType, AttributeValue, Customer, Gender, Relation, SourceName, SourceRecord, SourcedCustomer,
    Tag, TagScope, Warning, WarningCode,
};
use crate::upstream::lenient::{Code, List, distinct, distinct_texts};

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

/// Collects what could not be read.
struct Warnings<'a> {
    source: &'a SourceName,
    list: IndexSet<Warning>,
}

impl Warnings<'_> {
    fn add(&mut self, code: WarningCode, pointer: &str, detail: impl Into<String>) {
        let warning =
            Warning { code, source: self.source.clone(), pointer: Some(pointer.to_owned()), detail: detail.into() };
        self.list.insert(warning);
    }
}

/// One row of the list.
pub fn list_row(source: &SourceName, wire: wire::Customer, raw: Option<serde_json::Value>) -> SourcedCustomer {
    let mut warnings = Warnings { source, list: IndexSet::new() };
    let fields = first_of_each_key(wire.fields, &mut warnings);
    let value_of = |key: &str| fields.get(key).and_then(|field| field.value_as_text.as_deref());

    let mobiles = match value_of("mobile").map(texts_in) {
        None => Vec::new(),
        Some(Texts::Array(numbers)) => distinct_texts(numbers),
        Some(Texts::Plain(number)) => vec![number],
        Some(Texts::Unreadable) => {
            let pointer = format!("/records/0/attributes/{}/value", escape("mobile"));
            warnings.add(
                WarningCode::UnreadableValue,
                &pointer,
                "starts like an array and is none; no mobile is taken from it",
            );
            Vec::new()
        }
    };
    let gender = value_of("gender").map(|code| match code {
        "1" => Gender::Male,
        "2" => Gender::Female,
        _ => Gender::Unknown,
    });
    let tags = distinct_texts(wire.tag_ids.into_iter().flatten());
    let relation = Relation {
        source: source.clone(),
        staff_id: wire.qw_user_id,
        staff_name: None,
        staff_avatar_url: None,
        remark: wire.qw_remark,
        added_at: None,
        channel_state: None,
        mobiles: mobiles.clone(),
        tags: tags.into_iter().map(|id| Tag { id: Some(id), name: None, group: None, scope: TagScope::Corp }).collect(),
    };
    let record = SourceRecord {
        source: source.clone(),
        id: wire.customer_id.map(|id| id.0),
        type_code: wire.kind,
        created_at: time(wire.create_time.as_deref(), "/records/0/created_at", &mut warnings),
        updated_at: time(wire.last_update_time.as_deref(), "/records/0/updated_at", &mut warnings),
        converted_at: time(wire.convert_customer_time.as_deref(), "/records/0/converted_at", &mut warnings),
        attributes: fields.iter().map(|(key, field)| (key.clone(), attribute(field))).collect(),
        raw,
    };
    let customer = Customer {
        external_user_id: wire.external_user_id,
        union_id: None,
        name: value_of("name").map(str::to_owned).or_else(|| wire.wechat_nickname.clone()),
        nickname: wire.wechat_nickname,
        avatar_url: wire.wechat_avatar,
        location: wire.wechat_location,
        gender,
        account_type: None,
        mobiles,
        relations: vec![relation],
        records: vec![record],
    };
    SourcedCustomer { customer, warnings: warnings.list.into_iter().collect() }
}

/// The rows of a detail, one a relation; `None` where there is none.
pub fn detail(
    source: &SourceName,
    rows: Vec<wire::DetailRow>,
    raw: Option<serde_json::Value>,
) -> Option<SourcedCustomer> {
    if rows.is_empty() {
        return None;
    }
    let mut warnings = Warnings { source, list: IndexSet::new() };
    let mut customer = Customer::default();
    let mut relations = IndexSet::new();
    for row in rows {
        let pointer = format!("/relations/{}/added_at", relations.len());
        let warned_before = warnings.list.len();
        let relation = Relation {
            source: source.clone(),
            staff_id: row.qw_user_id,
            staff_name: None,
            staff_avatar_url: None,
            remark: None,
            added_at: time(row.qw_customer_time.as_deref(), &pointer, &mut warnings),
            channel_state: None,
            mobiles: distinct_texts(row.mobiles.into_iter().flatten()),
            tags: Vec::new(),
        };
        customer.external_user_id = customer.external_user_id.or(row.external_user_id);
        customer.union_id = customer.union_id.or(row.union_id);
        customer.nickname = customer.nickname.or(row.wechat_nickname);
        customer.avatar_url = customer.avatar_url.or(row.wechat_avatar);
        if !relations.insert(relation) {
            // What was wrong with it has been said of the one that is kept.
            warnings.list.truncate(warned_before);
        }
    }
    customer.relations = relations.into_iter().collect();
    customer.name.clone_from(&customer.nickname);
    customer.mobiles = distinct(customer.relations.iter().flat_map(|relation| relation.mobiles.iter().cloned()));
    customer.records = vec![SourceRecord {
        source: source.clone(),
        id: None,
        type_code: None,
        created_at: None,
        updated_at: None,
        converted_at: None,
        attributes: BTreeMap::new(),
        raw,
    }];
    Some(SourcedCustomer { customer, warnings: warnings.list.into_iter().collect() })
}

/// The fields by their keys; of a key sent twice the first counts. A field without a key cannot be told apart and is
/// left out with a warning.
fn first_of_each_key(fields: Vec<wire::Field>, warnings: &mut Warnings<'_>) -> BTreeMap<String, wire::Field> {
    let mut kept = BTreeMap::new();
    for field in fields {
        match &field.field {
            None => warnings.add(WarningCode::UnreadableValue, "/records/0/attributes", "a field without a key"),
            Some(key) if kept.contains_key(key) => {
                let pointer = format!("/records/0/attributes/{}", escape(key));
                warnings.add(WarningCode::DuplicateKey, &pointer, "sent more than once; the first one counts");
            }
            Some(key) => {
                kept.insert(key.clone(), field);
            }
        }
    }
    kept
}

/// A field of the list (type codes: Tanma's page on the customer's fields).
fn attribute(field: &wire::Field) -> Attribute {
    let kind = match field.kind {
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
    let value = field.value_as_text.as_deref().map(|text| match kind {
        AttributeType::MultiChoice | AttributeType::Phone => AttributeValue::List(match texts_in(text) {
            Texts::Array(texts) => distinct_texts(texts),
            Texts::Plain(_) | Texts::Unreadable => vec![text.to_owned()],
        }),
        _ => AttributeValue::Text(text.to_owned()),
    });
    Attribute { kind, type_code: field.kind, value }
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
    match serde_json::from_str::<List<Code>>(text) {
        Ok(List(texts)) => Texts::Array(texts.into_iter().map(|text| text.0).collect()),
        Err(_) => Texts::Unreadable,
    }
}

/// "YYYY-MM-DD HH:MM:SS" at UTC+08:00.
fn time(text: Option<&str>, pointer: &str, warnings: &mut Warnings<'_>) -> Option<Timestamp> {
    let text = text.filter(|text| *text != "0" && !text.starts_with("0000-00-00"))?;
    let parsed = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).and_then(|local| SHANGHAI.to_timestamp(local));
    if parsed.is_err() {
        warnings.add(WarningCode::UnreadableValue, pointer, "expected YYYY-MM-DD HH:MM:SS");
    }
    parsed.ok()
}

/// A key as a part of a JSON pointer (RFC 6901 §3).
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests;
