//! `/docs` and `/openapi.json`: the document and the Swagger UI, its assets embedded.

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::model::{Problem, ProblemCode};

/// The UI's own 404 has no form.
async fn no_such_page(response: Response) -> Response {
    match response.status() {
        StatusCode::NOT_FOUND => Problem::new(ProblemCode::NotFound, "no such page").into_response(),
        _ => response,
    }
}

/// The routes of the documentation; `openapi_json` is the document as it is served.
pub fn docs(openapi_json: String) -> Router {
    let document: axum::body::Bytes = openapi_json.into();
    let serve = move || async move {
        ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], document).into_response()
    };
    // Relative, so that it is found behind an ingress that adds a prefix.
    let config = Config::from("../openapi.json")
        // No bar above the page: all that it does is to load other documents.
        .use_base_layout()
        .try_it_out_enabled(true)
        .validator_url("none");
    Router::new()
        .route("/openapi.json", get(serve))
        .merge(SwaggerUi::new("/docs").config(config))
        .layer(map_response(no_such_page))
}
