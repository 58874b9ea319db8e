//! Who calls: bearer tokens (RFC 6750 §2.1), verified after RFC 8725 and RFC 9068 (contract §7).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use secrecy::ExposeSecret;
use serde::Deserialize;
use tokio::time::Instant;

use crate::config::{Auth, CallerConfig, Issuer, IssuerKeys};
use crate::model::{Caller, CallerId, Problem, ProblemCode, SourceName};

/// The longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Verifies tokens and tells what their callers may see.
pub struct Authenticator {
    issuers: Vec<Verifier>,
    callers: Vec<CallerConfig>,
    /// All sources, in the order of merges.
    sources: Vec<SourceName>,
    default_sources_all: bool,
}

/// An issuer whose keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("auth.issuers.{issuer}.public_key_file: {reason}")]
pub struct AuthError {
    issuer: String,
    reason: String,
}

struct Verifier {
    issuer: String,
    keys: Vec<DecodingKey>,
    validation: Validation,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    scope: Option<String>,
    scp: Option<OneOrMore>,
    sources: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct IssuerClaim {
    iss: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Authenticator {
    /// # Errors
    /// A public key that is none, or not of the kind its algorithms need.
    pub fn new(auth: &Auth, callers: Vec<CallerConfig>, sources: Vec<SourceName>) -> Result<Self, AuthError> {
        let verifiers = auth.issuers.iter().map(|issuer| Verifier::new(issuer, auth.leeway.as_secs()));
        Ok(Self {
            issuers: verifiers.collect::<Result<_, _>>()?,
            callers,
            sources,
            default_sources_all: auth.default_sources_all,
        })
    }

    /// # Errors
    /// `unauthenticated`, with the challenge that tells why.
    pub fn verify(&self, token: &str) -> Result<Caller, Problem> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(invalid("the token is too long"));
        }
        let header = decode_header(token).map_err(|_| invalid("the token is malformed"))?;
        let typ = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
        if !matches!(typ.as_str(), "jwt" | "at+jwt" | "application/at+jwt") {
            return Err(invalid("the token is of another type"));
        }
        // Extensions that must be understood, or the token refused; none is (RFC 7515 §4.1.11). The crate passes over it.
        if header.crit.is_some() {
            return Err(invalid("the token has critical extensions"));
        }
        // Only to find the issuer whose keys may vouch for it; nothing of it is believed before one does.
        let claimed: IssuerClaim = jsonwebtoken::dangerous::insecure_decode_claims(token)
            .map_err(|_| invalid("the token is malformed or names no issuer"))?;
        let mut verifiers = self
            .issuers
            .iter()
            .filter(|verifier| verifier.issuer == claimed.iss)
            .filter(|verifier| verifier.validation.algorithms.contains(&header.alg))
            .peekable();
        if verifiers.peek().is_none() {
            return Err(invalid("the token's issuer or algorithm is not accepted"));
        }
        let mut why = "the token's signature is not valid";
        for verifier in verifiers {
            match verifier.check(token, header.alg) {
                Ok(claims) => return Ok(self.caller(&verifier.issuer, claims)),
                Err(reason) => why = reason,
            }
        }
        Err(invalid(why))
    }

    fn caller(&self, issuer: &str, claims: Claims) -> Caller {
        let id = CallerId { issuer: issuer.into(), subject: claims.sub.into() };
        let mut scopes: BTreeSet<String> = words(claims.scope.as_deref()).collect();
        match claims.scp {
            Some(OneOrMore::One(text)) => scopes.extend(words(Some(&text))),
            Some(OneOrMore::More(list)) => scopes.extend(list),
            None => {}
        }
        let entry = self.callers.iter().find(|entry| *entry.issuer == *id.issuer && *entry.subject == *id.subject);
        let configured = entry.and_then(|entry| entry.sources.as_deref());
        let claimed = claims.sources.as_deref();
        let sees = |source: &&SourceName| match (claimed, configured) {
            (None, None) => self.default_sources_all,
            (claimed, configured) => {
                claimed.is_none_or(|names| names.iter().any(|name| name == source.as_str()))
                    && configured.is_none_or(|names| names.contains(source))
            }
        };
        let sources = self.sources.iter().filter(sees).cloned().collect();
        Caller { id, scopes, sources }
    }
}

fn words(text: Option<&str>) -> impl Iterator<Item = String> {
    text.unwrap_or_default().split_ascii_whitespace().map(str::to_owned)
}

