//! What JuziBot answered, from its status and its bytes to the model: pure, so that the fuzzer can do without HTTP.

use serde_json::Value;

use crate::model::SourcedCustomer;
use crate::upstream::envelope::Opener;
use crate::upstream::http::Reply;
use crate::upstream::{FailedEntry, ListPage, Position, UpstreamError, WriteReply};

use super::{convert, wire};

/// A page of the list: the one of this number, from 1, of so many rows at most.
pub fn list(opener: &Opener, reply: &Reply, current: u64, size: u32, raw: bool) -> Result<ListPage, UpstreamError> {
    let envelope = opener.open(reply)?.success()?;
    let unreadable = |fault| opener.unreadable(fault);
    let rows: Vec<wire::Customer> = envelope.objects().map_err(unreadable)?;
    let mut as_sent: Vec<Option<Value>> =
        if raw { envelope.data().map_err(unreadable)?.unwrap_or_default() } else { Vec::new() };
    as_sent.resize(rows.len(), None);
    let total = envelope.total().map_err(unreadable)?;
    let next = next_page(current, u64::from(size), rows.len() as u64, total);
    let convert = |(row, raw)| convert::customer(&opener.name, row, raw);
    // An empty page ends a walk whatever the total promises; that it promised more is not kept back.
    let seen_before = current.saturating_sub(1).saturating_mul(u64::from(size));
    let ended_early = rows.is_empty() && total.is_some_and(|total| total > seen_before);
    let rows = rows.into_iter().zip(as_sent).map(convert).collect();
    Ok(ListPage { rows, next: next.map(Position::Page), total, ended_early })
}

/// The page after `current`, if there is one. The total decides, but never against what was seen: a full page that it
/// does not account for is followed, and an empty one ends the walk whatever it promises.
fn next_page(current: u64, size: u64, rows: u64, total: Option<u64>) -> Option<u64> {
    let seen_before = current.saturating_sub(1).saturating_mul(size);
    let more = match total {
        _ if rows == 0 => false,
        Some(total) if total >= seen_before + rows => total > seen_before + size.max(rows),
        Some(_) | None => rows >= size,
    };
    more.then(|| current + 1)
}

/// One customer; `None` where the source does not know it.
pub fn detail(opener: &Opener, reply: &Reply, raw: bool) -> Result<Option<SourcedCustomer>, UpstreamError> {
    let envelope = match opener.open(reply)?.success() {
        Err(error) if error.says_not_found() => return Ok(None),
        other => other?,
    };
    if envelope.raw_data().is_none_or(|data| is_empty_object(data.get())) {
        return Ok(None);
    }
    let unreadable = |fault| opener.unreadable(fault);
    let customer: wire::Customer = envelope.object().map_err(unreadable)?.unwrap_or_default();
    let raw = if raw { envelope.data().map_err(unreadable)? } else { None };
    Ok(Some(convert::customer(&opener.name, customer, raw)))
}

fn is_empty_object(json: &str) -> bool {
    json.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).is_some_and(|inner| inner.trim().is_empty())
}

/// What became of a chunk of a batch.
pub fn written(opener: &Opener, reply: &Reply) -> Result<WriteReply, UpstreamError> {
    let envelope = opener.open(reply)?;
    let entries: Vec<wire::FailedItem> = envelope.fail_list().map_err(|fault| opener.unreadable(fault))?;
    let failed = entries.into_iter().map(|entry| FailedEntry {
        reply: opener.reply(entry.code.as_ref(), entry.message.as_deref()),
        staff_id: entry.user_id,
        union_id: entry.union_id,
    });
    Ok(WriteReply { failed: failed.collect(), refusal: envelope.refusal })
}

#[cfg(test)]
mod tests {
    use super::next_page;

    #[test]
    fn the_total_ends_a_walk_but_never_against_what_was_seen() {
        assert_eq!(next_page(1, 100, 100, Some(250)), Some(2));
        assert_eq!(next_page(2, 100, 100, Some(200)), None, "exactly all");
        assert_eq!(next_page(3, 100, 50, Some(250)), None);
        assert_eq!(next_page(1, 100, 40, Some(250)), Some(2), "a short page that is not the last");
        assert_eq!(next_page(1, 100, 100, Some(7)), Some(2), "a total that is too small for the page itself");
        assert_eq!(next_page(1, 100, 100, None), Some(2));
        assert_eq!(next_page(1, 100, 99, None), None);
        assert_eq!(next_page(9, 100, 0, Some(5000)), None, "an empty page ends the walk");
    }
}
