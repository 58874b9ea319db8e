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
    /// Name of the source to list. Required where more than one visible source has a list.
    #[param(required = false, pattern = "^[a-z][a-z0-9_]{0,31}$", example = "juzibot")]
    source: Option<String>,
    /// `staff_id` of a staff member: list only this member's customers. Some sources require it (`requires` in
    /// `/v1/sources`).
    #[param(required = false, min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    staff_id: Option<String>,
    /// Largest number of customers on the page. Default: 100. A page may be shorter, or empty, and still have a successor.
    /// Not allowed for a stream.
    #[param(required = false, minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_cursor` of the previous page. Absent: the first page.
    #[param(required = false, min_length = 1, max_length = 4096)]
    cursor: Option<String>,
    /// `raw` adds the source's own JSON to each record. Requires the scope `customers:raw`.
    #[param(required = false, inline)]
    include: Option<Include>,
}

/// Optional part of a response.
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

/// List the customers of a source
///
/// Each customer is one record of the source, not merged with other sources. The list ends where `page.next_cursor` is
/// `null`; a page may be empty before that. With `Accept: application/x-ndjson` the response is a stream of all customers,
/// one JSON object a line. Its last line is `{"end": {"count": …, "skipped": …, "warnings": […]}}`; a stream without that
/// line is incomplete.
#[utoipa::path(
    get,
    path = "/v1/customers",
    operation_id = "listCustomers",
    tag = "customers",
    params(ListParams),
    responses((
        status = 200,
        description = "One page of customers, or a stream of all customers.",
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
    /// Kind of the id in the path: `external_user_id` (default) or `union_id`.
    #[param(required = false, inline)]
    id_type: Option<IdType>,
    /// Name of the only source to query. Absent: all visible sources.
    #[param(required = false, pattern = "^[a-z][a-z0-9_]{0,31}$")]
    source: Option<String>,
    /// `staff_id` of a staff member: return only this member's `relations`.
    #[param(required = false, min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    staff_id: Option<String>,
    /// `raw` adds the source's own JSON to each record. Requires the scope `customers:raw`.
    #[param(required = false, inline)]
    include: Option<Include>,
    /// Response when a source fails and another one knows the customer: `allow` (default) returns the customer without
    /// that source's data, `fail` waits for every source until the deadline and returns the failure.
    #[param(required = false, inline)]
    on_partial: Option<OnPartialDoc>,
}

/// The headers, for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the headers to the document")]
pub struct CacheHeaders {
    /// `ETag` of a cached response: if it still matches, the response is a 304 without a body. Invalid values are ignored.
    #[param(rename = "If-None-Match", required = false, nullable = false)]
    if_none_match: Option<String>,
    /// `no-cache` queries the sources again: the response is from a call that was sent after this request, or a cached record if
    /// the source fails. It is ignored beside `If-None-Match`, because `fetch` in browsers and in Node adds it there on its own: to force a fresh
    /// response, leave `If-None-Match` out. Other values are ignored.
    #[param(rename = "Cache-Control", required = false, nullable = false)]
    cache_control: Option<String>,
}

/// Kind of a customer's id.
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

/// Get a customer
///
/// All visible sources are queried in parallel, and their records are merged; `meta.sources` has the result of each source.
/// If one fails, the response still contains the other sources' data, unless `on_partial=fail`.
#[utoipa::path(
    get,
    path = "/v1/customers/{id}",
    operation_id = "getCustomer",
    tag = "customers",
    params(
        ("id" = String, Path, min_length = 1, max_length = 128, pattern = "^[!-~]+$",
         description = "Id of the customer: its `external_user_id`, or with `id_type=union_id` its `union_id`.",
         example = "wmlDCclTY2XgOCTbIwxyjejlhLnjd5uX"),
        DetailParamsDoc,
        CacheHeaders,
    ),
    responses(
        (status = 200, description = "The customer, merged over the sources that know it.", body = CustomerAnswer),
        (status = 304, description = "The `ETag` in `If-None-Match` still matches. The response has no body."),
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
