//! Tanma's request signature: `lowercase_hex(SHA-256(appId + timestamp + body + appKey))`, a plain concatenation. Three
//! independent public clients compute it so; method, path and query are no part of it.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// Signs the exact bytes of a body. `timestamp` is the text of the header: epoch milliseconds, decimal.
pub fn sign(app_id: &str, timestamp: &str, body: &[u8], app_key: &SecretString) -> String {
    let mut hash = Sha256::new();
    hash.update(app_id);
    hash.update(timestamp);
    hash.update(body);
    hash.update(app_key.expose_secret());
    base16ct::lower::encode_string(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_vectors_come_out() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/fixtures/tanma/sign-vectors.json")).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let vectors = file["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            let key = SecretString::from(text(&file["appKey"]));
            let body = text(&vector["body"]);
            let signed = sign(&text(&file["appId"]), &text(&file["timestamp"]), body.as_bytes(), &key);
            assert_eq!(signed, text(&vector["sign"]), "body {body}");
        }
    }
}
