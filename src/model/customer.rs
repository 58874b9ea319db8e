//! One customer as callers see it (contract §3).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::SourceName;

/// An external contact, known to one source or merged over several.
///
/// Every field is always present: `null` means that no source says it, an empty list that there are none or that no
/// source tells.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Customer {
    /// The customer's id in WeCom.
    #[schema(required)]
    pub external_user_id: Option<String>,
    /// The customer's id on the WeChat open platform; the key of every write.
    #[schema(required)]
    pub union_id: Option<String>,
    #[schema(required)]
    pub name: Option<String>,
    #[schema(required)]
    pub nickname: Option<String>,
    #[schema(required)]
    pub avatar_url: Option<String>,
    #[schema(required)]
    pub location: Option<String>,
    #[schema(required)]
    pub gender: Option<Gender>,
    #[schema(required)]
    pub account_type: Option<AccountType>,
    /// Each number once, in order of appearance over the relations.
    pub mobiles: Vec<String>,
    pub relations: Vec<Relation>,
    pub records: Vec<SourceRecord>,
}

/// A gender code in words; `unknown` where the source says so or no table knows its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gender {
    Male,
    Female,
    Unknown,
}

/// Where the customer's account lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountType {
    Wechat,
    Wecom,
    Unknown,
}

/// One staff member's link to the customer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Relation {
    #[schema(value_type = String)]
    pub source: SourceName,
    #[schema(required)]
    pub staff_id: Option<String>,
    #[schema(required)]
    pub staff_name: Option<String>,
    #[schema(required)]
    pub staff_avatar_url: Option<String>,
    #[schema(required)]
    pub remark: Option<String>,
    /// When the customer was added, UTC.
    #[schema(required)]
    pub added_at: Option<Timestamp>,
    /// The channel through which the customer was added, as the source spells it.
    #[schema(required)]
    pub channel_state: Option<String>,
    pub mobiles: Vec<String>,
    pub tags: Vec<Tag>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Tag {
    /// The tag's id in WeCom; `null` for a personal tag.
    #[schema(required)]
    pub id: Option<String>,
    #[schema(required)]
    pub name: Option<String>,
    #[schema(required)]
    pub group: Option<String>,
    pub scope: TagScope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TagScope {
    Corp,
    Personal,
    Unknown,
}

/// What one source holds about the customer: provenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SourceRecord {
    #[schema(value_type = String)]
    pub source: SourceName,
    /// The source's own id of the customer.
    #[schema(required)]
    pub id: Option<String>,
    /// The source's own type code, as a number.
    #[schema(required)]
    pub type_code: Option<i64>,
    #[schema(required)]
    pub created_at: Option<Timestamp>,
    #[schema(required)]
    pub updated_at: Option<Timestamp>,
    #[schema(required)]
    pub converted_at: Option<Timestamp>,
    /// The source's custom and system fields, by their keys.
    pub attributes: BTreeMap<String, Attribute>,
    /// The source's own JSON, only with `include=raw`.
    #[schema(required, value_type = Value)]
    pub raw: Option<serde_json::Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attribute {
    #[serde(rename = "type")]
    pub kind: AttributeType,
    /// The source's code of the type.
    #[schema(required)]
    pub type_code: Option<i64>,
    #[schema(required)]
    pub value: Option<AttributeValue>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttributeType {
    Text,
    SingleChoice,
    Date,
    Number,
    MultilineText,
    MultiChoice,
    Datetime,
    Phone,
    Unknown,
}

/// A text as the source sent it, or the list of texts that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum AttributeValue {
    Text(String),
    List(Vec<String>),
}
