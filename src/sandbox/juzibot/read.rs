//! `GET customer/list` and `GET customer/detail`.

use serde_json::{Map, Value};

use super::super::exchange::{Answer, Call};
use super::super::faults::Effect;
use super::super::people::{Person, Told};
use super::super::state::{State, lock};
use super::reply::{Customer, Reply};
use super::{MAX_PAGE_SIZE, NotFound, Query, Refusal, Rules};

pub(super) fn list(state: &State, call: &Call) -> Result<Answer, Refusal> {
    let rules = &state.juzibot;
    let query = Query::read(rules, &call.query, &["current", "pageSize", "userId"])?;
    let page = number(rules, &query, "current", usize::MAX)?;
    let size = number(rules, &query, "pageSize", MAX_PAGE_SIZE)?;
    let repeated = usize::from(call.fault == Some(Effect::DuplicatePage) && page > 1);
    let offset = (page - 1 - repeated).saturating_mul(size);
    let (people, total) = state.people().juzibot_page(query.text("userId"), offset, size);
    let remarks = lock(&state.remarks);
    let rows: Vec<_> = people.iter().filter_map(|person| Customer::of(person, &remarks)).collect();
    Ok(Answer::json(&Reply::ok(rules.envelope, Told::Value(rows)).with_total(total)))
}

pub(super) fn detail(state: &State, call: &Call) -> Result<Answer, Refusal> {
    let rules = &state.juzibot;
    let query = Query::read(rules, &call.query, &["unionId", "externalUserId"])?;
    let person = match (query.text("unionId"), query.text("externalUserId")) {
        (Some(union_id), _) => by_union_id(state, union_id),
        (None, Some(external_user_id)) => state.people().by_external_user_id(external_user_id),
        (None, None) => return Err(rules.bad_parameter("unionId or externalUserId is required")),
    };
    let remarks = lock(&state.remarks);
    if let Some(customer) = person.as_ref().and_then(|person| Customer::of(person, &remarks)) {
        return Ok(Answer::json(&Reply::ok(rules.envelope, Told::Value(customer))));
    }
    let data = match rules.not_found {
        NotFound::NullData => Told::Null,
        NotFound::EmptyObject => Told::Value(Value::Object(Map::new())),
        NotFound::AbsentData => Told::Absent,
        NotFound::Code(code) => {
            return Err(Refusal { code, message: "customer not found".to_owned() });
        }
    };
    Ok(Answer::json(&Reply::ok(rules.envelope, data)))
}

/// Only customers whose union id the source itself tells can be found by it.
pub(super) fn by_union_id(state: &State, union_id: &str) -> Option<Person> {
    state
        .people()
        .by_union_id(union_id)
        .filter(|person| person.juzibot.as_ref().is_some_and(|view| view.union_id.value().is_some()))
}

fn number(rules: &Rules, query: &Query, name: &str, max: usize) -> Result<usize, Refusal> {
    let text = query.text(name).ok_or_else(|| rules.bad_parameter(format!("{name} is required")))?;
    text.parse()
        .ok()
        .filter(|number| (1..=max).contains(number) && text.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or_else(|| rules.bad_parameter(format!("{name} must be a number from 1 to {max}")))
}
