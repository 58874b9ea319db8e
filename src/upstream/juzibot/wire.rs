//! JuziBot's JSON as it is (documentation: customer list, detail, `set_remark`, `add_follow`). Fields that the
//! documentation calls optional may be absent or null, any may be damaged; unknown ones are ignored.

use serde::{Deserialize, Serialize};

use crate::model::{FollowUp, Remark as ModelRemark};
use crate::upstream::lenient::{Code, Id, Items, Lenient, from_object};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Customer {
    pub external_user_id: Lenient<Id>,
    pub union_id: Lenient<Id>,
    pub name: Lenient<String>,
    pub avatar: Lenient<String>,
    pub gender: Lenient<Code>,
    #[serde(rename = "type")]
    pub kind: Lenient<Code>,
    pub follow_user: Items<FollowUser>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FollowUser {
    pub user_id: Lenient<Id>,
    pub name: Lenient<String>,
    pub avatar: Lenient<String>,
    pub remark: Lenient<String>,
    /// Epoch milliseconds.
    pub create_timestamp: Lenient<i64>,
    pub state: Lenient<String>,
    pub tags: Items<Tag>,
    pub remark_mobiles: Items<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tag {
    pub group_name: Lenient<String>,
    pub tag_name: Lenient<String>,
    /// A string by the documentation.
    #[serde(rename = "type")]
    pub kind: Lenient<Code>,
    pub tag_id: Lenient<Id>,
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

impl<'a> From<&'a ModelRemark> for RemarkItem<'a> {
    fn from(item: &'a ModelRemark) -> Self {
        Self {
            user_id: &item.staff_id,
            union_id: &item.union_id,
            remark: item.remark.as_deref(),
            description: item.description.as_deref(),
        }
    }
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

impl<'a> From<&'a FollowUp> for Note<'a> {
    fn from(item: &'a FollowUp) -> Self {
        Self { content: &item.content, timestamp: item.occurred_at.map(jiff::Timestamp::as_second) }
    }
}

/// An entry of `fail_list`: the item echoed, for `set_remark` with a code and a message "from WeCom". The code is a
/// string by the documentation.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FailedItem {
    pub user_id: Lenient<Id>,
    pub union_id: Lenient<Id>,
    #[serde(rename = "errcode")]
    pub code: Lenient<Code>,
    #[serde(rename = "errmsg")]
    pub message: Lenient<String>,
}

from_object!(Customer, FollowUser, Tag, FailedItem);
