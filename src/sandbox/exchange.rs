//! One request at a source: which endpoint it is for, its body, the answer, what a fault makes of it, and the source's own clock.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::http::header::{ALLOW, CONTENT_TYPE, DATE};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::Serialize;

use super::faults::{self, Effect};
use super::serve::{Cut, Handler};
use super::{Endpoint, Source, State, juzibot, tanma};

/// The largest request body that is read, in bytes; the vendors publish no limit.
const MAX_BODY: usize = 32 << 20;

/// What a source's handler is given.
pub(super) struct Call {
    pub(super) endpoint: Endpoint,
    /// As sent, without the question mark.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    /// Exactly the bytes that were sent.
    pub(super) body: Bytes,
    /// What strikes it, apart from delays.
    pub(super) fault: Option<Effect>,
}

impl Call {
    /// The time by the source's own clock, as this request meets it.
    pub(super) fn now(&self, state: &State) -> Timestamp {
        let now = state.now(self.endpoint.source());
        match self.fault {
            Some(Effect::ClockSkew(seconds)) => now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(now),
            _ => now,
        }
    }

    /// The secret that is good for this request; `None` where it is revoked.
    pub(super) fn secret(&self, state: &State) -> Option<SecretString> {
        state.secret(self.endpoint.source()).filter(|_| self.fault != Some(Effect::TokenRevoked))
    }

    pub(super) fn is_json(&self) -> bool {
        let kind = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    }
}

/// What a source answers.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
}

impl Answer {
    /// HTTP 200 with a JSON body.
    pub(super) fn json(body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => {
                Self { status: StatusCode::OK, content_type: "application/json; charset=utf-8", body: body.into() }
            }
            Err(error) => {
                Self::text(StatusCode::INTERNAL_SERVER_ERROR, format!("the sandbox cannot write its answer: {error}"))
            }
        }
    }

    pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: text.into().into() }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        response
    }
}

pub(super) fn handler(state: Arc<State>, source: Source) -> Handler {
    Arc::new(move |request, cut| {
        let state = state.clone();
        Box::pin(async move {
            let mut response = exchange(&state, source, request, &cut).await;
            if !response.headers().contains_key(DATE) {
                date(&mut response, state.now(source));
            }
            response
        })
    })
}

fn date(response: &mut Response<Body>, now: Timestamp) {
    let date = httpdate::fmt_http_date(SystemTime::from(now));
    response.headers_mut().extend(HeaderValue::try_from(date).ok().map(|date| (DATE, date)));
}

async fn exchange(state: &State, source: Source, request: Request<Incoming>, cut: &Cut) -> Response<Body> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let Some(endpoint) = Endpoint::ALL.into_iter().find(|one| one.source() == source && one.path() == path) else {
        return Answer::text(StatusCode::NOT_FOUND, "no such path").into_response();
    };
    if head.method != endpoint.method() {
        let mut response = Answer::text(StatusCode::METHOD_NOT_ALLOWED, "no such method here").into_response();
        if let Ok(allowed) = HeaderValue::from_str(endpoint.method().as_str()) {
            response.headers_mut().insert(ALLOW, allowed);
        }
        return response;
    }
    state.count(endpoint);
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return Answer::text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or was cut short").into_response();
    };
    let query = head.uri.query().unwrap_or_default().to_owned();
    let plan = state.faults.plan(endpoint);
    let call = Call { endpoint, query, headers: head.headers, body: body.to_bytes(), fault: plan.effect };
    wait(plan.before).await;
    if let Some(Effect::InsertRows(count)) = call.fault {
        state.insert_customers(count as usize);
    }
    let applies = call.fault.as_ref().is_none_or(Effect::applies);
    let answer = if applies { answer(state, &call) } else { Answer::text(StatusCode::OK, "") };
    wait(plan.after).await;
    let mut response = faults::spoilt(state, &call, answer, cut).await;
    if matches!(call.fault, Some(Effect::ClockSkew(_))) {
        date(&mut response, call.now(state));
    }
    response
}

/// Zero waits for nothing, not even for the timer's next tick.
async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn answer(state: &State, call: &Call) -> Answer {
    match call.endpoint.source() {
        Source::Juzibot => juzibot::answer(state, call),
        Source::Tanma => tanma::answer(state, call),
    }
}
