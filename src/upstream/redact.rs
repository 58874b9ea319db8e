//! Keeps a source's own words fit to be shown: credentials replaced, length bounded.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

/// The longest message of a source that is passed on, in characters (contract §4).
const MAX_MESSAGE_CHARS: usize = 200;
/// Below this length a secret would match by chance.
const MIN_SECRET_BYTES: usize = 4;

/// Replaces a source's credentials in texts that it sent.
#[derive(Debug, Clone, Default)]
pub struct Redactor(Vec<SecretString>);

impl Redactor {
    pub fn new(secrets: Vec<SecretString>) -> Self {
        Self(secrets)
    }

    /// The text with every credential replaced, without control characters, cut at 200 characters.
    pub fn clean(&self, text: &str) -> String {
        // First, so that none of them parts a secret in two.
        let mut text: String = text.chars().filter(|c| !c.is_control()).collect();
        for secret in &self.0 {
            let secret = secret.expose_secret();
            if secret.len() < MIN_SECRET_BYTES {
                continue;
            }
            // As it is, and as a URL that somebody echoes may hold it.
            let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
            for form in [secret, &encoded, &encoded.to_ascii_lowercase()] {
                if text.contains(form) {
                    text = text.replace(form, "[redacted]");
                }
            }
        }
        text.chars().take(MAX_MESSAGE_CHARS).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_holds_no_credential_and_is_cut() {
        let redactor = Redactor::new(vec!["tok-12345".into()]);
        assert_eq!(redactor.clean("bad token tok-12345\n!"), "bad token [redacted]!");
        assert_eq!(redactor.clean("tok-\n12345 ?token=tok%2D12345&x"), "[redacted] ?token=[redacted]&x");
        assert_eq!(redactor.clean(&"长".repeat(500)).chars().count(), 200);
    }
}
