//! `list-by-qw-user-id` and `qw-details`. The vendor does not say which request fields are required: here the ids and `size` are.

use serde::Deserialize;

use super::super::exchange::{Answer, Call};
use super::super::people::Told;
use super::super::state::State;
use super::super::strict;
use super::reply::{DetailRow, ListRow, Page, Reply, cursor, local_time, uncursor};
use super::{NextCursor, Refusal, UnknownCustomer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ListRequest {
    qw_user_id: String,
    /// Left out on the first page.
    #[serde(default, deserialize_with = "strict::present")]
    cursor: Option<String>,
    size: usize,
    /// What it means is unknown at the vendor, whose sample asks for 2 and shows 1: any number is taken and nothing filtered.
    #[serde(default, rename = "type", deserialize_with = "strict::present")]
    _kind: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DetailsRequest {
    external_user_id: String,
    #[serde(default, deserialize_with = "strict::present")]
    qw_user_id: Option<String>,
}

pub(super) fn list(state: &State, call: &Call) -> Result<Answer, Refusal> {
    let rules = &state.tanma;
    let request: ListRequest = strict::json(&call.body).map_err(|fault| rules.bad_parameter(fault))?;
    if request.qw_user_id.is_empty() || !(1..=rules.max_size).contains(&request.size) {
        return Err(rules.bad_parameter(format!("qwUserId, and size from 1 to {}", rules.max_size)));
    }
    let foreign = || rules.bad_parameter("cursor");
    let after = request.cursor.map(|text| uncursor(&text).ok_or_else(foreign)).transpose()?;
    let page = state.people().tanma_page(&request.qw_user_id, after, request.size).map_err(|_| foreign())?;
    let next_cursor = match (page.next, rules.next_cursor) {
        (Some(key), _) => Told::Value(cursor(key)),
        (None, NextCursor::Null) => Told::Null,
        (None, NextCursor::Empty) => Told::Value(String::new()),
        (None, NextCursor::Absent) => Told::Absent,
    };
    let list = page.rows.iter().filter_map(ListRow::of).collect();
    Ok(Answer::json(&Reply::ok("ok", Page { list, next_cursor })))
}

pub(super) fn details(state: &State, call: &Call) -> Result<Answer, Refusal> {
    let rules = &state.tanma;
    let request: DetailsRequest = strict::json(&call.body).map_err(|fault| rules.bad_parameter(fault))?;
    if request.external_user_id.is_empty() || request.qw_user_id.as_deref() == Some("") {
        return Err(rules.bad_parameter("externalUserId and qwUserId must not be empty"));
    }
    let person = state.people().by_external_user_id(&request.external_user_id);
    let Some((person, view)) = person.as_ref().and_then(|person| Some((person, person.tanma.as_ref()?))) else {
        return match rules.unknown_customer {
            UnknownCustomer::EmptyList => Ok(Answer::json(&Reply::ok("success", [(); 0]))),
            UnknownCustomer::Code(code) => Err(Refusal { code, message: "客户不存在".to_owned() }),
        };
    };
    let of_whom = request.qw_user_id.as_deref();
    let relations = view.relations.iter().filter(|one| of_whom.is_none_or(|staff| staff == one.staff.id));
    let rows: Vec<DetailRow<'_>> = relations
        .map(|relation| DetailRow {
            qw_user_id: relation.staff.id,
            external_user_id: &person.external_user_id,
            union_id: view.union_id.as_deref(),
            qw_customer_time: local_time(relation.added),
            mobiles: (!person.mobiles.is_empty()).then_some(&person.mobiles),
            wechat_nickname: view.nickname.as_deref(),
            wechat_avatar: view.avatar.as_deref(),
        })
        .collect();
    Ok(Answer::json(&Reply::ok("success", rows)))
}
