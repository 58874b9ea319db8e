//! Everything that may say no before a handler runs, in the order in which it does.

mod address;
mod auth;
mod deadline;
mod forwarded;
mod hardening;
mod message;
mod overload;
mod quota;
mod request;

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, RETRY_AFTER,
};
use axum::http::{HeaderValue, Method};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::{Extension, Router};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};
use tower_http::cors::CorsLayer;

use crate::model::{Problem, ProblemCode};
use crate::routes::BodyLimit;
use crate::store::quota::Quotas;

pub use address::{AddressLimit, AddressLimitConfig};
pub use auth::{Auth, Authenticator, CallerConfig, Issuer, IssuerKeys, JwksUrl, KeySet};
pub use deadline::Timeouts;
pub use forwarded::ClientAddressHeader;
pub(crate) use overload::Held;

/// What the edge needs to decide.
#[derive(Clone)]
pub struct Edge {
    pub authenticator: Arc<Authenticator>,
    pub quotas: Arc<Quotas>,
    pub address_limit: AddressLimit,
    pub timeouts: Timeouts,
    /// Requests at once.
    pub max_in_flight: usize,
    /// In bytes.
    pub body_limit: usize,
    /// Origins whose pages may call.
    pub cors_origins: Vec<HeaderValue>,
}

impl Edge {
    /// What stands before the routes that need a caller, outermost first.
    pub fn protect(&self, api: Router) -> Router {
        api.layer(
            ServiceBuilder::new()
                // From here on the time runs, so that reading a slow body and checking a token count.
                .layer(from_fn_with_state(self.timeouts, deadline::set))
                // Before the body is read by anyone.
                .layer(Extension(BodyLimit(self.body_limit)))
                // Who calls; a quota is of somebody.
                .layer(from_fn_with_state(self.authenticator.clone(), auth::authenticate))
                // Counts the caller, and hands the handler all that the edge found out.
                .layer(from_fn_with_state(self.quotas.clone(), quota::limit)),
        )
    }

    /// What stands before every public route, outermost first.
    pub fn enclose(&self, router: Router) -> Router {
        let mut router = router
            .fallback(|| async { Problem::new(ProblemCode::NotFound, "no such route") })
            .method_not_allowed_fallback(|| async {
                Problem::new(ProblemCode::MethodNotAllowed, "the Allow header lists the route's methods")
            })
            .layer(
                ServiceBuilder::new()
                    // The narrow budget before the shared one: an address that floods is refused before it takes a slot
                    // or costs a signature check.
                    .layer(self.address_limit.layer())
                    // More than this at once is refused rather than queued.
                    .layer(from_fn_with_state(overload::Slots::new(self.max_in_flight), overload::shed))
                    // A stream is left alone: its lines are to go out as they come.
                    .layer(CompressionLayer::new().compress_when(
                        DefaultPredicate::new().and(NotForContentType::const_new("application/x-ndjson")),
                    )),
            );
        if let Some(cors) = cors(&self.cors_origins) {
            // Preflights are answered here; without origins, no page of another origin may call.
            router = router.layer(cors);
        }
        router.layer(
            ServiceBuilder::new()
                // On whatever is answered below.
                .map_response(hardening::add)
                // Names the request, logs its end, and gives every problem its form: also those of the layers below.
                .layer(from_fn(request::identify))
                // A panic is one 500, not a dropped connection.
                .layer(CatchPanicLayer::custom(|_panic: Box<dyn std::any::Any + Send>| {
                    Problem::new(ProblemCode::Internal, "a fault of the gateway; its log has more under the request id")
                        .into_response()
                }))
                // Before anything goes by a message that has two meanings, preflights included.
                .layer(from_fn(message::check)),
        )
    }

    /// Forgets callers and addresses that have not been seen for a while; to be called from time to time.
    pub fn sweep(&self) {
        self.quotas.sweep();
        self.address_limit.sweep();
    }
}

fn cors(origins: &[HeaderValue]) -> Option<CorsLayer> {
    let names = HeaderName::from_static;
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(origins.to_vec())
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([
                ACCEPT,
                AUTHORIZATION,
                CACHE_CONTROL,
                CONTENT_TYPE,
                IF_NONE_MATCH,
                names("idempotency-key"),
                names("prefer"),
                names("x-request-id"),
            ])
            .expose_headers([
                ETAG,
                RETRY_AFTER,
                names("cache-status"),
                names("idempotent-replayed"),
                names("ratelimit"),
                names("ratelimit-policy"),
                names("server-timing"),
                names("x-request-id"),
            ])
            .max_age(Duration::from_hours(1))
    })
}

