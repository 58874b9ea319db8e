//! JuziBot ("v1"): the token in the query of every call, `errcode`/`errmsg`, page numbers, epoch milliseconds.

mod config;
mod convert;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request};
use secrecy::ExposeSecret;
use serde::Serialize;
use url::Url;

use crate::model::{CustomerId, Operation, OperationOffer, Paging, Remark, SourcedCustomer, UpstreamReply};

use super::envelope::{Envelope, Opener};
use super::http::{Client, Effect, Reply};
use super::secret::SourceSecret;
use super::{
    AddFollowUps, ClientConfig, ClientError, CodeClass, CodeTable, Deadline, FailedEntry, FollowUpEntry, GetCustomer,
    GetRequest, ListCustomers, ListPage, ListRequest, Operations, Position, SetRemarks, Source, SourceConfig,
    UpstreamError, WriteReply,
};

pub use config::{Config, Raw};

/// "max is 1000" (documentation, customer list).
const MAX_PAGE_SIZE: u32 = 1_000;
/// "batch update supports 50 items at most" (documentation, `set_remark`).
const MAX_REMARKS: usize = 50;
/// "`follow_list` max length is 500" (documentation, `add_follow`).
const MAX_FOLLOW_UPS: usize = 500;

/// The codes that the documentation names; what is said of a refused token, a limit or an unknown id is not documented.
const CODES: &[(&str, CodeClass)] = &[("-1", CodeClass::Invalid), ("-2", CodeClass::Invalid)];

pub fn build(config: &SourceConfig, kind: &Config, client: &ClientConfig) -> Result<Source, ClientError> {
    let settings = &config.settings;
    let codes = CodeTable::new(CODES, &settings.codes);
    let juzibot = Arc::new(Juzibot {
        client: Client::new(&config.name, settings, client)?,
        opener: Opener {
            name: config.name.clone(),
            codes: codes.clone(),
            redactor: kind.token.redactor(),
            clock_codes: &[],
        },
        token: kind.token.clone(),
        list: settings.url("/api/v1/customer/list"),
        detail: settings.url("/api/v1/customer/detail"),
        set_remark: settings.url("/api/v1/customer/set_remark"),
        add_follow: settings.url("/api/v1/customer/add_follow"),
    });
    let operations = Operations {
        list: Some(juzibot.clone()),
        get_by_external_user_id: Some(juzibot.clone()),
        get_by_union_id: Some(juzibot.clone()),
        set_remarks: Some(juzibot.clone()),
        add_follow_ups: Some(juzibot),
    };
    Ok(Source::new(config, operations, offers(), codes, kind.token.clone()))
}

/// What JuziBot offers. Whether its reads are deprecated is not certain: one group-level page says so, the
/// documentation itself does not.
fn offers() -> BTreeMap<Operation, OperationOffer> {
    let offer = |deprecated_by_vendor, paging, max_batch, fields: &[&str]| OperationOffer {
        offered: true,
        deprecated_by_vendor,
        paging,
        requires: Vec::new(),
        max_batch,
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    };
    BTreeMap::from([
        (Operation::ListCustomers, offer(None, Some(Paging::Page), None, convert::FIELDS)),
        (Operation::GetByExternalUserId, offer(None, None, None, convert::FIELDS)),
        (Operation::GetByUnionId, offer(None, None, None, convert::FIELDS)),
        (Operation::SetRemarks, offer(Some(false), None, Some(MAX_REMARKS), &[])),
        (Operation::AddFollowUps, offer(Some(false), None, Some(MAX_FOLLOW_UPS), &[])),
    ])
}

struct Juzibot {
    client: Client,
    opener: Opener,
    token: SourceSecret,
    list: Url,
    detail: Url,
    set_remark: Url,
    add_follow: Url,
}

impl Juzibot {
    /// The URL of one call, with the token of now. Nothing prints it: it goes into a request, and errors lose it.
    fn with_token(&self, url: &Url, query: &[(&str, &str)]) -> Url {
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("token", self.token.get().expose_secret()).extend_pairs(query);
        url
    }

    async fn get(&self, url: &Url, query: &[(&str, &str)], deadline: Deadline) -> Result<Reply, UpstreamError> {
        let request = || Request::new(Method::GET, self.with_token(url, query));
        self.client.send(Effect::Read, deadline, request).await
    }

    async fn post<T: Serialize + Sync>(
        &self,
        url: &Url,
        body: &T,
        deadline: Deadline,
    ) -> Result<WriteReply, UpstreamError> {
        let body = serde_json::to_vec(body).expect("structs of strings and numbers have a JSON form");
        let reply = self
            .client
            .send(Effect::Write, deadline, || {
                let mut request = Request::new(Method::POST, self.with_token(url, &[]));
                request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                *request.body_mut() = Some(body.into());
                request
            })
            .await?;
        let envelope = self.opener.open(&reply)?;
        let failed = self.failed(&envelope)?;
        Ok(WriteReply { refusal: envelope.refusal, failed })
    }

