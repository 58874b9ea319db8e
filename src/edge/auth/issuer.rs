//! One issuer: its keys of the moment, and what must be so in a token for them to vouch for it.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode};

use crate::outbound::{ClientConfig, ClientError};

use super::fetched::{Arrival, FetchedKeys, NewerKeys};
use super::held::HeldKeys;
use super::keys::{Key, KeyId};
use super::token::{Claimed, Claims, Verified};
use super::{Issuer, IssuerKeys, KeySet};

const BAD_SIGNATURE: &str = "the token's signature is not valid";

/// Verifies the tokens of one issuer.
pub(super) struct Verifier {
    /// Its name in the configuration.
    pub(super) name: String,
    /// Its `iss`.
    pub(super) issuer: Arc<str>,
    pub(super) keys: Keys,
    validation: Validation,
}

/// Where the keys of the moment are.
pub(super) enum Keys {
    Held(HeldKeys),
    Fetched(Arc<FetchedKeys>),
}

/// Why a token does not do.
pub(super) enum Refusal {
    Bad(&'static str),
    /// There are no keys to tell by, and for so long nobody will look for some.
    NoKeys(Duration),
}

/// Why a token does not do with the keys at hand.
pub(super) enum NotNow {
    Bad(&'static str),
    /// None of these can have signed it, but one of a newer set might.
    NotOf(Option<Arc<KeySet>>),
}

/// What one set of keys says of a token.
enum Failed {
    /// No key of the set can have signed it, but one of a newer set might.
    OfNoKey,
    Bad(&'static str),
}

impl Verifier {
    pub(super) fn new(issuer: &Issuer, leeway: Duration, client: &ClientConfig) -> Result<Self, ClientError> {
        let keys = match &issuer.keys {
            IssuerKeys::Held(live) => Keys::Held(HeldKeys::new(live.clone())),
            IssuerKeys::Fetched(at) => Keys::Fetched(Arc::new(FetchedKeys::new(issuer, at, client)?)),
        };
        // The list comes from the configuration, never from the token.
        let mut validation = Validation::new(issuer.algorithms[0]);
        validation.algorithms.clone_from(&issuer.algorithms);
        validation.set_issuer(&[&issuer.issuer]);
        validation.set_audience(&issuer.audience);
        // Without this list the crate takes a token that lacks them.
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = leeway.as_secs();
        Ok(Self { name: issuer.name.clone(), issuer: issuer.issuer.as_str().into(), keys, validation })
    }

    /// Whether this issuer may have made the token.
    pub(super) fn may_vouch_for(&self, claimed: &Claimed) -> bool {
        *self.issuer == *claimed.issuer && self.validation.algorithms.contains(&claimed.algorithm)
    }

    /// Whether a key is still among those that vouch.
    pub(super) fn holds(&self, key: KeyId) -> bool {
        match &self.keys {
            Keys::Held(held) => held.live.get().holds(key),
            Keys::Fetched(fetched) => fetched.get().is_some_and(|keys| keys.holds(key)),
        }
    }

    /// The key that vouches for a token, and what the token says, by the keys at hand.
    pub(super) fn check(&self, token: &str, claimed: &Claimed) -> Result<(KeyId, Verified), NotNow> {
        let keys = match &self.keys {
            Keys::Held(held) => Some(held.live.get()),
            Keys::Fetched(fetched) => fetched.get(),
        };
        let Some(keys) = keys else { return Err(NotNow::NotOf(None)) };
        self.check_with(&keys, token, claimed).map_err(|failed| match failed {
            Failed::OfNoKey => NotNow::NotOf(Some(keys.clone())),
            Failed::Bad(why) => NotNow::Bad(why),
        })
    }

    /// The same by newer keys than these. A token whose key is unknown is bad only by keys that were read or fetched after
    /// it arrived.
    pub(super) async fn check_by_newer(
        &self,
        mut known: Option<Arc<KeySet>>,
        token: &str,
        claimed: &Claimed,
    ) -> Result<(KeyId, Verified), Refusal> {
        let arrival = self.keys.arrival();
        loop {
            let NewerKeys { keys, is_final } =
                self.keys.newer_than(known.as_ref(), arrival).await.map_err(Refusal::NoKeys)?;
            let is_known = known.is_some_and(|known| Arc::ptr_eq(&known, &keys));
            let failed = if is_known { Err(Failed::OfNoKey) } else { self.check_with(&keys, token, claimed) };
            match failed {
                Ok(verified) => return Ok(verified),
                Err(Failed::Bad(why)) => return Err(Refusal::Bad(why)),
                Err(Failed::OfNoKey) if is_final => return Err(Refusal::Bad(BAD_SIGNATURE)),
                Err(Failed::OfNoKey) => known = Some(keys),
            }
        }
    }

    fn check_with(&self, keys: &KeySet, token: &str, claimed: &Claimed) -> Result<(KeyId, Verified), Failed> {
        let kid = claimed.kid.as_deref();
        for key in keys.fitting(kid, claimed.algorithm) {
            if let Some(claims) = self.check_by(key, token, claimed).map_err(Failed::Bad)? {
                return Ok((key.id, claims.verified().map_err(Failed::Bad)?));
            }
        }
        let named = kid.is_some_and(|kid| keys.names(kid));
        Err(if named { Failed::Bad(BAD_SIGNATURE) } else { Failed::OfNoKey })
    }

    /// `None`: the key has not signed it.
    fn check_by(&self, key: &Key, token: &str, claimed: &Claimed) -> Result<Option<Claims>, &'static str> {
        let mut validation = self.validation.clone();
        validation.algorithms = vec![claimed.algorithm];
        // The signature comes first: an error about the claims is one of a token that the key has signed.
        match decode::<Claims>(token, &key.decoding, &validation) {
            Ok(data) => Ok(Some(data.claims)),
            Err(error) => reason(error.kind()).map_or(Ok(None), Err),
        }
    }
}

impl Keys {
    fn arrival(&self) -> Arrival {
        match self {
            Self::Held(_) => Arrival::default(),
            Self::Fetched(fetched) => fetched.arrival(),
        }
    }

    async fn newer_than(&self, known: Option<&Arc<KeySet>>, arrival: Arrival) -> Result<NewerKeys, Duration> {
        match self {
            Self::Held(held) => held.reread().await.map(|keys| NewerKeys { keys, is_final: true }),
            Self::Fetched(fetched) => fetched.newer_than(known, arrival).await,
        }
    }
}

/// What is wrong with the claims; `None`: it is about the signature.
fn reason(kind: &ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::ExpiredSignature => Some("the token has expired"),
        ErrorKind::ImmatureSignature => Some("the token is not valid yet"),
        ErrorKind::InvalidAudience => Some("the token is for another audience"),
        ErrorKind::InvalidIssuer => Some("the token is of another issuer"),
        ErrorKind::MissingRequiredClaim(_) => Some("the token lacks one of exp, iss, aud and sub"),
        ErrorKind::Json(_) | ErrorKind::Utf8(_) | ErrorKind::InvalidClaimFormat(_) => Some("the token is malformed"),
        _ => None,
    }
}
