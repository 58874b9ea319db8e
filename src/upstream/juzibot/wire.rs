//! JuziBot's JSON as it is (documentation: customer list, detail, `set_remark`, `add_follow`). Fields that the
//! documentation calls optional may be absent or null; unknown ones are ignored.

use serde::{Deserialize, Serialize};

use crate::upstream::lenient::{self, Code};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Customer {
    #[serde(deserialize_with = "lenient::text")]
    pub external_user_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub union_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub name: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub avatar: Option<String>,
    #[serde(deserialize_with = "lenient::integer")]
    pub gender: Option<i64>,
    #[serde(rename = "type", deserialize_with = "lenient::integer")]
    pub kind: Option<i64>,
    #[serde(deserialize_with = "lenient::objects")]
    pub follow_user: Vec<FollowUser>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FollowUser {
    #[serde(deserialize_with = "lenient::text")]
    pub user_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub name: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub avatar: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub remark: Option<String>,
    /// Epoch milliseconds.
    #[serde(deserialize_with = "lenient::integer")]
    pub create_timestamp: Option<i64>,
    #[serde(deserialize_with = "lenient::text")]
    pub state: Option<String>,
    #[serde(deserialize_with = "lenient::objects")]
    pub tags: Vec<Tag>,
    #[serde(deserialize_with = "lenient::list")]
    pub remark_mobiles: Vec<Option<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tag {
    #[serde(deserialize_with = "lenient::text")]
    pub group_name: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub tag_name: Option<String>,
    /// A string by the documentation; a number is read too.
    #[serde(rename = "type", deserialize_with = "lenient::code")]
    pub kind: Option<Code>,
    #[serde(deserialize_with = "lenient::text")]
    pub tag_id: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct SetRemark<'a> {
    pub remark_list: Vec<RemarkItem<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemarkItem<'a> {
    pub user_id: &'a str,
    pub union_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub struct AddFollow<'a> {
    pub follow_list: Vec<FollowItem<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FollowItem<'a> {
    pub union_id: &'a str,
    pub user_id: &'a str,
    pub text: Vec<Note<'a>>,
}

#[derive(Debug, Serialize)]
pub struct Note<'a> {
    pub content: &'a str,
    /// Epoch **seconds**, by the documentation's sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
}

/// An entry of `fail_list`: the item echoed, for `set_remark` with a code and a message "from WeCom". The code is a
/// string by the documentation; a number is read too.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FailedItem {
    #[serde(deserialize_with = "lenient::text")]
    pub user_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub union_id: Option<String>,
    #[serde(rename = "errcode", deserialize_with = "lenient::code")]
    pub code: Option<Code>,
    #[serde(rename = "errmsg", deserialize_with = "lenient::text")]
    pub message: Option<String>,
}
