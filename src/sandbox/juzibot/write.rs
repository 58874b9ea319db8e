//! `POST customer/set_remark` and `POST customer/add_follow`.
//!
//! The vendor does not say what an empty batch, an empty id or an empty note does: here the whole request is refused.

use serde::{Deserialize, Serialize};

use super::super::exchange::{Answer, Call};
use super::super::faults::Effect;
use super::super::people::{Person, Staff};
use super::super::state::{AppliedFollowUp, AppliedRemark, State, lock};
use super::super::strict;
use super::read::by_union_id;
use super::reply::{Failure, Reason, Reply};
use super::{MAX_DESCRIPTION, MAX_FOLLOW_UPS, MAX_REMARK, MAX_REMARKS, Query, Refusal, Rules, TooLong};

/// Ten-digit epoch seconds: 2001-09-09 to 2286-11-20. Milliseconds have thirteen digits.
const SECONDS: std::ops::RangeInclusive<i64> = 1_000_000_000..=9_999_999_999;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemarkBatch {
    remark_list: Vec<RemarkItem>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RemarkItem {
    user_id: String,
    union_id: String,
    #[serde(default, deserialize_with = "strict::present", skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
    #[serde(default, deserialize_with = "strict::present", skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FollowBatch {
    follow_list: Vec<FollowEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FollowEntry {
    union_id: String,
    user_id: String,
    text: Vec<Note>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    content: String,
    #[serde(default, deserialize_with = "strict::present", skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
}

impl RemarkItem {
    /// The code and message of the vendor for what is too long.
    fn too_long(&self) -> Option<(i64, &'static str)> {
        let longer = |text: &Option<String>, max| text.as_ref().is_some_and(|text| text.chars().count() > max);
        if longer(&self.remark, MAX_REMARK) {
            Some((-1, "remark too long"))
        } else if longer(&self.description, MAX_DESCRIPTION) {
            Some((-2, "description too long"))
        } else {
            None
        }
    }
}

pub(super) fn set_remark(state: &State, call: &Call) -> Result<Answer, Refusal> {
    let rules = &state.juzibot;
    let batch: RemarkBatch = body(rules, call)?;
    size(rules, batch.remark_list.len(), MAX_REMARKS)?;
    for item in &batch.remark_list {
        ids(rules, &item.user_id, &item.union_id)?;
        if item.remark.as_deref().unwrap_or_default().is_empty()
            && item.description.as_deref().unwrap_or_default().is_empty()
        {
            return Err(rules.bad_parameter("remark and description are both empty"));
        }
    }
    if rules.too_long == TooLong::WholeRequest
        && let Some((code, message)) = batch.remark_list.iter().find_map(RemarkItem::too_long)
    {
        return Err(Refusal { code, message: message.to_owned() });
    }
    let mut failures = Vec::new();
    let mut remarks = lock(&state.remarks);
    let struck = Struck::by(call);
    for (at, item) in batch.remark_list.into_iter().enumerate() {
        let relation = relation(state, &item.user_id, &item.union_id);
        let struck = (at < struck.items).then_some((struck.item_code, "simulated failure"));
        let stranger = (rules.no_relation, "不存在外部联系人的关系");
        let fault = struck.or(item.too_long()).or(relation.is_none().then_some(stranger));
        if let Some((code, message)) = fault {
            failures.push(Failure { item, reason: Some(Reason::new(rules.fail_code, code, message)) });
        } else if let Some((person, staff)) = relation {
            let RemarkItem { user_id: staff_id, union_id, remark, description } = item;
            remarks.apply(person.index, staff.id, AppliedRemark { staff_id, union_id, remark, description });
        }
    }
    Ok(Answer::json(&Reply::written(rules.envelope, struck.code, failures)))
}

pub(super) fn add_follow(state: &State, call: &Call) -> Result<Answer, Refusal> {
    let rules = &state.juzibot;
    let batch: FollowBatch = body(rules, call)?;
    size(rules, batch.follow_list.len(), MAX_FOLLOW_UPS)?;
    for entry in &batch.follow_list {
        ids(rules, &entry.user_id, &entry.union_id)?;
        if entry.text.is_empty() || entry.text.iter().any(|note| note.content.is_empty()) {
            return Err(rules.bad_parameter("text and its content must not be empty"));
        }
        if entry.text.iter().any(|note| note.timestamp.is_some_and(|at| !SECONDS.contains(&at))) {
            return Err(rules.bad_parameter("timestamp must be in seconds"));
        }
    }
    let mut failures = Vec::new();
    let struck = Struck::by(call);
    for (at, entry) in batch.follow_list.into_iter().enumerate() {
        if at < struck.items || relation(state, &entry.user_id, &entry.union_id).is_none() {
            failures.push(Failure { item: entry, reason: None });
            continue;
        }
        for note in entry.text {
            state.apply_follow_up(AppliedFollowUp {
                staff_id: entry.user_id.clone(),
                union_id: entry.union_id.clone(),
                content: note.content,
                timestamp: note.timestamp,
            });
        }
    }
    Ok(Answer::json(&Reply::written(rules.envelope, struck.code, failures)))
}

/// What [`Effect::FailItems`] makes fail; nothing where it does not strike.
#[derive(Default)]
struct Struck {
    items: usize,
    code: i64,
    item_code: i64,
}

impl Struck {
    fn by(call: &Call) -> Self {
        match call.fault {
            Some(Effect::FailItems { items, code, item_code }) => Self { items, code, item_code },
            _ => Self::default(),
        }
    }
}

fn body<T: serde::de::DeserializeOwned>(rules: &Rules, call: &Call) -> Result<T, Refusal> {
    Query::read(rules, &call.query, &[])?;
    strict::json(&call.body).map_err(|fault| rules.bad_parameter(fault))
}

fn size(rules: &Rules, items: usize, max: usize) -> Result<(), Refusal> {
    if (1..=max).contains(&items) {
        Ok(())
    } else {
        Err(rules.bad_parameter(format!("1 to {max} items are taken, not {items}")))
    }
}

fn ids(rules: &Rules, user_id: &str, union_id: &str) -> Result<(), Refusal> {
    if user_id.is_empty() || union_id.is_empty() {
        return Err(rules.bad_parameter("userId and unionId must not be empty"));
    }
    Ok(())
}

fn relation(state: &State, user_id: &str, union_id: &str) -> Option<(Person, &'static Staff)> {
    let person = by_union_id(state, union_id)?;
    let staff = person.juzibot.as_ref()?.relations.iter().find(|relation| relation.staff.id == user_id)?.staff;
    Some((person, staff))
}