impl Verifier {
    fn new(issuer: &Issuer, leeway_seconds: u64) -> Result<Self, AuthError> {
        let keys = match &issuer.keys {
            IssuerKeys::Secrets(secrets) => {
                secrets.iter().map(|secret| DecodingKey::from_secret(secret.expose_secret().as_bytes())).collect()
            }
            IssuerKeys::PublicKey(pem) => vec![
                public_key(pem, &issuer.algorithms)
                    .map_err(|reason| AuthError { issuer: issuer.name.clone(), reason })?,
            ],
        };
        // The list comes from the configuration, never from the token.
        let mut validation = Validation::new(issuer.algorithms[0]);
        validation.algorithms.clone_from(&issuer.algorithms);
        validation.set_issuer(&[&issuer.issuer]);
        validation.set_audience(&issuer.audience);
        // Without this list the crate takes a token that lacks them.
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = leeway_seconds;
        Ok(Self { issuer: issuer.issuer.clone(), keys, validation })
    }

    fn check(&self, token: &str, algorithm: Algorithm) -> Result<Claims, &'static str> {
        let mut validation = self.validation.clone();
        validation.algorithms = vec![algorithm];
        let mut why = "the token's signature is not valid";
        for key in &self.keys {
            match decode::<Claims>(token, key, &validation) {
                Ok(data) if data.claims.sub.is_empty() => return Err("the token's sub is empty"),
                Ok(data) => return Ok(data.claims),
                Err(error) => why = reason(error.kind()),
            }
        }
        Err(why)
    }
}

fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::InvalidIssuer => "the token is of another issuer",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks one of exp, iss, aud and sub",
        ErrorKind::InvalidSignature => "the token's signature is not valid",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => "the token's algorithm is not accepted",
        _ => "the token is malformed",
    }
}

/// A key of the one family that the algorithms are of.
fn public_key(pem: &[u8], algorithms: &[Algorithm]) -> Result<DecodingKey, String> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let all = |family: &[Algorithm]| algorithms.iter().all(|algorithm| family.contains(algorithm));
    let key = if all(&[RS256, RS384, RS512, PS256, PS384, PS512]) {
        DecodingKey::from_rsa_pem(pem)
    } else if all(&[ES256]) || all(&[ES384]) {
        DecodingKey::from_ec_pem(pem)
    } else if all(&[EdDSA]) {
        DecodingKey::from_ed_pem(pem)
    } else {
        return Err("expected algorithms of one family: RS and PS, ES256, ES384, or EdDSA".to_owned());
    };
    key.map_err(|_| "expected a public key in PEM that fits the algorithms".to_owned())
}

pub(super) async fn authenticate(
    State(authenticator): State<Arc<Authenticator>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    match bearer(request.headers()).and_then(|token| authenticator.verify(token)) {
        Ok(caller) => {
            let took = started.elapsed();
            // The token has done its work; nothing behind this line can print it.
            request.headers_mut().remove(AUTHORIZATION);
            request.extensions_mut().insert(Arc::new(caller));
            let mut response = next.run(request).await;
            let timing = format!("auth;dur={:.1}", took.as_secs_f64() * 1000.0);
            if let Ok(timing) = HeaderValue::from_str(&timing) {
                response.headers_mut().append(SERVER_TIMING, timing);
            }
            response
        }
        Err(problem) => problem.into_response(),
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, more) = (values.next(), values.next());
    // Another scheme is no bearer token, not a bad one: its challenge has no error (RFC 6750 §3.1).
    let Some(value) = value.filter(|value| more.is_some() || names_bearer(value)) else {
        let problem = Problem::new(ProblemCode::Unauthenticated, "a bearer token is required");
        return Err(Problem { challenge: Some("Bearer realm=\"scrm-gateway\"".to_owned()), ..problem });
    };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    token.filter(|_| more.is_none()).ok_or_else(|| invalid("expected one Authorization header: Bearer and a token"))
}

fn names_bearer(value: &HeaderValue) -> bool {
    let scheme = value.as_bytes().split(|byte| *byte == b' ').next();
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
}

fn invalid(why: &str) -> Problem {
    let challenge = format!("Bearer realm=\"scrm-gateway\", error=\"invalid_token\", error_description=\"{why}\"");
    Problem { challenge: Some(challenge), ..Problem::new(ProblemCode::Unauthenticated, why) }
}
