//! Everything that may say no before a handler runs, in the order in which it does.

mod access_log;
mod address;
mod answer;
mod auth;
mod compression;
mod cors;
mod deadline;
mod forwarded;
mod hardening;
mod held;
mod message;
mod quota;
mod refusal_log;
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

use crate::memory::InFlight;
use crate::model::{Problem, ProblemCode};
use crate::pace::Pace;
use crate::routes::{BodyLimit, BodyPace};
use crate::store::concurrency::ConcurrencyLimit;
use crate::store::quota::Quotas;

pub(crate) use address::network;
pub use address::{AddressLimit, AddressLimitConfig};
pub use auth::{Auth, Authenticator, CallerConfig, Issuer, IssuerKeys, JwksUrl, KeySet};
pub use cors::Cors;
pub use deadline::Timeouts;
pub use forwarded::ClientAddressHeader;
pub(crate) use held::Held;

/// What the edge needs to decide.
#[derive(Clone)]
pub struct Edge {
    pub authenticator: Arc<Authenticator>,
    pub quotas: Arc<Quotas>,
    pub memory: InFlight,
    pub address_limit: AddressLimit,
    pub timeouts: Timeouts,
    /// Requests at once.
    pub max_in_flight: usize,
    /// In bytes.
    pub body_limit: usize,
    pub body_pace: Pace,
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
                .layer(Extension(BodyPace(self.body_pace)))
                // Who calls; a quota is of somebody.
                .layer(from_fn_with_state(self.authenticator.clone(), auth::authenticate))
                // Counts the caller and its requests in flight, and hands the handler all that the edge found out. After
                // authentication: a stranger holds no permit, whatever it sends and however slowly it reads. What is
                // answered within is held until it is written, problems too.
                .layer(from_fn_with_state(self.limits(), quota::limit))
                // Only for callers who are known: compression costs more than everything else at the edge (ADR 0041).
                .layer(from_fn(compression::keep_status))
                .layer(compression::layer())
                .layer(from_fn(compression::note_answer)),
        )
    }

    fn limits(&self) -> quota::Limits {
        quota::Limits {
            quotas: self.quotas.clone(),
            in_flight: ConcurrencyLimit::new(self.max_in_flight),
            memory: self.memory.clone(),
            public_url: self.public_url.clone(),
        }
    }

    /// What stands before every public route, outermost first.
    pub fn enclose(&self, router: Router) -> Router {
        let methods = self.methods.clone();
        let mut router = router
            .fallback(|| async { Problem::new(ProblemCode::NotFound, "no such route") })
            .method_not_allowed_fallback(async move |path: MatchedPath| method_not_allowed(&methods, &path));
        let cors = self.cors.layer();
        if let Some(cors) = &cors {
            // Preflights are answered here; without origins, no page of another origin may call.
            router = router.layer(cors.clone());
        }
        let limit = address::Limit { by: self.address_limit.clone(), cors };
        let identification =
            request::Identification { client: self.address_limit.client(), public_url: self.public_url.clone() };
        router.layer(
            ServiceBuilder::new()
                // On whatever is answered below.
                .map_response(hardening::add)
                // Names the request, logs its end, and gives the problems of all layers below their form.
                .layer(from_fn_with_state(identification, request::identify))
                // A panic is one 500, not a dropped connection.
                .layer(CatchPanicLayer::custom(|_panic: Box<dyn std::any::Any + Send>| {
                    Problem::new(ProblemCode::Internal, "a fault of the gateway; its log has more under the request id")
                        .into_response()
                }))
                // Whatever is refused or answered below counts: preflights and ambiguous messages too. An address that floods is
                // refused before it costs a signature check.
                .layer(from_fn_with_state(limit, address::limit))
                // Before anything goes by a message that has two meanings, preflights included.
                .layer(from_fn(message::check)),
        )
    }

    /// Logs how many access lines were omitted since the last call; to be called from time to time.
    pub fn log_omitted(&self) {
        self.address_limit.log_omitted();
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
mod tests;
