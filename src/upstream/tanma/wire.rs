//! Tanma's JSON as it is (pages `list-by-qw-user-id` and `qw-details`). Which fields are always there is not
//! documented, so each may be absent, null or damaged; unknown ones are ignored.

use serde::de::SeqAccess;
use serde::{Deserialize, Serialize};

use crate::upstream::lenient::{FromVendor, Id, Items, Lenient, Scalar, from_object};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListQuery<'a> {
    pub qw_user_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<&'a str>,
    pub size: u32,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Customer {
    pub customer_id: Lenient<Id>,
    pub qw_user_id: Lenient<Id>,
    #[serde(rename = "type")]
    pub kind: Lenient<i64>,
    pub fields: Items<Field>,
    pub tag_ids: Items<String>,
    pub create_time: Lenient<String>,
    pub last_update_time: Lenient<String>,
    pub convert_customer_time: Lenient<String>,
    pub wechat_nickname: Lenient<String>,
    pub wechat_avatar: Lenient<String>,
    pub wechat_location: Lenient<String>,
    pub qw_remark: Lenient<String>,
    pub external_user_id: Lenient<Id>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Field {
    pub field: Lenient<String>,
    #[serde(rename = "type")]
    pub kind: Lenient<i64>,
    pub value_as_text: Lenient<FieldValue>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DetailQuery<'a> {
    pub external_user_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qw_user_id: Option<&'a str>,
}

/// One relation of the customer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DetailRow {
    pub qw_user_id: Lenient<Id>,
    pub external_user_id: Lenient<Id>,
    pub union_id: Lenient<Id>,
    pub qw_customer_time: Lenient<String>,
    pub mobiles: Items<String>,
    pub wechat_nickname: Lenient<String>,
    pub wechat_avatar: Lenient<String>,
}

from_object!(Customer, Field, DetailRow);

/// The value of a field: by the documentation a text, which may hold a JSON array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    Text(String),
    /// An array that was sent as one.
    List(Vec<String>),
}

impl FromVendor for FieldValue {
    fn from_scalar(scalar: Scalar<'_>) -> Lenient<Self> {
        String::from_scalar(scalar).map(Self::Text)
    }

    fn from_seq<'de, A: SeqAccess<'de>>(seq: A) -> Result<Lenient<Self>, A::Error> {
        Ok(match Items::from_seq(seq)? {
            Lenient::Value(list) if !list.unreadable => Lenient::Value(Self::List(list.items)),
            _ => Lenient::Unreadable,
        })
    }
}
