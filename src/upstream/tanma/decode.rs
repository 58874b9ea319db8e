//! What Tanma answered, from its status and its bytes to the model: pure, so that the fuzzer can do without HTTP.

use serde_json::Value;

use crate::model::SourcedCustomer;
use crate::upstream::envelope::{Fault, Opener};
use crate::upstream::http::Reply;
use crate::upstream::{ListPage, Position, UpstreamError};

use super::{convert, wire};

/// The vendor's sample has 32 characters; what is sealed into our own cursor must leave that short enough for a URL. In bytes
/// as JSON writes the text, for so it is sealed: escapes take up to six for one.
pub const MAX_CURSOR_BYTES: usize = 1_024;

fn is_too_long(cursor: &str) -> bool {
    // Its quotes do not count.
    serde_json::to_string(cursor).is_ok_and(|json| json.len() - 2 > MAX_CURSOR_BYTES)
}

/// A page of the list: the one of this cursor, or the first.
pub fn list(opener: &Opener, reply: &Reply, cursor: Option<&str>, raw: bool) -> Result<ListPage, UpstreamError> {
    let envelope = opener.open(reply)?.success()?;
    let unreadable = |fault| opener.unreadable(fault);
    let page: wire::List =
        envelope.object().map_err(unreadable)?.ok_or_else(|| unreadable(Fault::at("data", "missing")))?;
    let next = match page.next_cursor {
        Some(next) if is_too_long(&next) => {
            return Err(unreadable(Fault::at("data.nextCursor", "too long")));
        }
        Some(next) if Some(next.as_str()) != cursor => Some(Position::Token(next)),
        // How the last page is marked is not documented: no cursor, or nothing more under the same one.
        Some(_) if !page.list.is_empty() => {
            return Err(unreadable(Fault::at("data.nextCursor", "does not advance")));
        }
        _ => None,
    };
    let mut as_sent: Vec<Option<Value>> = Vec::new();
    if raw {
        let mut data: Value = envelope.data().map_err(unreadable)?.unwrap_or_default();
        if let Value::Array(rows) = data["list"].take() {
            as_sent.extend(rows.into_iter().map(Some));
        }
    }
    as_sent.resize(page.list.len(), None);
    let convert = |(row, raw)| convert::list_row(&opener.name, row, raw);
    Ok(ListPage {
        rows: page.list.into_iter().zip(as_sent).map(convert).collect(),
        next,
        total: None,
        ended_early: false,
    })
}

/// One customer, whose relations are the rows; `None` where the source does not know it.
pub fn detail(opener: &Opener, reply: &Reply, raw: bool) -> Result<Option<SourcedCustomer>, UpstreamError> {
    let envelope = match opener.open(reply)?.success() {
        Err(error) if error.says_not_found() => return Ok(None),
        other => other?,
    };
    let unreadable = |fault| opener.unreadable(fault);
    let rows: Vec<wire::DetailRow> = envelope.objects().map_err(unreadable)?;
    let raw = if raw { envelope.data().map_err(unreadable)? } else { None };
    Ok(convert::detail(&opener.name, rows, raw))
}
