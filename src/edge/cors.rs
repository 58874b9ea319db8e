//! Cross-origin requests (CORS): the allowed origins and headers.

use std::time::Duration;

use axum::http::header::HeaderName;
use axum::http::{HeaderValue, Method};
use tower_http::cors::CorsLayer;

/// How long a browser may remember the answer to a preflight.
const MAX_AGE: Duration = Duration::from_hours(1);

/// Permissions of pages of other origins.
#[derive(Debug, Clone, Default)]
pub struct Cors {
    /// Origins whose pages may call; with none, no page of another origin may.
    pub origins: Vec<HeaderValue>,
    /// Headers that they may send: those of the `OpenAPI` document.
    pub request_headers: Vec<HeaderName>,
    /// Headers of answers that they may read: those of the `OpenAPI` document.
    pub response_headers: Vec<HeaderName>,
}

impl Cors {
    pub(super) fn layer(&self) -> Option<CorsLayer> {
        (!self.origins.is_empty()).then(|| {
            CorsLayer::new()
                .allow_origin(self.origins.clone())
                .allow_methods([Method::GET, Method::POST])
                .allow_headers(self.request_headers.clone())
                .expose_headers(self.response_headers.clone())
                .max_age(MAX_AGE)
        })
    }
}
