//! Everything that may say no before a handler runs, in the order in which it does.

mod access_log;
mod address;
mod auth;
mod compression;
mod cors;
mod deadline;
mod forwarded;
mod hardening;
mod message;
mod overload;
mod quota;
mod request;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::MatchedPath;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::{Extension, Router};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::model::{Problem, ProblemCode};
use crate::routes::BodyLimit;
use crate::store::quota::Quotas;

pub use address::{AddressLimit, AddressLimitConfig};
pub use auth::{Auth, Authenticator, CallerConfig, Issuer, IssuerKeys, JwksUrl, KeySet};
pub use cors::Cors;
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
    pub cors: Cors,
    /// The methods of each path template; of others it is GET alone.
    pub methods: Arc<HashMap<String, String>>,
    /// Where callers reach the service, without a slash at its end; empty where that is not known.
    pub public_url: Arc<str>,
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
        let methods = self.methods.clone();
        let mut router = router
            .fallback(|| async { Problem::new(ProblemCode::NotFound, "no such route") })
            .method_not_allowed_fallback(async move |path: MatchedPath| method_not_allowed(&methods, &path))
            .layer(
                ServiceBuilder::new()
                    // The narrow budget before the shared one: an address that floods is refused before it takes a slot
                    // or costs a signature check.
                    .layer(self.address_limit.layer())
                    // More than this at once is refused rather than queued.
                    .layer(from_fn_with_state(overload::Slots::new(self.max_in_flight), overload::shed))
                    // What the handler has decided is what the caller gets, however it is coded.
                    .layer(from_fn(compression::keep_status))
                    .layer(compression::layer())
                    .map_response(compression::note_status),
            );
        if let Some(cors) = self.cors.layer() {
            // Preflights are answered here; without origins, no page of another origin may call.
            router = router.layer(cors);
        }
        let identification =
            request::Identification { client: self.address_limit.client(), public_url: self.public_url.clone() };
        router.layer(
            ServiceBuilder::new()
                // On whatever is answered below.
                .map_response(hardening::add)
                // Names the request, logs its end, and gives every problem its form: also those of the layers below.
                .layer(from_fn_with_state(identification, request::identify))
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

fn method_not_allowed(methods: &HashMap<String, String>, path: &MatchedPath) -> Problem {
    let allowed = methods.get(path.as_str()).map_or("GET, HEAD", String::as_str);
    Problem::new(ProblemCode::MethodNotAllowed, format!("this path allows only: {allowed}"))
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
            cors: Cors::default(),
            methods: Arc::default(),
            public_url: "".into(),
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
