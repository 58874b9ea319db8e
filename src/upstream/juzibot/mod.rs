//! JuziBot ("v1"): the token in the query of every call, `errcode`/`errmsg`, page numbers, epoch milliseconds.

mod config;
mod convert;
pub(super) mod decode;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request};
use secrecy::ExposeSecret;
use serde::Serialize;
use url::Url;

use crate::model::{CustomerId, FollowUp, Operation, OperationOffer, Paging, Remark, SourcedCustomer};

use super::envelope::Opener;
use super::http::{Client, Effect, Reply};
use super::identity::Asked;
use super::secret::SourceSecret;
use super::size::json_bytes;
use super::{
    AddFollowUps, ClientConfig, ClientError, CodeClass, CodeTable, Deadline, FollowUpEntry, GetCustomer, GetRequest,
    KnownCode, ListCustomers, ListPage, ListRequest, Operations, Position, SetRemarks, Source, SourceConfig,
    UpstreamError, WriteReply,
};

pub use config::{Config, Raw};

/// "max is 1000" (documentation, customer list).
const MAX_PAGE_SIZE: u32 = 1_000;
/// "batch update supports 50 items at most" (documentation, `set_remark`).
const MAX_REMARKS: usize = 50;
/// "`follow_list` max length is 500" (documentation, `add_follow`).
const MAX_FOLLOW_UPS: usize = 500;
/// Bytes of the comma between the elements of a JSON list.
const SEPARATOR: usize = 1;

/// The codes that the documentation names: a remark (-1) or description (-2) that is too long. Elsewhere -1 is `WeCom`'s "system
/// busy". The codes for a refused token, a limit or an unknown id are not documented.
pub(super) const CODES: &[KnownCode] = &[
    (None, "-1", CodeClass::Retryable),
    (Some(Operation::SetRemarks), "-1", CodeClass::Invalid),
    (Some(Operation::SetRemarks), "-2", CodeClass::Invalid),
];

pub fn build(config: &SourceConfig, kind: &Config, client: &ClientConfig) -> Result<Source, ClientError> {
    let settings = &config.settings;
    let codes = CodeTable::new(CODES, &settings.codes);
    let juzibot = Arc::new(Juzibot {
        client: Client::new(&config.name, settings, client, kind.token.redactor())?,
        opener: Opener {
            name: config.name.clone(),
            codes: codes.clone(),
            redactor: kind.token.redactor(),
            clock_codes: &[],
        },
        token: kind.token.clone(),
        accept_translated_ids: settings.accept_translated_ids,
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
        codes: BTreeMap::new(),
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
    accept_translated_ids: bool,
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
        operation: Operation,
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
        decode::written(&self.opener, &reply, operation)
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
        let place = decode::Place { page: current, size: request.page_size, rows_before: request.rows_before };
        decode::list(&self.opener, &reply, place, request.raw)
    }
}

#[async_trait]
impl GetCustomer for Juzibot {
    fn requires_staff_id(&self) -> bool {
        false
    }

    async fn get(&self, request: &GetRequest, deadline: Deadline) -> Result<Option<SourcedCustomer>, UpstreamError> {
        let (operation, id) = match &request.id {
            CustomerId::ExternalUserId(id) => (Operation::GetByExternalUserId, ("externalUserId", id.as_str())),
            CustomerId::UnionId(id) => (Operation::GetByUnionId, ("unionId", id.as_str())),
        };
        let reply = self.get(&self.detail, &[id], deadline).await?;
        let asked = Asked { id: &request.id, accept_translated: self.accept_translated_ids };
        decode::detail(&self.opener, &reply, operation, &asked, request.raw)
    }
}

#[async_trait]
impl SetRemarks for Juzibot {
    fn max_batch(&self) -> usize {
        MAX_REMARKS
    }

    fn remark_bytes(&self, item: &Remark) -> usize {
        json_bytes(&wire::RemarkItem::from(item)) + SEPARATOR
    }

    async fn set_remarks(&self, items: &[&Remark], deadline: Deadline) -> Result<WriteReply, UpstreamError> {
        let remark_list = items.iter().map(|item| wire::RemarkItem::from(*item)).collect();
        self.post(Operation::SetRemarks, &self.set_remark, &wire::SetRemark { remark_list }, deadline).await
    }
}

#[async_trait]
impl AddFollowUps for Juzibot {
    fn max_batch(&self) -> usize {
        MAX_FOLLOW_UPS
    }

    fn entry_bytes(&self, item: &FollowUp) -> usize {
        let entry = wire::FollowItem { union_id: &item.union_id, user_id: &item.staff_id, text: Vec::new() };
        json_bytes(&entry) + SEPARATOR
    }

    fn note_bytes(&self, item: &FollowUp) -> usize {
        json_bytes(&wire::Note::from(item)) + SEPARATOR
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
                text: entry.notes.iter().map(|note| wire::Note::from(*note)).collect(),
            })
            .collect();
        self.post(Operation::AddFollowUps, &self.add_follow, &wire::AddFollow { follow_list }, deadline).await
    }
}
