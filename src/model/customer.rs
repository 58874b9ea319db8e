//! One customer as callers see it (contract §3).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::SourceName;

/// An external contact: one record of a source, or the records of several sources merged.
///
/// Every field is always present. `null` means that no queried source provides the value. An empty list means that there
/// are no values or that no queried source provides them; `fields` of `/v1/sources` distinguishes the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Customer {
    /// Id of the customer in WeCom. `null` where the source has none.
    #[schema(required)]
    pub external_user_id: Option<String>,
    /// Id of the customer on the WeChat open platform. Writes identify customers by it.
    #[schema(required)]
    pub union_id: Option<String>,
    /// Name of the customer: the one that staff entered in the source's customer form (Tanma lists), otherwise the
    /// customer's own display name. Use it to address the customer.
    #[schema(required)]
    pub name: Option<String>,
    /// Display name that the customer chose in WeChat or WeCom. Differs from `name` where staff entered another name.
    #[schema(required)]
    pub nickname: Option<String>,
    /// Address of the customer's profile picture, as the source sends it.
    #[schema(required)]
    pub avatar_url: Option<String>,
    /// Location in the customer's WeChat profile, as free text.
    #[schema(required)]
    pub location: Option<String>,
    /// Gender of the customer.
    #[schema(required)]
    pub gender: Option<Gender>,
    /// Platform of the customer's account.
    #[schema(required)]
    pub account_type: Option<AccountType>,
    /// Mobile numbers of the customer: the numbers of all relations, each once, in order of appearance.
    pub mobiles: Vec<String>,
    /// Links of staff members to the customer, in source order.
    pub relations: Vec<Relation>,
    /// Records that the values come from, one for each source that knows the customer, in source order.
    pub records: Vec<SourceRecord>,
}

impl Customer {
    /// Frees the spare capacity of the lists, for a customer that is stored.
    pub fn shrink_to_fit(&mut self) {
        self.mobiles.shrink_to_fit();
        self.records.shrink_to_fit();
        self.relations.shrink_to_fit();
        for relation in &mut self.relations {
            relation.mobiles.shrink_to_fit();
            relation.tags.shrink_to_fit();
        }
    }
}

/// Gender of a customer.
///
/// - `male`
/// - `female`
/// - `unknown`: the source reports an unknown gender, or a code that the gateway does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gender {
    Male,
    Female,
    Unknown,
}

/// Platform of a customer's account.
///
/// - `wechat`: a personal WeChat account.
/// - `wecom`: an account of another company in WeCom.
/// - `unknown`: the source sent a code that the gateway does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountType {
    Wechat,
    Wecom,
    Unknown,
}

/// Link of one staff member to the customer, as one source reports it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Relation {
    /// Name of the source that reports the relation.
    #[schema(value_type = String)]
    pub source: SourceName,
    /// WeCom user id of the staff member (JuziBot `userId`, Tanma `qwUserId`). Parameters and bodies that take a
    /// `staff_id` take this value.
    #[schema(required)]
    pub staff_id: Option<String>,
    /// Display name of the staff member.
    #[schema(required)]
    pub staff_name: Option<String>,
    /// Address of the staff member's profile picture, as the source sends it.
    #[schema(required)]
    pub staff_avatar_url: Option<String>,
    /// Name that the staff member gave the customer (the WeCom remark). `POST /v1/remarks` sets it.
    #[schema(required)]
    pub remark: Option<String>,
    /// Time at which the staff member added the customer, in UTC.
    #[schema(required)]
    pub added_at: Option<Timestamp>,
    /// Channel through which the customer was added: the `state` of the WeCom contact link, as the source sends it.
    #[schema(required)]
    pub channel_state: Option<String>,
    /// Mobile numbers that the staff member noted for the customer, each once.
    pub mobiles: Vec<String>,
    /// Tags that the staff member put on the customer, each once.
    pub tags: Vec<Tag>,
}

/// Tag on a customer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Tag {
    /// Id of the tag in WeCom. `null` for a personal tag.
    #[schema(required)]
    pub id: Option<String>,
    /// Name of the tag. `null` where the source sends only ids.
    #[schema(required)]
    pub name: Option<String>,
    /// Name of the group that the tag belongs to. `null` where the source sends only ids.
    #[schema(required)]
    pub group: Option<String>,
    /// Owner of the tag.
    pub scope: TagScope,
}

/// Owner of a tag.
///
/// - `corp`: a tag of the company, shared by its staff.
/// - `personal`: a tag of one staff member.
/// - `unknown`: the source sent a code that the gateway does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TagScope {
    Corp,
    Personal,
    Unknown,
}

/// Record of the customer at one source: the provenance of the merged values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SourceRecord {
    /// Name of the source that holds the record.
    #[schema(value_type = String)]
    pub source: SourceName,
    /// Id of the record at the source (JuziBot `externalUserId`, Tanma `customerId`). `null` where the source does not
    /// send it: Tanma sends it in lists only.
    #[schema(required)]
    pub id: Option<String>,
    /// Code of the record's type at the source, as a number.
    #[schema(required)]
    pub type_code: Option<i64>,
    /// Time at which the source created the record, in UTC.
    #[schema(required)]
    pub created_at: Option<Timestamp>,
    /// Time of the last change of the record at the source, in UTC.
    #[schema(required)]
    pub updated_at: Option<Timestamp>,
    /// Time at which the contact became a customer at the source, in UTC.
    #[schema(required)]
    pub converted_at: Option<Timestamp>,
    /// Custom and system fields of the source, by the source's own keys. Empty where the source has no such fields.
    pub attributes: BTreeMap<String, Attribute>,
    /// JSON of the record as the source sent it, with `include=raw`; `null` otherwise.
    #[schema(required, value_type = Value)]
    pub raw: Option<serde_json::Value>,
}

/// Custom or system field of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attribute {
    /// Type of the field.
    #[serde(rename = "type")]
    pub kind: AttributeType,
    /// Code of the type at the source. `null` where the source sends none.
    #[schema(required)]
    pub type_code: Option<i64>,
    /// Value of the field. `null` where the field is empty.
    #[schema(required)]
    pub value: Option<AttributeValue>,
}

/// Type of a custom or system field, from the source's `type_code`.
///
/// - `text`, `multiline_text`, `number`, `date`, `datetime`: the value is the source's text, not converted.
/// - `single_choice`: the value is the id of the chosen option, as text.
/// - `multi_choice`: the value is a list of the ids of the chosen options.
/// - `phone`: the value is a list of numbers.
/// - `unknown`: the gateway does not know the source's `type_code`; the value is the source's text.
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

/// Text as the source sent it, or a list of texts for the types `multi_choice` and `phone`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum AttributeValue {
    Text(String),
    List(Vec<String>),
}
