//! The simulated Tanma: signed headers, JSON over POST, errors inside HTTP 200 as `code`/`message`.

mod read;
mod reply;

use std::fmt::Write;
use std::time::Duration;

use axum::http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::exchange::{Answer, Call};
use super::{Endpoint, State};
use reply::Reply;

/// The signature is wrong, from a public client's table of codes.
pub const BAD_SIGN: i64 = 1_002;
/// The request's time is too far from the source's, from a public client's table of codes.
pub const BAD_TIME: i64 = 1_003;

/// The account and how the source behaves where the vendor's documentation is silent.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Default `sandbox_app`.
    pub app_id: String,
    /// The secret that signs. Default `sandbox-app-key`.
    pub app_key: SecretString,
    /// How far a timestamp may be from the source's clock, either way. Unknown at the vendor; default 5 minutes.
    pub clock_skew: Duration,
    /// The largest `size` of a list page. Unknown at the vendor, whose sample asks for 100; default 100.
    pub max_size: usize,
    /// The code for a request that is not well formed. 40417 is seen for one case of it; default 40417.
    pub bad_parameter: i64,
    /// How the last page of a list ends. Unknown at the vendor; default [`NextCursor::Null`].
    pub next_cursor: NextCursor,
    /// What a detail of an unknown id is. Unknown at the vendor; default [`UnknownCustomer::EmptyList`].
    pub unknown_customer: UnknownCustomer,
    /// Whether the `appKey` header must be there and right, as the documentation lists it; two public clients do not send it.
    /// Default false: ignored if sent.
    pub require_app_key_header: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            app_id: "sandbox_app".to_owned(),
            app_key: "sandbox-app-key".into(),
            clock_skew: Duration::from_mins(5),
            max_size: 100,
            bad_parameter: 40_417,
            next_cursor: NextCursor::Null,
            unknown_customer: UnknownCustomer::EmptyList,
            require_app_key_header: false,
        }
    }
}

/// The form of `nextCursor` on the last page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextCursor {
    Null,
    Empty,
    Absent,
}

/// The form of a detail that found nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownCustomer {
    /// `code` 0 and `data: []`.
    EmptyList,
    /// This code and `data: null`.
    Code(i64),
}

/// A refusal of the whole request.
struct Refusal {
    code: i64,
    message: String,
}

impl Rules {
    fn bad_parameter(&self, message: impl Into<String>) -> Refusal {
        Refusal { code: self.bad_parameter, message: format!("请求参数验证失败：{}", message.into()) }
    }
}

/// The signature over exactly these body bytes: lower-case hex of SHA-256 over the plain concatenation.
pub fn sign(app_id: &str, timestamp: &str, body: &[u8], app_key: &SecretString) -> String {
    let mut hash = Sha256::new();
    for part in [app_id.as_bytes(), timestamp.as_bytes(), body, app_key.expose_secret().as_bytes()] {
        hash.update(part);
    }
    hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A refusal of the whole request in this source's envelope.
pub(super) fn refused(code: i64, message: &str) -> Answer {
    Answer::json(&Reply::refused(code, message))
}

pub(super) fn answer(state: &State, call: &Call) -> Answer {
    if !call.is_json() {
        return Answer::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json");
    }
    let outcome = authenticate(state, call).and_then(|()| match call.endpoint {
        Endpoint::TanmaList => read::list(state, call),
        Endpoint::TanmaDetails => read::details(state, call),
        _ => Err(state.tanma.bad_parameter("not an endpoint of this source")),
    });
    outcome.unwrap_or_else(|refusal| refused(refusal.code, &refusal.message))
}

/// The signature comes first, then the time: the vendor's order is unknown.
fn authenticate(state: &State, call: &Call) -> Result<(), Refusal> {
    let rules = &state.tanma;
    let header = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let timestamp = header("timestamp");
    let good = call.secret(state).is_some_and(|key| {
        header("appId") == rules.app_id
            && header("sign") == sign(&rules.app_id, timestamp, &call.body, &key)
            && (!rules.require_app_key_header || header("appKey") == key.expose_secret())
    });
    if !good {
        return Err(Refusal { code: BAD_SIGN, message: "签名校验未通过".to_owned() });
    }
    let now = call.now(state).as_millisecond();
    let told = Some(timestamp)
        .filter(|text| text.len() == 13 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse::<u64>().ok());
    let skew = told.map(|told| i128::from(told).abs_diff(i128::from(now)));
    if skew.is_none_or(|skew| skew > rules.clock_skew.as_millis()) {
        return Err(Refusal { code: BAD_TIME, message: "请求时间与服务器时间相差过大".to_owned() });
    }
    Ok(())
}
