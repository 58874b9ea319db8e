//! `/docs` and `/openapi.json`: the document and the Swagger UI, its assets embedded.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa_swagger_ui::Config;

use crate::model::{Problem, ProblemCode};

/// The tab's title in the embedded page, and ours.
const TITLES: (&str, &str) = ("<title>Swagger UI</title>", "<title>scrm-gateway</title>");

/// The routes of the documentation; `openapi_json` is the document as it is served.
pub fn docs(openapi_json: String) -> Router {
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
    Router::new()
        .route("/openapi.json", get(serve))
        .route("/docs", get(|| async { (StatusCode::SEE_OTHER, [(LOCATION, "docs/")]) }))
        .route("/docs/", assets.clone())
        .route("/docs/{*rest}", assets)
}

/// A file of the Swagger UI; the page itself where none is named.
fn asset(uri: &Uri, config: Arc<Config<'static>>) -> Response {
    let name = uri.path().trim_start_matches("/docs/");
    match utoipa_swagger_ui::serve(name, config) {
        Ok(Some(file)) => {
            let is_page = file.content_type == "text/html";
            let body = match std::str::from_utf8(&file.bytes) {
                Ok(page) if is_page => page.replace(TITLES.0, TITLES.1).into(),
                _ => Bytes::from(file.bytes.into_owned()),
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
