//! A token taken apart, strictly: what two readers could understand differently is refused before its signature is looked at.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::{Number, Value};

/// The longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// The longest subject, in bytes (`OpenID` Connect Core §2).
const MAX_SUB_BYTES: usize = 255;

const MALFORMED: &str = "the token is malformed";

/// What a token says of itself. It tells which keys may vouch for it; nothing of it is believed before one does.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) issuer: String,
}

/// # Errors
/// The token is longer than any that is verified.
pub(super) fn check_length(token: &str) -> Result<(), &'static str> {
    if token.len() <= MAX_TOKEN_BYTES { Ok(()) } else { Err("the token is too long") }
}

impl Claimed {
    /// # Errors
    /// Why it is refused, whoever signed it.
    pub(super) fn read(token: &str) -> Result<Self, &'static str> {
        let mut parts = token.split('.');
        // Five parts are an encrypted token (RFC 7516 §9).
        let (Some(header), Some(claims), Some(_signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(MALFORMED);
        };
        let header = Members::decode(header)?;
        let claims = Members::decode(claims)?;
        let algorithm = header.text("alg")?.and_then(|alg| alg.parse().ok());
        let algorithm = algorithm.ok_or("the token's algorithm is not accepted")?;
        let typ = header.text("typ")?.unwrap_or("JWT").to_ascii_lowercase();
        if !matches!(typ.as_str(), "jwt" | "at+jwt" | "application/at+jwt") {
            return Err("the token is of another type");
        }
        // Extensions that must be understood, or the token refused; none is (RFC 7515 §4.1.11). The crate passes over it.
        if header.0.contains_key("crit") {
            return Err("the token has critical extensions");
        }
        // A token in a token (RFC 7519 §5.2), and what marks an encrypted one.
        if header.text("cty")?.is_some_and(|cty| cty.to_ascii_lowercase().ends_with("jwt"))
            || header.0.contains_key("enc")
            || header.0.contains_key("zip")
        {
            return Err("the token is nested, encrypted or compressed");
        }
        let issuer = claims.text("iss")?.ok_or("the token lacks one of exp, iss, aud and sub")?.to_owned();
        Ok(Self { algorithm, kid: header.text("kid")?.map(str::to_owned), issuer })
    }
}

/// The members of a JSON object, each there once (RFC 7515 §4, RFC 7519 §4: else one reader takes the first, another the
/// last).
struct Members(BTreeMap<String, Value>);

impl Members {
    fn decode(part: &str) -> Result<Self, &'static str> {
        let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| MALFORMED)?;
        serde_json::from_slice(&json).map_err(|_| MALFORMED)
    }

    fn text(&self, name: &str) -> Result<Option<&str>, &'static str> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(MALFORMED),
        }
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose members are there once")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member is there twice"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

/// The claims of a token that a key has vouched for.
///
/// An optional claim must have its type where it is present. `null` is refused, so that `"sources": null` does not mean
/// all sources.
#[derive(Deserialize)]
pub(super) struct Claims {
    exp: Option<Number>,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<Number>,
    sub: Option<String>,
    #[serde(default, deserialize_with = "present")]
    scope: Option<Words>,
    #[serde(default, deserialize_with = "present")]
    scp: Option<Words>,
    #[serde(default, deserialize_with = "present")]
    sources: Option<Words>,
}

/// A list of words: a string with blanks between (RFC 8693 §4.2), or an array of strings.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Text(String),
    List(Vec<String>),
}

impl Words {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::Text(text) => text.split_ascii_whitespace().map(str::to_owned).collect(),
            Self::List(list) => list,
        }
    }
}

/// Deserializes a claim that is present; `null` is refused like any other wrong type.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// What a good token says of its caller, and when.
pub(super) struct Verified {
    pub(super) subject: String,
    pub(super) scopes: Vec<String>,
    pub(super) sources: Option<Vec<String>>,
    pub(super) life: Life,
}

/// From when to when a token holds, since 1970 in whole seconds, as the crate rounds them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    not_before: Duration,
    expires: Duration,
}

impl Claims {
    /// # Errors
    /// Why it is refused though it is well signed.
    pub(super) fn verified(self) -> Result<Verified, &'static str> {
        let subject = self.sub.filter(|sub| !sub.is_empty() && sub.len() <= MAX_SUB_BYTES);
        let subject = subject.ok_or("the token's sub is empty or longer than 255 bytes")?;
        let seconds = |number: &Number| number.as_f64().and_then(|at| Duration::try_from_secs_f64(at.round()).ok());
        let expires = self.exp.as_ref().and_then(seconds).ok_or(MALFORMED)?;
        let not_before = self.nbf.map_or(Some(Duration::ZERO), |nbf| seconds(&nbf)).ok_or(MALFORMED)?;
        let scopes = [self.scope, self.scp].into_iter().flatten().flat_map(Words::into_list).collect();
        let sources = self.sources.map(Words::into_list);
        Ok(Verified { subject, scopes, sources, life: Life { not_before, expires } })
    }
}

impl Life {
    /// How long the token still holds, at this time since 1970 in whole seconds; `None`: not yet, or no longer.
    pub(super) fn left(self, now: Duration, leeway: Duration) -> Option<Duration> {
        if self.not_before > now + leeway {
            return None;
        }
        self.expires.saturating_add(leeway).checked_sub(now)
    }
}
