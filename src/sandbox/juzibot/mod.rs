//! The simulated `JuziBot` (its v1 API): token in the query, errors inside HTTP 200 as `errcode`/`errmsg`.

mod read;
mod reply;
mod write;

use axum::http::StatusCode;
use secrecy::{ExposeSecret, SecretString};

use super::exchange::{Answer, Call};
use super::{Endpoint, State};
use reply::Reply;

/// The most customers on a page, from the vendor's documentation.
pub const MAX_PAGE_SIZE: usize = 1_000;
/// The most items of one `set_remark`, from the vendor's documentation.
pub const MAX_REMARKS: usize = 50;
/// The most entries of one `add_follow`, from the vendor's documentation.
pub const MAX_FOLLOW_UPS: usize = 500;
/// The longest remark. The vendor says 20 without a unit; Unicode characters here.
pub const MAX_REMARK: usize = 20;
/// The longest description. The vendor says 150 without a unit; Unicode characters here.
pub const MAX_DESCRIPTION: usize = 150;

/// The account and how the source behaves where the vendor's documentation is silent.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The one token that is accepted. Default `sandbox-token`.
    pub token: SecretString,
    /// The code for a missing, wrong or revoked token. Unknown at the vendor; default 40001.
    pub token_refused: i64,
    /// The code for a request that is not well formed or too large. Unknown at the vendor; default 40058.
    pub bad_parameter: i64,
    /// How a detail says that it knows nobody by that id. Unknown at the vendor; default [`NotFound::NullData`].
    pub not_found: NotFound,
    /// What a remark or description that is too long does. Unknown at the vendor, who lists the codes -1 and -2 without saying
    /// where they stand; default [`TooLong::WholeRequest`].
    pub too_long: TooLong,
    /// The type of `errcode` in a `fail_list` entry. The documentation says a string, the envelope's is a number; default text.
    pub fail_code: FailCode,
    /// The code of an item whose customer is unknown or has no relation to the staff member. From `WeCom`'s table; default 84061.
    pub no_relation: i64,
    /// How the envelope is spelled; a public client accepts both. Default [`Envelope::ErrcodeErrmsg`].
    pub envelope: Envelope,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            token: "sandbox-token".into(),
            token_refused: 40_001,
            bad_parameter: 40_058,
            not_found: NotFound::NullData,
            too_long: TooLong::WholeRequest,
            fail_code: FailCode::Text,
            no_relation: 84_061,
            envelope: Envelope::ErrcodeErrmsg,
        }
    }
}

/// The form of a detail that found nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotFound {
    /// `errcode` 0 and `data: null`.
    NullData,
    /// `errcode` 0 and `data: {}`.
    EmptyObject,
    /// `errcode` 0 and no `data`.
    AbsentData,
    /// This code, and no `data`.
    Code(i64),
}

/// What a remark over [`MAX_REMARK`] (code -1) or a description over [`MAX_DESCRIPTION`] (code -2) does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooLong {
    /// The whole request is refused with the first such code; nothing is applied.
    WholeRequest,
    /// The item stands in `fail_list` with that code; the others are applied.
    PerItem,
}

/// The JSON type of a failed item's `errcode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailCode {
    Text,
    Number,
}

/// The names of the envelope's two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    ErrcodeErrmsg,
    CodeMessage,
}

/// A refusal of the whole request.
struct Refusal {
    code: i64,
    message: String,
}

impl Rules {
    fn bad_parameter(&self, message: impl Into<String>) -> Refusal {
        Refusal { code: self.bad_parameter, message: format!("invalid parameter: {}", message.into()) }
    }
}

/// The query's parameters, each at most once and none unknown.
struct Query(Vec<(String, String)>);

impl Query {
    /// `token` aside, only `known` parameters may stand there.
    fn read(rules: &Rules, query: &str, known: &[&str]) -> Result<Self, Refusal> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if name != "token" && !known.contains(&name.as_ref()) {
                return Err(rules.bad_parameter(format!("unknown {name}")));
            }
            if pairs.iter().any(|(one, _)| *one == name) {
                return Err(rules.bad_parameter(format!("{name} is there twice")));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(pairs))
    }

    /// `None` where the parameter is absent or empty: the vendor's page treats both alike for `userId`.
    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(one, value)| one == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}

/// A refusal of the whole request in this source's envelope.
pub(super) fn refused(state: &State, code: i64, message: &str) -> Answer {
    let message = message.to_owned();
    Answer::json(&Reply::refused(state.juzibot.envelope, &Refusal { code, message }))
}

pub(super) fn answer(state: &State, call: &Call) -> Answer {
    let rules = &state.juzibot;
    let token = url::form_urlencoded::parse(call.query.as_bytes()).find(|(name, _)| name == "token");
    let good = call.secret(state);
    if token.zip(good).is_none_or(|((_, token), good)| good.expose_secret() != token) {
        return refused(state, rules.token_refused, "invalid token");
    }
    let outcome = match call.endpoint {
        Endpoint::JuzibotList => read::list(state, call),
        Endpoint::JuzibotDetail => read::detail(state, call),
        Endpoint::JuzibotSetRemark | Endpoint::JuzibotAddFollow if !call.is_json() => {
            return Answer::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json");
        }
        Endpoint::JuzibotSetRemark => write::set_remark(state, call),
        Endpoint::JuzibotAddFollow => write::add_follow(state, call),
        Endpoint::TanmaList | Endpoint::TanmaDetails => Err(rules.bad_parameter("not an endpoint of this source")),
    };
    outcome.unwrap_or_else(|refusal| refused(state, refusal.code, &refusal.message))
}
