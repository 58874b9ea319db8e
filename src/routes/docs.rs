//! `/docs` and `/openapi.json`: the document and the Swagger UI, its assets embedded. The one page that a browser runs, so
//! it says how little it needs.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use url::Url;
use utoipa_swagger_ui::Config;

use crate::model::{Problem, ProblemCode};

/// The tab's title in the embedded page, and ours.
const TITLES: (&str, &str) = ("<title>Swagger UI</title>", "<title>scrm-gateway</title>");

/// The routes of the documentation; `openapi_json` is the document as it is served, `public_url` the address in it under which
/// callers reach the service.
pub fn docs(openapi_json: String, public_url: Option<&Url>) -> Router {
    let document: Bytes = openapi_json.into();
    let serve = move || async move {
        ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], document).into_response()
    };
    // Relative, so that it is found behind an ingress that adds a prefix.
    let config = Config::from("../openapi.json")
        // No bar above the page: all that it does is to load other documents.
        .use_base_layout()
        .try_it_out_enabled(true)
        .validator_url("none");
    let config = Arc::new(config);
    let assets = get(move |uri: Uri| async move { asset(&uri, config) });
    let headers = page_headers(public_url);
    let page = Router::new()
        .route("/docs", get(|| async { (StatusCode::SEE_OTHER, [(LOCATION, "docs/")]) }))
        .route("/docs/", assets.clone())
        .route("/docs/{*rest}", assets)
        .layer(map_response(move |mut response: Response| {
            response.headers_mut().extend(headers.clone());
            std::future::ready(response)
        }));
    // Relative, so that it works behind a prefix. A person who opens the bare host wants the documentation.
    let root = get(|| async { (StatusCode::SEE_OTHER, [(LOCATION, "docs/")]) });
    Router::new().route("/", root).route("/openapi.json", get(serve)).merge(page)
}

/// As strict as the Swagger UI allows: it sets styles of elements, and asks the service where "Try it out" is used.
fn page_headers(public_url: Option<&Url>) -> HeaderMap {
    let elsewhere = public_url.map(|url| format!(" {}", url.origin().ascii_serialization())).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
         connect-src 'self'{elsewhere}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let policy = HeaderValue::from_str(&policy).expect("an origin is ASCII");
    HeaderMap::from_iter([
        (CONTENT_SECURITY_POLICY, policy),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ])
}

/// A file of the Swagger UI; the page itself where none is named.
fn asset(uri: &Uri, config: Arc<Config<'static>>) -> Response {
    let name = uri.path().trim_start_matches("/docs/");
    match utoipa_swagger_ui::serve(name, config) {
        Ok(Some(file)) => {
            let is_page = file.content_type == "text/html";
            let page = std::str::from_utf8(&file.bytes).ok().filter(|_| is_page);
            let page = page.map(|page| page.replace(TITLES.0, TITLES.1));
            let body = match (page, file.bytes) {
                (Some(page), _) => page.into(),
                (None, Cow::Borrowed(embedded)) => Bytes::from_static(embedded),
                (None, Cow::Owned(made)) => made.into(),
            };
            ([(CONTENT_TYPE, file.content_type)], body).into_response()
        }
        Ok(None) => Problem::new(ProblemCode::NotFound, "no such file").into_response(),
        Err(error) => {
            tracing::error!(%error, "an asset of the documentation cannot be served");
            Problem::new(ProblemCode::Internal, "the file cannot be served").into_response()
        }
    }
}
