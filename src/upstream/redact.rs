//! Keeps a source's own words fit to be shown: credentials replaced, length bounded.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
            text = without(&text, secret.as_bytes());
        }
        text.chars().take(MAX_MESSAGE_CHARS).collect()
    }

    fn secrets(&self) -> MutexGuard<'_, VecDeque<SecretString>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text with the secret replaced, wherever it stands.
fn without(text: &str, secret: &[u8]) -> String {
    let mut rest = text.as_bytes();
    let mut shown = Vec::with_capacity(rest.len());
    while let Some(first) = rest.first() {
        match length_at_start(rest, secret) {
            Some(length) => {
                shown.extend_from_slice(b"[redacted]");
                rest = &rest[length..];
            }
            None => {
                shown.push(*first);
                rest = &rest[1..];
            }
        }
    }
    String::from_utf8_lossy(&shown).into_owned()
}

/// How many bytes the secret takes at the start of a text: as it is, or as a URL that somebody echoes may hold it, for which each
/// writer decides by itself what it encodes and how.
fn length_at_start(text: &[u8], secret: &[u8]) -> Option<usize> {
    if text.starts_with(secret) {
        return Some(secret.len());
    }
    let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut at = 0;
    for wanted in secret {
        let (byte, length) = match text.get(at..)? {
            [b'%', high, low, ..] => (hex(*high)? << 4 | hex(*low)?, 3),
            // In a query.
            [b'+', ..] if *wanted == b' ' => (b' ', 1),
            [byte, ..] => (*byte, 1),
            [] => return None,
        };
        if byte != *wanted {
            return None;
        }
        at += length;
    }
    Some(at)
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
    fn a_credential_is_replaced_however_a_url_spells_it() {
        let secret = "aB/c d~%é-1";
        let redactor = hiding(&[secret]);
        let mut by_url = url::Url::parse("https://hub.example").unwrap();
        by_url.query_pairs_mut().append_pair("token", secret);
        for spelled in [
            secret,
            by_url.as_str(),
            "aB%2Fc%20d~%25%C3%A9-1",
            "aB%2fc+d%7e%25%c3%a9%2d1",
            "%61%42%2F%63%20%64%7E%25%C3%A9%2D%31",
        ] {
            let cleaned = redactor.clean(&format!("before {spelled}&after"));
            let at = cleaned.find("[redacted]").unwrap_or_else(|| panic!("{spelled}: {cleaned}"));
            assert_eq!(&cleaned[at..], "[redacted]&after", "{spelled}");
        }
        for other in ["aB/c", "aB/c d~%é-2", "ab/c d~%é-1", "100 % of %zz, %", "长"] {
            assert_eq!(redactor.clean(other), other);
        }
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
