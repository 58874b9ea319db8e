//! Keeps a source's own words fit to be shown: credentials replaced, length bounded.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

/// The longest message of a source that is passed on, in characters (contract §4).
const MAX_MESSAGE_CHARS: usize = 200;
/// How much of a text is looked at, in characters: where it is nothing but credentials of a kilobyte, each with all of its bytes
/// encoded, what is left of it still fills a message.
const MAX_READ_CHARS: usize = 64 * 1024;
/// Below this length a secret would match by chance.
const MIN_SECRET_BYTES: usize = 4;
/// How many secrets are known at a time: a source may still echo one that was changed a while ago.
const SECRETS: usize = 8;

/// Replaces a source's credentials in texts that it sent: that of now and the last ones before it. Clones know the same.
#[derive(Debug, Clone, Default)]
pub struct Redactor(Arc<Mutex<VecDeque<SecretString>>>);

impl Redactor {
    /// From now on this secret is replaced too; the oldest may be forgotten for it.
    pub fn hide(&self, secret: &SecretString) {
        let mut secrets = self.secrets();
        secrets.retain(|known| known.expose_secret() != secret.expose_secret());
        secrets.push_back(secret.clone());
        if secrets.len() > SECRETS {
            secrets.pop_front();
        }
    }

    /// The text with every credential replaced, without control characters, cut at 200 characters.
    pub fn clean(&self, text: &str) -> String {
        // First, so that none of them parts a secret in two.
        let mut text: String = text.chars().take(MAX_READ_CHARS).filter(|c| !c.is_control()).collect();
        let secrets = self.secrets();
        let mut secrets: Vec<&str> = secrets.iter().map(ExposeSecret::expose_secret).collect();
        // The longest first, so that one which another begins with leaves nothing of that.
        secrets.sort_unstable_by_key(|secret| Reverse(secret.len()));
        for secret in secrets.into_iter().filter(|secret| secret.len() >= MIN_SECRET_BYTES) {
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

    fn secrets(&self) -> MutexGuard<'_, VecDeque<SecretString>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hiding(secrets: &[&str]) -> Redactor {
        let redactor = Redactor::default();
        for secret in secrets {
            redactor.hide(&(*secret).into());
        }
        redactor
    }

    #[test]
    fn a_message_holds_no_credential_and_is_cut() {
        let redactor = hiding(&["tok-12345"]);
        assert_eq!(redactor.clean("bad token tok-12345\n!"), "bad token [redacted]!");
        assert_eq!(redactor.clean("tok-\n12345 ?token=tok%2D12345&x"), "[redacted] ?token=[redacted]&x");
        assert_eq!(redactor.clean(&"长".repeat(500)).chars().count(), 200);
    }

    #[test]
    fn former_credentials_are_replaced_too_and_one_within_another_leaves_nothing_of_it() {
        let redactor = hiding(&["tok-1", "tok-12345", "other"]);
        assert_eq!(redactor.clean("tok-1 tok-12345 other"), "[redacted] [redacted] [redacted]");
    }

    #[test]
    fn so_many_are_known_and_one_that_comes_back_is_no_longer_old() {
        let redactor = hiding(&["first"]);
        for n in 1..SECRETS {
            redactor.hide(&format!("secret-{n}").into());
        }
        redactor.hide(&"first".into());
        redactor.hide(&"last".into());
        assert_eq!(redactor.clean("first secret-1 secret-2 last"), "[redacted] secret-1 [redacted] [redacted]");
    }

    #[test]
    fn of_a_long_text_the_beginning_is_looked_at_and_nothing_of_a_credential_is_left_at_its_end() {
        let (secret, encoded) = ("-%!".repeat(341), "%2D%25%21".repeat(341));
        let redactor = hiding(&[&secret]);
        for form in [&secret, &encoded] {
            assert_eq!(redactor.clean(&form.repeat(1_000)), "[redacted]".repeat(20));
        }
        assert_eq!(redactor.clean(&format!("{}after", "\n".repeat(MAX_READ_CHARS))), "");
    }
}
