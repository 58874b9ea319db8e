//! Tanma SCRM ("v3"): signed headers, `code`/`message`, cursors, times of Shanghai.

mod config;
mod convert;
pub(super) mod decode;
mod sign;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Request};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use url::Url;

use crate::model::{Operation, OperationOffer, Paging, SourcedCustomer};

use super::envelope::Opener;
use super::http::{Client, Effect, Reply};
use super::identity::Asked;
use super::{
    ClientConfig, ClientError, CodeClass, CodeTable, Deadline, GetCustomer, GetRequest, KnownCode, ListCustomers,
    ListPage, ListRequest, Operations, Position, Source, SourceConfig, UpstreamError,
};

pub use config::{Config, Raw};

/// The codes seen in a public client: 1002 signature, 1003 time too far from the server's, 40417 parameters. The
/// vendor's own table is not known.
pub(super) const CODES: &[KnownCode] = &[
    (None, "1002", CodeClass::Credentials),
    (None, "1003", CodeClass::Credentials),
    (None, "40417", CodeClass::Invalid),
];

/// The code by which our timestamp is refused.
pub(super) const CLOCK_CODES: &[&str] = &["1003"];

pub fn build(config: &SourceConfig, kind: &Config, client: &ClientConfig) -> Result<Source, ClientError> {
    let settings = &config.settings;
    let codes = CodeTable::new(CODES, &settings.codes);
    let tanma = Arc::new(Tanma {
        client: Client::new(&config.name, settings, client, kind.app_key.redactor())?,
        opener: Opener {
            name: config.name.clone(),
            codes: codes.clone(),
            redactor: kind.app_key.redactor(),
            clock_codes: CLOCK_CODES,
        },
        list: settings.url("/api/v3/customer-relation/list-by-qw-user-id"),
        detail: settings.url("/api/v2/customer/qw-details"),
        accept_translated_ids: settings.accept_translated_ids,
        config: kind.clone(),
    });
    let operations =
        Operations { list: Some(tanma.clone()), get_by_external_user_id: Some(tanma), ..Operations::default() };
    Ok(Source::new(config, operations, offers(kind), codes, kind.app_key.clone()))
}

fn offers(config: &Config) -> BTreeMap<Operation, OperationOffer> {
    let offer = |deprecated, paging, requires_staff_id: bool, fields: &[&str]| OperationOffer {
        offered: true,
        deprecated_by_vendor: Some(deprecated),
        paging,
        requires: if requires_staff_id { vec!["staff_id".to_owned()] } else { Vec::new() },
        max_batch: None,
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        codes: BTreeMap::new(),
    };
    BTreeMap::from([
        (Operation::ListCustomers, offer(true, Some(Paging::Cursor), true, convert::LIST_FIELDS)),
        (Operation::GetByExternalUserId, offer(false, None, config.detail_requires_staff_id, convert::DETAIL_FIELDS)),
    ])
}

struct Tanma {
    client: Client,
    opener: Opener,
    list: Url,
    detail: Url,
    accept_translated_ids: bool,
    config: Config,
}

impl Tanma {
    /// Sends a signed call: the timestamp is of the moment of sending, the signature over the very bytes of the body.
    async fn call<T: Serialize + Sync>(
        &self,
        url: &Url,
        query: &T,
        deadline: Deadline,
    ) -> Result<Reply, UpstreamError> {
        let body = serde_json::to_vec(query).expect("structs of strings and numbers have a JSON form");
        self.client
            .send(Effect::Read, deadline, || {
                let app_key = self.config.app_key.get();
                let timestamp = Timestamp::now().as_millisecond().to_string();
                let sign = sign::sign(&self.config.app_id, &timestamp, &body, &app_key);
                let mut request = Request::new(Method::POST, url.clone());
                let headers = request.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                for (name, value) in [("appid", &self.config.app_id), ("timestamp", &timestamp), ("sign", &sign)] {
                    // All three were seen to be visible ASCII: the id by the configuration, the others by their make.
                    if let Ok(mut value) = HeaderValue::from_str(value) {
                        value.set_sensitive(name == "sign");
                        headers.insert(HeaderName::from_static(name), value);
                    }
                }
                if self.config.send_app_key_header {
                    headers.extend(header_value(&app_key).map(|key| (HeaderName::from_static("appkey"), key)));
                }
                *request.body_mut() = Some(body.into());
                request
            })
            .await
    }
}

/// A secret as a header that is never printed; `None` where its characters do not allow it.
fn header_value(secret: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(secret.expose_secret()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[async_trait]
impl ListCustomers for Tanma {
    fn max_page_size(&self) -> u32 {
        self.config.page_size
    }

    fn requires_staff_id(&self) -> bool {
        true
    }

    async fn list(&self, request: &ListRequest, deadline: Deadline) -> Result<ListPage, UpstreamError> {
        let cursor = match &request.position {
            Position::Token(token) => Some(token.as_str()),
            Position::Start | Position::Page(_) => None,
        };
        let query = wire::ListQuery {
            qw_user_id: request.staff_id.as_deref().unwrap_or_default(),
            cursor,
            size: request.page_size,
            kind: self.config.list_type,
        };
        let reply = self.call(&self.list, &query, deadline).await?;
        decode::list(&self.opener, &reply, cursor, request.raw)
    }
}

#[async_trait]
impl GetCustomer for Tanma {
    fn requires_staff_id(&self) -> bool {
        self.config.detail_requires_staff_id
    }

    async fn get(&self, request: &GetRequest, deadline: Deadline) -> Result<Option<SourcedCustomer>, UpstreamError> {
        // Details are fetched whole: the staff id goes out only where the source must have it.
        let staff_id = request.staff_id.as_deref().filter(|_| self.config.detail_requires_staff_id);
        let query = wire::DetailQuery { external_user_id: request.id.as_str(), qw_user_id: staff_id };
        let reply = self.call(&self.detail, &query, deadline).await?;
        let asked = Asked { id: &request.id, accept_translated: self.accept_translated_ids };
        decode::detail(&self.opener, &reply, &asked, request.raw)
    }
}
