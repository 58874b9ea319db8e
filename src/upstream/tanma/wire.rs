//! Tanma's JSON as it is (pages `list-by-qw-user-id` and `qw-details`). Which fields are always there is not
//! documented, so each may be absent or null; unknown ones are ignored.

use serde::{Deserialize, Serialize};

use crate::upstream::lenient::{self, Code};

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
pub struct List {
    #[serde(deserialize_with = "lenient::objects")]
    pub list: Vec<Customer>,
    #[serde(deserialize_with = "lenient::text")]
    pub next_cursor: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Customer {
    #[serde(deserialize_with = "lenient::code")]
    pub customer_id: Option<Code>,
    #[serde(deserialize_with = "lenient::text")]
    pub qw_user_id: Option<String>,
    #[serde(rename = "type", deserialize_with = "lenient::integer")]
    pub kind: Option<i64>,
    #[serde(deserialize_with = "lenient::objects")]
    pub fields: Vec<Field>,
    #[serde(deserialize_with = "lenient::list")]
    pub tag_ids: Vec<Option<String>>,
    #[serde(deserialize_with = "lenient::text")]
    pub create_time: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub last_update_time: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub convert_customer_time: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub wechat_nickname: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub wechat_avatar: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub wechat_location: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub qw_remark: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub external_user_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Field {
    #[serde(deserialize_with = "lenient::text")]
    pub field: Option<String>,
    #[serde(rename = "type", deserialize_with = "lenient::integer")]
    pub kind: Option<i64>,
    #[serde(deserialize_with = "lenient::text")]
    pub value_as_text: Option<String>,
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
    #[serde(deserialize_with = "lenient::text")]
    pub qw_user_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub external_user_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub union_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub qw_customer_time: Option<String>,
    #[serde(deserialize_with = "lenient::list")]
    pub mobiles: Vec<Option<String>>,
    #[serde(deserialize_with = "lenient::text")]
    pub wechat_nickname: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub wechat_avatar: Option<String>,
}
