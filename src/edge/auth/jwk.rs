//! One public key (RFC 7517, RFC 7518 §6): whether it may verify signatures, and with which algorithms.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::keys::Key;

/// The lengths of an RSA modulus that are taken, in bits: not shorter (RFC 7518 §3.3), nor longer than what is worth its cost.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Why a key is of no use: what follows "one …".
type Unfit = &'static str;

/// Reads a member of a JWK set.
pub(super) fn public(member: &Value) -> Result<Jwk, Unfit> {
    // Who publishes this has lost it.
    if member.get("d").is_some() {
        return Err("is a private key");
    }
    Jwk::deserialize(member).map_err(|_| "is no JWK")
}

/// Reads a public key in PEM.
pub(super) fn of_pem(block: &pem::Pem) -> Result<Jwk, Unfit> {
    // The crate would take the first bits of a certificate or of a private key for a public one.
    if !matches!(block.tag(), "PUBLIC KEY" | "RSA PUBLIC KEY") {
        return Err("is no public key");
    }
    let pem = pem::encode(block);
    let pem = pem.as_bytes();
    let key = DecodingKey::from_rsa_pem(pem)
        .or_else(|_| DecodingKey::from_ec_pem(pem))
        .or_else(|_| DecodingKey::from_ed_pem(pem));
    key.and_then(|key| Jwk::from_decoding_key(&key, None)).map_err(|_| "is of no known kind")
}

/// The key, with those of the wanted algorithms that it fits.
pub(super) fn key(jwk: &Jwk, wanted: &[Algorithm]) -> Result<Key, Unfit> {
    let (fits, material) = fits(&jwk.algorithm)?;
    let common = &jwk.common;
    if common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature)
        || common.key_operations.as_ref().is_some_and(|operations| !operations.contains(&KeyOperations::Verify))
    {
        return Err("is not for verifying");
    }
    // Of a key that names its algorithm, no other is taken.
    let named = common.key_algorithm.map(Algorithm::try_from).transpose().map_err(|_| "is for another algorithm")?;
    let fits = |algorithm: &Algorithm| fits.contains(algorithm) && named.is_none_or(|named| named == *algorithm);
    let algorithms: Vec<Algorithm> = wanted.iter().copied().filter(fits).collect();
    if algorithms.is_empty() {
        return Err("fits none of the algorithms");
    }
    let decoding = DecodingKey::from_jwk(jwk).map_err(|_| "is malformed")?;
    let material: Vec<&[u8]> = material.iter().map(Vec::as_slice).collect();
    Ok(Key::new(common.key_id.clone(), algorithms, decoding, &material))
}

/// The algorithms that a key of this kind and size can be used with, and what it is made of.
fn fits(parameters: &AlgorithmParameters) -> Result<(&'static [Algorithm], [Vec<u8>; 2]), Unfit> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    use EllipticCurve::{Ed25519, P256, P384};
    match parameters {
        AlgorithmParameters::RSA(rsa) => {
            let (modulus, exponent) = (decoded(&rsa.n)?, decoded(&rsa.e)?);
            if !RSA_BITS.contains(&bits(&modulus)) {
                return Err("is an RSA key of less than 2048 or more than 8192 bits");
            }
            // With an exponent of 1 a signature is its own forgery; an even one is none.
            if bits(&exponent) < 2 || exponent.last().is_none_or(|last| last % 2 == 0) {
                return Err("is an RSA key with a bad exponent");
            }
            Ok((&[RS256, RS384, RS512, PS256, PS384, PS512], [modulus, exponent]))
        }
        AlgorithmParameters::EllipticCurve(ec) => {
            let (algorithms, length): (&[Algorithm], _) = match ec.curve {
                P256 => (&[ES256], 32),
                P384 => (&[ES384], 48),
                _ => return Err("is of another curve than P-256 and P-384"),
            };
            let (x, y) = (decoded(&ec.x)?, decoded(&ec.y)?);
            if x.len() != length || y.len() != length { Err("is malformed") } else { Ok((algorithms, [x, y])) }
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == Ed25519 => {
            let x = decoded(&pair.x)?;
            if x.len() == 32 { Ok((&[EdDSA], [x, Vec::new()])) } else { Err("is malformed") }
        }
        // A secret that is published is none, and where public keys are expected it would make them secrets.
        AlgorithmParameters::OctetKey(_) => Err("is a secret"),
        _ => Err("is of no known kind"),
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, Unfit> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| "is malformed")
}

/// How long a big-endian number is.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let rest = &number[zeros..];
    rest.first().map_or(0, |first| rest.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or(0))
}
