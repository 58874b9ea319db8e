//! What Tanma answered, from its status and its bytes to the model: pure, so that the fuzzer can do without HTTP.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::{Operation, SourcedCustomer};
use crate::upstream::envelope::{Fragment, Opener};
use crate::upstream::http::Reply;
use crate::upstream::identity::{self, Asked};
use crate::upstream::lenient::Lenient;
use crate::upstream::repair;
use crate::upstream::rows::{self, BadPage, Row, Rows};
use crate::upstream::{ListPage, Position, UpstreamError};

use super::convert;

/// The vendor's sample has 32 characters; what is sealed into our own cursor must leave that short enough for a URL. In bytes
/// as JSON writes the text, for so it is sealed: escapes take up to six for one.
pub const MAX_CURSOR_BYTES: usize = 1_024;

fn is_too_long(cursor: &str) -> bool {
    // Its quotes do not count.
    serde_json::to_string(cursor).is_ok_and(|json| json.len() - 2 > MAX_CURSOR_BYTES)
}

/// A page of the list: the one of this cursor, or the first.
pub fn list(opener: &Opener, reply: &Reply, cursor: Option<&str>, raw: bool) -> Result<ListPage, UpstreamError> {
    let envelope = opener.open(Operation::ListCustomers, reply)?.success()?;
    let data = envelope.data().ok_or_else(|| opener.bad_data("data is missing"))?;
    // A key that is not valid text fails the parse of all members.
    let repaired = members(&data).is_err().then(|| repair::json(data.json));
    let data = repaired.as_ref().map_or(data, Fragment::of);
    let members = members(&data).map_err(|_| opener.bad_data("data is not an object"))?;
    let rows = list_in(opener, &data, &members)?;
    let next = next_cursor(opener, members.get("nextCursor").map(|sent| data.part(sent.get())))?;
    let page = rows::decode(&opener.name, None, rows, raw, |row| convert::list_row(&opener.name, row));
    let page = page.map_err(|why| opener.bad_data(why.as_str()))?;
    // How the last page is marked is not documented: no cursor, or nothing more under the same one. More rows under the same one
    // are this page again.
    let repeats = next.is_some() && next.as_deref() == cursor;
    Ok(ListPage {
        repeats: repeats && !page.rows.is_empty(),
        rows: page.rows,
        next: next.filter(|_| !repeats).map(Position::Token),
        total: None,
        total_unreadable: false,
        fingerprint: page.fingerprint,
    })
}

fn members<'a>(data: &Fragment<'a>) -> serde_json::Result<HashMap<Cow<'a, str>, &'a RawValue>> {
    serde_json::from_str(data.json)
}

/// The rows of `data.list`. Absent it is empty only if nothing but the cursor is there: else the format has changed, which must
/// not look like an empty list.
fn list_in<'a>(
    opener: &Opener,
    data: &Fragment<'a>,
    members: &HashMap<Cow<'a, str>, &'a RawValue>,
) -> Result<Rows<'a>, UpstreamError> {
    let Some(list) = members.get("list") else {
        let others = members.keys().any(|key| key != "nextCursor");
        return if others { Err(opener.bad_data("data.list is missing")) } else { Ok(Rows::List(Vec::new())) };
    };
    rows::split(&data.part(list.get())).map_err(|_| opener.too_large("too many rows"))
}

/// A cursor that cannot be read, or only after a repair, would end the list early, so it is an error.
fn next_cursor(opener: &Opener, sent: Option<Fragment<'_>>) -> Result<Option<String>, UpstreamError> {
    let Some(sent) = sent else { return Ok(None) };
    match serde_json::from_str::<Lenient<String>>(sent.json) {
        _ if sent.is_repaired(sent.json) => Err(opener.bad_data("data.nextCursor cannot be read")),
        Ok(Lenient::Absent) => Ok(None),
        Ok(Lenient::Value(next)) if is_too_long(&next) => Err(opener.bad_data("data.nextCursor is too long")),
        Ok(Lenient::Value(next)) => Ok(Some(next)),
        Ok(Lenient::Unreadable) | Err(_) => Err(opener.bad_data("data.nextCursor cannot be read")),
    }
}

/// One customer, whose relations are the rows; `None` where the source does not know it.
pub fn detail(
    opener: &Opener,
    reply: &Reply,
    asked: &Asked<'_>,
    raw: bool,
) -> Result<Option<SourcedCustomer>, UpstreamError> {
    let envelope = match opener.open(Operation::GetByExternalUserId, reply)?.success() {
        Err(error) if error.says_not_found() => return Ok(None),
        other => other?,
    };
    let rows = envelope.rows().map_err(|_| opener.too_large("too many rows"))?;
    let rows = rows.into_vec().ok_or_else(|| opener.bad_data(BadPage::NoList.as_str()))?;
    if rows.is_empty() {
        return Ok(None);
    }
    let read = identity::detail(&opener.name, asked, raw, rows, |row| convert::detail_row(&opener.name, row));
    let mut read = read.map_err(|why| opener.bad_data(why.as_str()))?;
    if raw {
        let raw: Option<Vec<Value>> = read.rows.iter_mut().map(Row::raw).collect();
        rows::attach_raw(&opener.name, &mut read.customer, raw.map(Value::Array));
    }
    Ok(Some(read.customer))
}