/// How often [`Edge::sweep`] is worth its while.
pub const SWEEP_EVERY: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::num::NonZeroU32;

    use axum::body::to_bytes;
    use axum::extract::ConnectInfo;
    use axum::http::Request;
    use axum::routing::post;
    use tower::ServiceExt;

    use super::*;
    use crate::outbound::ClientConfig;
    use crate::store::quota::QuotaConfig;
    use crate::telemetry;

    fn edge() -> Edge {
        let quota = QuotaConfig {
            requests: NonZeroU32::new(100).unwrap(),
            window: Duration::from_secs(1),
            burst: NonZeroU32::new(100).unwrap(),
        };
        let auth = Auth { issuers: Vec::new(), default_sources_all: true, leeway: Duration::ZERO };
        Edge {
            authenticator: Arc::new(
                Authenticator::new(&auth, Vec::new(), Vec::new(), &ClientConfig::default()).unwrap(),
            ),
            quotas: Arc::new(Quotas::new(quota, [])),
            address_limit: AddressLimit::new(AddressLimitConfig {
                quota,
                trusted_proxies: Vec::new(),
                header: ClientAddressHeader::XForwardedFor,
            }),
            timeouts: Timeouts { request: Duration::from_secs(1), batch: Duration::from_secs(1) },
            max_in_flight: 10,
            body_limit: 1024,
            cors_origins: Vec::new(),
        }
    }

    /// The panics of this thread go to the hook of the service, those of other tests to theirs.
    fn hide_panic_messages_of_this_thread() {
        let theirs = std::panic::take_hook();
        telemetry::hide_panic_messages();
        let ours = std::panic::take_hook();
        let here = std::thread::current().id();
        std::panic::set_hook(Box::new(move |panic| {
            let hook = if std::thread::current().id() == here { &ours } else { &theirs };
            hook(panic);
        }));
    }

    #[tokio::test]
    async fn a_panic_is_one_500_and_one_line_that_say_nothing_of_its_message_or_of_the_request() {
        /// Its message holds the whole request.
        async fn panics(request: axum::extract::Request) -> &'static str {
            let (head, body) = request.into_parts();
            let said = format!("{head:?} {:?}", to_bytes(body, 10_000).await.unwrap());
            if SEEDED.iter().all(|word| said.contains(word)) { panic!("{said}") } else { "something is not in it" }
        }
        /// In the path, the query, the token and the body.
        const SEEDED: [&str; 4] = ["Pt7vKq2xLm", "Qy5wBn8zRc", "Tk4jGf9dSh", "Bd6pXr3tVn"];
        let log = tempfile::NamedTempFile::new().unwrap();
        let subscriber = telemetry::subscriber("trace", true, Arc::new(log.reopen().unwrap())).unwrap();
        let _logging = tracing::subscriber::set_default(subscriber);
        hide_panic_messages_of_this_thread();
        let router = edge().enclose(Router::new().route("/customers/{id}", post(panics)));
        let [id, query, token, body] = SEEDED;
        let mut request = Request::post(format!("/customers/{id}?staff_id={query}"))
            .header("host", "gateway.test")
            .header("x-request-id", "req-1")
            .header("authorization", format!("Bearer {token}"))
            .body(axum::body::Body::from(body))
            .unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 500);
        let headers = format!("{:?}", response.headers());
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&problem["code"], &problem["request_id"]), (&"internal".into(), &"req-1".into()));
        let log = std::fs::read_to_string(log.path()).unwrap();
        for said in [&headers, &problem.to_string(), &log] {
            assert_eq!(SEEDED.map(|word| said.contains(word)), [false; 4], "{said}");
        }
        let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let panicked: Vec<_> = lines.filter(|line| line["message"] == "panicked").collect();
        assert_eq!(panicked.len(), 1, "{log}");
        assert!(panicked[0]["place"].as_str().unwrap().starts_with(file!()), "{log}");
        assert_eq!(panicked[0]["span"]["request_id"], "req-1");
    }
}
