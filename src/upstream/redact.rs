//! Keeps a source's own words fit to be shown: credentials replaced, length bounded.

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
        let mut text = text.to_owned();
        for secret in &self.0 {
            let secret = secret.expose_secret();
            if secret.len() >= MIN_SECRET_BYTES && text.contains(secret) {
                text = text.replace(secret, "[redacted]");
            }
        }
        text.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE_CHARS).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_holds_no_credential_and_is_cut() {
        let redactor = Redactor::new(vec!["tok-12345".into()]);
        assert_eq!(redactor.clean("bad token tok-12345\n!"), "bad token [redacted]!");
        assert_eq!(redactor.clean(&"长".repeat(500)).chars().count(), 200);
    }
}