    fn failed(&self, envelope: &Envelope<'_>) -> Result<Vec<FailedEntry>, UpstreamError> {
        let entries: Vec<wire::FailedItem> = envelope.fail_list().map_err(|fault| self.opener.unreadable(fault))?;
        let reply = |entry: &wire::FailedItem| -> Option<UpstreamReply> {
            self.opener.reply(entry.code.as_ref(), entry.message.as_deref())
        };
        Ok(entries
            .into_iter()
            .map(|entry| FailedEntry { reply: reply(&entry), staff_id: entry.user_id, union_id: entry.union_id })
            .collect())
    }
}

#[async_trait]
impl ListCustomers for Juzibot {
    fn max_page_size(&self) -> u32 {
        MAX_PAGE_SIZE
    }

    fn requires_staff_id(&self) -> bool {
        false
    }

    async fn list(&self, request: &ListRequest, deadline: Deadline) -> Result<ListPage, UpstreamError> {
        let current = match &request.position {
            Position::Page(number) => *number,
            // The documentation's sample starts at 1.
            Position::Start | Position::Token(_) => 1,
        };
        let (page, size) = (current.to_string(), request.page_size.to_string());
        let mut query = vec![("current", page.as_str()), ("pageSize", size.as_str())];
        query.extend(request.staff_id.as_deref().map(|staff_id| ("userId", staff_id)));
        let reply = self.get(&self.list, &query, deadline).await?;
        let envelope = self.opener.open(&reply)?.success()?;
        let unreadable = |fault| self.opener.unreadable(fault);
        let rows: Vec<wire::Customer> = envelope.objects().map_err(unreadable)?;
        let mut raw: Vec<Option<serde_json::Value>> =
            if request.raw { envelope.data().map_err(unreadable)?.unwrap_or_default() } else { Vec::new() };
        raw.resize(rows.len(), None);
        let total = envelope.total().map_err(unreadable)?;
        let next = next_page(current, u64::from(request.page_size), rows.len() as u64, total);
        let convert = |(row, raw)| convert::customer(&self.opener.name, row, raw);
        // An empty page ends a walk whatever the total promises; that it promised more is not kept back.
        let seen_before = current.saturating_sub(1).saturating_mul(u64::from(request.page_size));
        let ended_early = rows.is_empty() && total.is_some_and(|total| total > seen_before);
        let rows = rows.into_iter().zip(raw).map(convert).collect();
        Ok(ListPage { rows, next: next.map(Position::Page), total, ended_early })
    }
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

#[async_trait]
impl GetCustomer for Juzibot {
    fn requires_staff_id(&self) -> bool {
        false
    }

    async fn get(&self, request: &GetRequest, deadline: Deadline) -> Result<Option<SourcedCustomer>, UpstreamError> {
        let id = match &request.id {
            CustomerId::ExternalUserId(id) => ("externalUserId", id.as_str()),
            CustomerId::UnionId(id) => ("unionId", id.as_str()),
        };
        let reply = self.get(&self.detail, &[id], deadline).await?;
        let envelope = match self.opener.open(&reply)?.success() {
            Err(error) if error.says_not_found() => return Ok(None),
            other => other?,
        };
        if envelope.raw_data().is_none_or(|data| is_empty_object(data.get())) {
            return Ok(None);
        }
        let unreadable = |fault| self.opener.unreadable(fault);
        let customer: wire::Customer = envelope.object().map_err(unreadable)?.unwrap_or_default();
        let raw = if request.raw { envelope.data().map_err(unreadable)? } else { None };
        Ok(Some(convert::customer(&self.opener.name, customer, raw)))
    }
}

fn is_empty_object(json: &str) -> bool {
    json.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).is_some_and(|inner| inner.trim().is_empty())
}

#[async_trait]
impl SetRemarks for Juzibot {
    fn max_batch(&self) -> usize {
        MAX_REMARKS
    }

    async fn set_remarks(&self, items: &[&Remark], deadline: Deadline) -> Result<WriteReply, UpstreamError> {
        let remark_list = items
            .iter()
            .map(|item| wire::RemarkItem {
                user_id: &item.staff_id,
                union_id: &item.union_id,
                remark: item.remark.as_deref(),
                description: item.description.as_deref(),
            })
            .collect();
        self.post(&self.set_remark, &wire::SetRemark { remark_list }, deadline).await
    }
}

#[async_trait]
impl AddFollowUps for Juzibot {
    fn max_batch(&self) -> usize {
        MAX_FOLLOW_UPS
    }

    async fn add_follow_ups(
        &self,
        entries: &[FollowUpEntry<'_>],
        deadline: Deadline,
    ) -> Result<WriteReply, UpstreamError> {
        let follow_list = entries
            .iter()
            .map(|entry| wire::FollowItem {
                union_id: entry.union_id,
                user_id: entry.staff_id,
                text: entry
                    .notes
                    .iter()
                    .map(|note| wire::Note {
                        content: &note.content,
                        timestamp: note.occurred_at.map(jiff::Timestamp::as_second),
                    })
                    .collect(),
            })
            .collect();
        self.post(&self.add_follow, &wire::AddFollow { follow_list }, deadline).await
    }
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
