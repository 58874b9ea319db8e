//! Tanma's JSON: the envelope, the rows inside it, its local times and its cursors.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::{TimeZone, offset};
use serde::Serialize;

use super::super::people::{RowKey, TanmaRow, TanmaView, Told};

#[derive(Serialize)]
pub(super) struct Reply<'a, D> {
    code: i64,
    message: &'a str,
    data: Option<D>,
}

impl<'a> Reply<'a, ()> {
    /// That `data` is null on a refusal is seen in no vendor's page.
    pub(super) fn refused(code: i64, message: &'a str) -> Self {
        Self { code, message, data: None }
    }
}

impl<'a, D> Reply<'a, D> {
    /// `message` is "ok" or "success", depending on the endpoint; both occur.
    pub(super) fn ok(message: &'a str, data: D) -> Self {
        Self { code: 0, message, data: Some(data) }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page<'a> {
    pub(super) list: Vec<ListRow<'a>>,
    #[serde(skip_serializing_if = "Told::is_absent")]
    pub(super) next_cursor: Told<String>,
}

/// The thirteen fields of a list row, in the order of the vendor's sample.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListRow<'a> {
    customer_id: i64,
    qw_user_id: &'a str,
    #[serde(rename = "type")]
    kind: u8,
    fields: Vec<Field<'a>>,
    tag_ids: &'a [String],
    create_time: String,
    last_update_time: String,
    wechat_nickname: Option<&'a str>,
    wechat_avatar: Option<&'a str>,
    wechat_location: Option<&'a str>,
    convert_customer_time: Option<String>,
    qw_remark: &'a str,
    external_user_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Field<'a> {
    #[serde(rename = "field")]
    key: &'a str,
    #[serde(rename = "type")]
    kind: u8,
    value_as_text: Option<&'a str>,
}

impl<'a> ListRow<'a> {
    /// `None` for a person the source does not know.
    pub(super) fn of(row: &'a TanmaRow) -> Option<Self> {
        let view: &TanmaView = row.person.tanma.as_ref()?;
        let field = |one: &'a super::super::people::Field| Field {
            key: one.key,
            kind: one.kind,
            value_as_text: one.value.as_deref(),
        };
        Some(Self {
            customer_id: view.customer_id,
            qw_user_id: row.relation.staff.id,
            kind: view.kind,
            fields: view.fields.iter().map(field).collect(),
            tag_ids: &row.relation.tag_ids,
            create_time: local_time(i64::try_from(row.relation.key.seconds).ok()?),
            last_update_time: local_time(row.relation.updated),
            wechat_nickname: view.nickname.as_deref(),
            wechat_avatar: view.avatar.as_deref(),
            wechat_location: view.location.as_deref(),
            convert_customer_time: view.converted.map(local_time),
            qw_remark: &row.relation.remark,
            external_user_id: view.lists_external_user_id.then_some(&row.person.external_user_id),
        })
    }
}

/// The seven fields of a detail row that are known; the eighth's name is not.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DetailRow<'a> {
    pub(super) qw_user_id: &'a str,
    pub(super) external_user_id: &'a str,
    pub(super) union_id: Option<&'a str>,
    pub(super) qw_customer_time: String,
    pub(super) mobiles: Option<&'a [String]>,
    pub(super) wechat_nickname: Option<&'a str>,
    pub(super) wechat_avatar: Option<&'a str>,
}

/// `YYYY-MM-DD HH:MM:SS` at UTC+08:00, as the vendor's cursor proves its times to be.
pub(super) fn local_time(seconds: i64) -> String {
    let instant = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    instant.to_zoned(TimeZone::fixed(offset(8))).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Standard base64 of three big-endian 64-bit numbers, as the vendor's sample decodes.
pub(super) fn cursor(key: RowKey) -> String {
    let numbers = [key.seconds, key.nanos, key.id];
    STANDARD.encode(numbers.map(u64::to_be_bytes).concat())
}

/// `None` for a text that is no cursor of ours.
pub(super) fn uncursor(text: &str) -> Option<RowKey> {
    let bytes: [u8; 24] = STANDARD.decode(text).ok()?.try_into().ok()?;
    let number = |at: usize| bytes[at..at + 8].try_into().ok().map(u64::from_be_bytes);
    Some(RowKey { seconds: number(0)?, nanos: number(8)?, id: number(16)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendors_cursor_is_read_and_written_alike() {
        let key = RowKey { seconds: 1_615_019_211, nanos: 137_252_000, id: 58_661_466 };
        assert_eq!(cursor(key), "AAAAAGBDPMsAAAAACC5MoAAAAAADfxpa");
        assert_eq!(uncursor("AAAAAGBDPMsAAAAACC5MoAAAAAADfxpa"), Some(key));
        assert_eq!(uncursor("AAAAAGBDPMs="), None);
    }

    #[test]
    fn times_are_shanghais() {
        assert_eq!(local_time(1_615_019_211), "2021-03-06 16:26:51");
    }
}
