//! `JuziBot`'s JSON: the envelope and the rows inside it.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::super::people::{JuzibotRelation, Person, Told};
use super::super::state::Remarks;
use super::{Envelope, FailCode, Refusal};

/// The envelope, its fields in the order of the documentation.
pub(super) struct Reply<'a, D> {
    spelling: Envelope,
    code: i64,
    message: &'a str,
    data: Told<D>,
    total: Option<usize>,
    fail_list: Vec<Failure<D>>,
}

impl<'a> Reply<'a, ()> {
    pub(super) fn refused(spelling: Envelope, refusal: &'a Refusal) -> Self {
        Self { code: refusal.code, message: &refusal.message, ..Reply::ok(spelling, Told::Absent) }
    }
}

impl<D> Reply<'_, D> {
    pub(super) fn ok(spelling: Envelope, data: Told<D>) -> Self {
        Self { spelling, code: 0, message: "ok", data, total: None, fail_list: Vec::new() }
    }

    pub(super) fn with_total(self, total: usize) -> Self {
        Self { total: Some(total), ..self }
    }

    /// `fail_list` is absent when nothing failed.
    pub(super) fn written(spelling: Envelope, code: i64, fail_list: Vec<Failure<D>>) -> Self {
        Self {
            code,
            message: if code == 0 { "ok" } else { "partial failure" },
            fail_list,
            ..Self::ok(spelling, Told::Absent)
        }
    }
}

impl<D: Serialize> Serialize for Reply<'_, D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (code, message) = match self.spelling {
            Envelope::ErrcodeErrmsg => ("errcode", "errmsg"),
            Envelope::CodeMessage => ("code", "message"),
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(code, &self.code)?;
        map.serialize_entry(message, self.message)?;
        if !self.data.is_absent() {
            map.serialize_entry("data", &self.data)?;
        }
        if let Some(total) = self.total {
            map.serialize_entry("total", &total)?;
        }
        if !self.fail_list.is_empty() {
            map.serialize_entry("fail_list", &self.fail_list)?;
        }
        map.end()
    }
}

/// A `fail_list` entry: the item as it was sent, and for remarks why.
#[derive(Serialize)]
pub(super) struct Failure<I> {
    #[serde(flatten)]
    pub(super) item: I,
    #[serde(flatten)]
    pub(super) reason: Option<Reason>,
}

#[derive(Serialize)]
pub(super) struct Reason {
    errmsg: &'static str,
    errcode: Code,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Code {
    Text(String),
    Number(i64),
}

impl Reason {
    pub(super) fn new(form: FailCode, code: i64, message: &'static str) -> Self {
        let errcode = match form {
            FailCode::Text => Code::Text(code.to_string()),
            FailCode::Number => Code::Number(code),
        };
        Self { errmsg: message, errcode }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Customer<'a> {
    external_user_id: &'a str,
    #[serde(skip_serializing_if = "Told::is_absent")]
    union_id: &'a Told<String>,
    name: &'a str,
    #[serde(skip_serializing_if = "Told::is_absent")]
    avatar: &'a Told<String>,
    gender: u8,
    #[serde(rename = "type")]
    account_type: u8,
    follow_user: Vec<FollowUser<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FollowUser<'a> {
    user_id: &'a str,
    name: &'a str,
    remark: &'a str,
    #[serde(skip_serializing_if = "Told::is_absent")]
    avatar: &'a Told<String>,
    create_timestamp: i64,
    tags: Vec<Tag<'a>>,
    #[serde(skip_serializing_if = "Told::is_absent")]
    state: &'a Told<String>,
    #[serde(skip_serializing_if = "Told::is_absent")]
    remark_mobiles: &'a Told<Vec<String>>,
}

#[derive(Serialize)]
struct Tag<'a> {
    #[serde(rename = "groupName")]
    group: &'a str,
    #[serde(rename = "tagName")]
    name: &'a str,
    /// A string: "1" corporate, "2" personal.
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(rename = "tagId", skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

impl<'a> Customer<'a> {
    /// `None` for a person the source does not know.
    pub(super) fn of(person: &'a Person, remarks: &'a Remarks) -> Option<Self> {
        let view = person.juzibot.as_ref()?;
        Some(Self {
            external_user_id: &person.external_user_id,
            union_id: &view.union_id,
            name: &person.name,
            avatar: &view.avatar,
            gender: person.gender,
            account_type: person.account_type,
            follow_user: view.relations.iter().map(|relation| FollowUser::of(person, relation, remarks)).collect(),
        })
    }
}

impl<'a> FollowUser<'a> {
    fn of(person: &Person, relation: &'a JuzibotRelation, remarks: &'a Remarks) -> Self {
        Self {
            user_id: relation.staff.id,
            name: relation.staff.name,
            remark: remarks.of(person.index, relation.staff.id).unwrap_or(&relation.remark),
            avatar: &relation.avatar,
            create_timestamp: relation.created_ms,
            tags: relation
                .tags
                .iter()
                .map(|tag| Tag {
                    group: tag.group,
                    name: tag.name,
                    kind: if tag.id.is_some() { "1" } else { "2" },
                    id: tag.id.as_deref(),
                })
                .collect(),
            state: &relation.state,
            remark_mobiles: &relation.mobiles,
        }
    }
}
