//! What JuziBot answered, from its status and its bytes to the model: pure, so that the fuzzer can do without HTTP.

use crate::model::{Operation, SourcedCustomer};
use crate::upstream::envelope::Opener;
use crate::upstream::http::Reply;
use crate::upstream::identity::{self, Asked};
use crate::upstream::lenient::Lenient;
use crate::upstream::rows::{self, BadPage};
use crate::upstream::{FailedEntry, ListPage, Position, UpstreamError, WriteReply};

use super::{convert, wire};

/// The page that is requested.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Its number, from 1.
    pub page: u64,
    /// The most rows that it may have.
    pub size: u32,
    /// Rows of the pages before it.
    pub rows_before: u64,
}

/// A page of the list.
pub fn list(opener: &Opener, reply: &Reply, place: Place, raw: bool) -> Result<ListPage, UpstreamError> {
    let envelope = opener.open(Operation::ListCustomers, reply)?.success()?;
    if envelope.data().is_none() && envelope.has_unknown_list() {
        return Err(opener.bad_data(BadPage::NoList.as_str()));
    }
    let current = place.page;
    let rows = envelope.rows().map_err(|_| opener.too_large("too many rows"))?;
    let page = rows::decode(&opener.name, Some(current), rows, raw, |row| convert::customer(&opener.name, row));
    let page = page.map_err(|why| opener.bad_data(why.as_str()))?;
    let sent_total = envelope.total();
    let total = sent_total.clone().value().and_then(|total| u64::try_from(total).ok());
    let next = next_page(place, page.rows.len() as u64, total);
    Ok(ListPage {
        rows: page.rows,
        next: next.map(Position::Page),
        total,
        total_unreadable: total.is_none() && sent_total != Lenient::Absent,
        repeats: false,
        fingerprint: page.fingerprint,
    })
}

/// The page after this one, if there is one. A full page is always followed by another request: the source may cap or
/// understate its total. A short one is followed if the total says that there are more rows: the source may cap the size of a
/// page. An empty one ends the list.
fn next_page(place: Place, rows: u64, total: Option<u64>) -> Option<u64> {
    let more =
        rows >= u64::from(place.size) || total.is_some_and(|total| total > place.rows_before.saturating_add(rows));
    (rows > 0 && more).then(|| place.page.saturating_add(1))
}

/// One customer; `None` where the source does not know it.
pub fn detail(
    opener: &Opener,
    reply: &Reply,
    operation: Operation,
    asked: &Asked<'_>,
    raw: bool,
) -> Result<Option<SourcedCustomer>, UpstreamError> {
    let envelope = match opener.open(operation, reply)?.success() {
        Err(error) if error.says_not_found() => return Ok(None),
        other => other?,
    };
    let rows = envelope.rows().map_err(|_| opener.too_large("too many rows"))?;
    let rows = rows.into_vec().ok_or_else(|| opener.bad_data(BadPage::NoList.as_str()))?;
    if rows.is_empty() {
        return Ok(None);
    }
    let read = identity::detail(&opener.name, asked, raw, rows, |row| convert::customer(&opener.name, row));
    let mut read = read.map_err(|why| opener.bad_data(why.as_str()))?;
    if raw {
        let raw = read.rows.first_mut().and_then(rows::Row::raw);
        rows::attach_raw(&opener.name, &mut read.customer, raw);
    }
    Ok(Some(read.customer))
}

/// The outcome of a chunk of a batch. An entry of `fail_list` that cannot be read matches nothing that was sent.
pub fn written(opener: &Opener, reply: &Reply, operation: Operation) -> Result<WriteReply, UpstreamError> {
    let envelope = opener.open(operation, reply)?;
    let entries = envelope.failed_entries().map_err(|_| opener.too_large("too many entries in fail_list"))?;
    let failed = entries.into_iter().map(|mut entry| {
        let entry: wire::FailedItem = entry.read_unambiguous().unwrap_or_default();
        FailedEntry {
            reply: opener.reply(entry.code.value().as_ref(), entry.message.value().as_deref()),
            staff_id: entry.user_id.value().map(|id| id.0),
            union_id: entry.union_id.value().map(|id| id.0),
        }
    });
    let failed = failed.collect();
    Ok(WriteReply { failed, refusal: envelope.refusal })
}

#[cfg(test)]
mod tests {
    use super::{Place, next_page};

    fn next(page: u64, rows_before: u64, rows: u64, total: Option<u64>) -> Option<u64> {
        next_page(Place { page, size: 100, rows_before }, rows, total)
    }

    #[test]
    fn full_page_is_followed_whatever_the_total() {
        assert_eq!(next(1, 0, 100, Some(250)), Some(2));
        assert_eq!(next(2, 100, 100, Some(200)), Some(3), "the total may be capped");
        assert_eq!(next(1, 0, 100, Some(7)), Some(2), "or understated");
        assert_eq!(next(1, 0, 100, None), Some(2));
    }

    #[test]
    fn short_page_is_followed_if_total_says_so() {
        assert_eq!(next(1, 0, 40, Some(250)), Some(2));
        assert_eq!(next(3, 80, 40, Some(250)), Some(4), "the source caps its pages");
        assert_eq!(next(3, 200, 50, Some(250)), None);
        assert_eq!(next(1, 0, 99, None), None);
        assert_eq!(next(9, 800, 0, Some(5000)), None, "an empty page ends the list");
    }
}
