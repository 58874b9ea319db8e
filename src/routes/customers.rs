//! `GET /v1/customers` and `GET /v1/customers/{id}`.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa::IntoParams;

use crate::model::{CustomerAnswer, CustomerId, CustomerPage, Problem, Scope};
use crate::service::customers::{DetailQuery, OnPartial};
use crate::service::lists::{ListQuery, MAX_LIMIT};

use super::Services;
use super::cache_policy;
use super::extract::{ParamReader, PathId, Query, QueryParams, Reads};
use super::ndjson;
use super::negotiation::ListForm;

/// The query of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the parameters to the document; ListQuery holds their values")]
pub struct ListParams {
    /// The source to list; required where more than one visible source lists.
    #[param(required = false, pattern = "^[a-z][a-z0-9_]{0,31}$", example = "juzibot")]
    source: Option<String>,
    /// Only the customers of this staff member; some sources cannot list without it.
    #[param(required = false, min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    staff_id: Option<String>,
    /// The most customers on the page, 100 by default. A page may be shorter, or empty, while there are more.
    #[param(required = false, minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(required = false, min_length = 1, max_length = 4096)]
    cursor: Option<String>,
    /// `raw` adds the source's own JSON to each record; needs the scope `customers:raw`.
    #[param(required = false, inline)]
    include: Option<Include>,
}

/// What an answer holds beside the unified form.
#[derive(Clone, Copy, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Include {
    Raw,
}

impl QueryParams for ListQuery {
    const NAMES: &'static [&'static str] = &["source", "staff_id", "limit", "cursor", "include"];

    fn read(reader: &mut ParamReader) -> Self {
        Self {
            source: reader.text("source"),
            staff_id: reader.id("staff_id"),
            limit: reader.number("limit", 1, MAX_LIMIT),
            cursor: reader.text("cursor"),
            raw: reader.word("include", &[("raw", Include::Raw)]).is_some(),
        }
    }
}

/// List one source's customers, page by page.
///
/// A row is one record of the source, not merged with others. The walk is over where `page.next_cursor` is null; a page
/// may be empty before that. With `Accept: application/x-ndjson` all customers come as one stream, one a line, and the
/// last line is `{"end": …}`; without that line the stream is not complete.
#[utoipa::path(
    get,
    path = "/v1/customers",
    operation_id = "listCustomers",
    tag = "customers",
    params(ListParams),
    responses((
        status = 200,
        description = "One page of customers, or all of them as a stream.",
        content((CustomerPage = "application/json"), (String = "application/x-ndjson")),
    )),
    security(("bearer" = ["customers:read"])),
)]
pub async fn list(
    State(services): State<Services>,
    Reads(context): Reads,
    form: ListForm,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    if query.raw {
        context.require(Scope::CustomersRaw)?;
    }
    match form {
        ListForm::Page => Ok(cache_policy::uncached(&services.lists.page(&context, &query).await?)),
        ListForm::Stream if query.limit.is_some() => {
            Err(Problem::parameter("limit", "unknown", "limit is not supported for NDJSON streams"))
        }
        ListForm::Stream => Ok(ndjson::stream(services.walks.begin(&context, &query).await?)),
    }
}

/// The query of a detail.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the parameters to the document; DetailParams holds their values")]
pub struct DetailParamsDoc {
    /// Which of the two ids the path holds; `external_user_id` by default.
    #[param(required = false, inline)]
    id_type: Option<IdType>,
    /// Ask this source alone.
    #[param(required = false, pattern = "^[a-z][a-z0-9_]{0,31}$")]
    source: Option<String>,
    /// Narrow `relations` to this staff member.
    #[param(required = false, min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    staff_id: Option<String>,
    /// `raw` adds the source's own JSON to each record; needs the scope `customers:raw`.
    #[param(required = false, inline)]
    include: Option<Include>,
    /// What becomes of an answer that lacks a source: `allow` (default) serves it, `fail` waits for every source until the deadline
    /// and answers with the failure.
    #[param(required = false, inline)]
    on_partial: Option<OnPartialDoc>,
}

/// The headers, for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the headers to the document")]
pub struct CacheHeaders {
    /// The `ETag` of the answer that the caller has: if nothing has changed, the answer is a 304 without a body. Invalid
    /// values are ignored. A request with this header is answered from the cache: `Cache-Control: no-cache` beside it is
    /// ignored, because `fetch` in browsers and in Node adds that by itself.
    #[param(rename = "If-None-Match", required = false)]
    if_none_match: Option<String>,
    /// `no-cache` queries the sources again: no call that was sent before this request is answered with. It is ignored if the
    /// request has `If-None-Match`: leave that out to force it. Other directives are ignored.
    #[param(rename = "Cache-Control", required = false)]
    cache_control: Option<String>,
}

/// Which of a customer's ids is meant.
#[derive(Clone, Copy, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum IdType {
    ExternalUserId,
    UnionId,
}

#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the parameter to the document")]
pub enum OnPartialDoc {
    Allow,
    Fail,
}

/// A detail's parameters, but for the id in the path.
pub struct DetailParams {
    id_type: IdType,
    source: Option<String>,
    staff_id: Option<String>,
    raw: bool,
    on_partial: OnPartial,
}

impl QueryParams for DetailParams {
    const NAMES: &'static [&'static str] = &["id_type", "source", "staff_id", "include", "on_partial"];

    fn read(reader: &mut ParamReader) -> Self {
        let id_types = [("external_user_id", IdType::ExternalUserId), ("union_id", IdType::UnionId)];
        let on_partial = [("allow", OnPartial::Allow), ("fail", OnPartial::Fail)];
        Self {
            id_type: reader.word("id_type", &id_types).unwrap_or(IdType::ExternalUserId),
            source: reader.text("source"),
            staff_id: reader.id("staff_id"),
            raw: reader.word("include", &[("raw", Include::Raw)]).is_some(),
            on_partial: reader.word("on_partial", &on_partial).unwrap_or_default(),
        }
    }
}

/// One customer by either id, merged over the sources that know it.
///
/// Every visible source that can is asked at once; `meta.sources` says what each answered. One that fails does not take
/// the answer away while another knows the customer, unless `on_partial=fail` asks for that.
#[utoipa::path(
    get,
    path = "/v1/customers/{id}",
    operation_id = "getCustomer",
    tag = "customers",
    params(
        ("id" = String, Path, min_length = 1, max_length = 128, pattern = "^[!-~]+$",
         description = "The customer's external_user_id, or with `id_type=union_id` its union_id.",
         example = "wmlDCclTY2XgOCTbIwxyjejlhLnjd5uX"),
        DetailParamsDoc,
        CacheHeaders,
    ),
    responses(
        (status = 200, description = "The customer.", body = CustomerAnswer),
        (status = 304, description = "The answer that the caller has still holds."),
    ),
    security(("bearer" = ["customers:read"])),
)]
pub async fn detail(
    State(services): State<Services>,
    Reads(context): Reads,
    PathId(id): PathId,
    Query(params): Query<DetailParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if params.raw {
        context.require(Scope::CustomersRaw)?;
    }
    let query = DetailQuery {
        id: match params.id_type {
            IdType::ExternalUserId => CustomerId::ExternalUserId(id),
            IdType::UnionId => CustomerId::UnionId(id),
        },
        source: params.source,
        staff_id: params.staff_id,
        raw: params.raw,
        on_partial: params.on_partial,
        freshness: cache_policy::freshness(&headers),
    };
    let detail = services.customers.detail(&context, &query).await?;
    Ok(cache_policy::detail(&detail, query.raw, &headers))
}
