//! `/docs` and `/openapi.json`: the document and the Swagger UI, embedded. Strangers may request both, so that a request
//! compresses, hashes and rewrites nothing (ADR 0041).

mod accept_encoding;
mod file;
mod swagger_ui;

use std::sync::Arc;

use axum::Router;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use url::Url;

use crate::model::{Problem, ProblemCode};

use file::{EmbeddedFile, REVALIDATE};

/// The document as `/openapi.json` serves it. Cheap to clone.
#[derive(Clone)]
pub struct Document(Arc<EmbeddedFile>);

impl Document {
    pub fn new(openapi_json: String) -> Self {
        Self(Arc::new(EmbeddedFile::plain("application/json", openapi_json.into())))
    }

    /// Compresses it, so that no request has to. Blocks for some 10 ms.
    pub fn compress(&self) {
        self.0.compress();
    }
}

/// The routes of the documentation; `public_url` is the address in the document under which callers reach the service.
pub fn docs(Document(document): Document, public_url: Option<&Url>) -> Router {
    let serve = move |headers: HeaderMap| async move { document.respond(&headers, REVALIDATE) };
    let files = get(|uri: Uri, headers: HeaderMap| async move { swagger_ui_file(&uri, &headers) });
    let headers = page_headers(public_url);
    let page = Router::new()
        .route("/docs", get(|| async { (StatusCode::SEE_OTHER, [(LOCATION, "docs/")]) }))
        .route("/docs/", files.clone())
        .route("/docs/{*rest}", files)
        .layer(map_response(move |mut response: Response| {
            response.headers_mut().extend(headers.clone());
            std::future::ready(response)
        }));
    // Relative, so that it works behind a prefix. A person who opens the bare host wants the documentation.
    let root = get(|| async { (StatusCode::SEE_OTHER, [(LOCATION, "docs/")]) });
    Router::new().route("/", root).route("/openapi.json", get(serve)).merge(page)
}

fn swagger_ui_file(uri: &Uri, headers: &HeaderMap) -> Response {
    let name = uri.path().trim_start_matches("/docs/");
    swagger_ui::respond(name, headers)
        .unwrap_or_else(|| Problem::new(ProblemCode::NotFound, "no such file").into_response())
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
