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
/// The same of data, where a customer's name or number must not be taken for one.
const MIN_SECRET_BYTES_IN_DATA: usize = 8;
/// What stands where a credential was.
const REDACTED: &[u8] = b"[redacted]";
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
        for secret in self.secrets_of(MIN_SECRET_BYTES) {
            text = without(&text, secret.expose_secret().as_bytes());
        }
        text.chars().take(MAX_MESSAGE_CHARS).collect()
    }

    /// The JSON with every credential in its texts and keys replaced, however JSON or a URL spells it; `None` where it holds
    /// none. It is read once and nothing is made of it. A text that is JSON itself is a text: what is escaped once more within
    /// it is not found.
    pub fn clean_json(&self, json: &[u8]) -> Option<Vec<u8>> {
        let secrets = self.secrets_of(MIN_SECRET_BYTES_IN_DATA);
        let secrets: Vec<&[u8]> = secrets.iter().map(|secret| secret.expose_secret().as_bytes()).collect();
        let mut stops = [false; 256];
        for byte in secrets.iter().map(|secret| secret[0]).chain(*b"\"\\%+") {
            stops[usize::from(byte)] = true;
        }
        let mut shown = Vec::new();
        let (mut at, mut taken, mut in_text) = (0, 0, false);
        while let Some(passed) = json[at..].iter().position(|byte| stops[usize::from(*byte)]) {
            at += passed;
            let here = || unescaped(&json[at..]);
            if json[at] == b'"' {
                in_text = !in_text;
                at += 1;
            } else if in_text && let Some(length) = secrets.iter().find_map(|secret| length_at_start(here(), secret)) {
                shown.extend_from_slice(&json[taken..at]);
                shown.extend_from_slice(REDACTED);
                at += length;
                taken = at;
            } else {
                at += here().next().map_or(1, |(_, length)| length);
            }
        }
        (taken > 0).then(|| [shown.as_slice(), &json[taken..]].concat())
    }

    /// Those of so many bytes at least; the longest first, so that one which another begins with leaves nothing of that.
    fn secrets_of(&self, least: usize) -> Vec<SecretString> {
        let length = |secret: &SecretString| secret.expose_secret().len();
        let mut secrets: Vec<_> = self.secrets().iter().filter(|secret| length(secret) >= least).cloned().collect();
        secrets.sort_by_key(|secret| Reverse(length(secret)));
        secrets
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
        match length_at_start(rest.iter().copied().zip(1..), secret) {
            Some(length) => {
                shown.extend_from_slice(REDACTED);
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

/// Where the secret ends that a text begins with, if it does: as it is, or as a URL that somebody echoes may hold it, for which
/// each writer decides by itself what it encodes and how. The text is its bytes, each with where it ends.
fn length_at_start(text: impl Iterator<Item = (u8, usize)> + Clone, secret: &[u8]) -> Option<usize> {
    as_it_is(text.clone(), secret).or_else(|| as_in_a_url(text, secret))
}

fn as_it_is(mut text: impl Iterator<Item = (u8, usize)>, secret: &[u8]) -> Option<usize> {
    let mut end = 0;
    for wanted in secret {
        let (byte, byte_end) = text.next()?;
        if byte != *wanted {
            return None;
        }
        end = byte_end;
    }
    Some(end)
}

fn as_in_a_url(mut text: impl Iterator<Item = (u8, usize)>, secret: &[u8]) -> Option<usize> {
    let mut end = 0;
    for wanted in secret {
        let (byte, byte_end) = match text.next()? {
            (b'%', _) => {
                let (high, (low, low_end)) = (text.next()?.0, text.next()?);
                (hex(high)? << 4 | hex(low)?, low_end)
            }
            // In a query.
            (b'+', plus_end) if *wanted == b' ' => (b' ', plus_end),
            other => other,
        };
        if byte != *wanted {
            return None;
        }
        end = byte_end;
    }
    Some(end)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The bytes of a text in JSON (RFC 8259 §7), each with where it ends there, up to the end of the text. What is escaped and not
/// visible ASCII is a NUL: no secret holds one.
fn unescaped(json: &[u8]) -> impl Iterator<Item = (u8, usize)> + Clone {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (byte, length) = match json[at..] {
            [] | [b'"', ..] => return None,
            [b'\\', b'u', a, b, c, d, ..] => {
                let code = [a, b, c, d].map(hex);
                let ascii = |high: u8, low: u8| (high < 8).then_some(high << 4 | low);
                match code {
                    [Some(0), Some(0), Some(high), Some(low)] => (ascii(high, low).unwrap_or(0), 6),
                    _ => (0, 6),
                }
            }
            [b'\\', escaped @ (b'"' | b'\\' | b'/'), ..] => (escaped, 2),
            [b'\\', _, ..] => (0, 2),
            [byte, ..] => (byte, 1),
        };
        at += length;
        Some((byte, at))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    /// What is left of a text in JSON, which is spelled as it is given; and that it is JSON.
    fn in_json(secret: &str, spelled: &str) -> String {
        let json = format!("{{\"k\": [1, \"before {spelled} after\"]}}");
        let cleaned = hiding(&[secret]).clean_json(json.as_bytes()).unwrap_or(json.into_bytes());
        let value: serde_json::Value = serde_json::from_slice(&cleaned).unwrap_or_else(|error| {
            panic!("{spelled}: {error}: {}", String::from_utf8_lossy(&cleaned));
        });
        value["k"][1].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_credential_is_replaced_however_json_spells_it() {
        let secret = "aB/c\"\\ d~%é-1&<";
        for spelled in [
            r#"aB/c\"\\ d~%é-1&<"#,
            r"aB\/c\u0022\u005C d~%é-1\u0026\u003c",
            r#"\u0061B\/c\"\\\u0020d~\u0025é-1&<"#,
            "aB%2Fc%22%5C%20d~%25%C3%A9-1%26%3C",
            r"aB\/c%22%5c+d~\u002525%c3%a9\u002d1%26<",
        ] {
            assert_eq!(in_json(secret, spelled), "before [redacted] after", "{spelled}");
        }
        for other in ["aB/c", r#"aB\/c\"\\ d~%é-2&<"#, "% %zz %2", r"\u0061\n\u4e00\ud83d\ude00\\"] {
            assert!(!in_json(secret, other).contains("[redacted]"), "{other}");
        }
    }

    #[test]
    fn an_escape_is_not_parted_and_what_is_no_text_is_left_alone() {
        assert_eq!(in_json("nabcdefgh", r"\nabcdefgh \\nabcdefgh"), "before \nabcdefgh \\[redacted] after");
        assert_eq!(in_json("00410042", r"\u00410042 00410042"), "before A0042 [redacted] after");
        assert_eq!(in_json("12345678", r#"", 12345678, " 12345678"#), "before ");
        let redactor = hiding(&["12345678", "tok-123"]);
        for json in [r#"{"n": 12345678, "text": "tok-123"}"#, "", "\"", "\"\\", r#"{"text": "\u00"#, r#""1234567""#] {
            assert_eq!(redactor.clean_json(json.as_bytes()), None, "{json}");
        }
        let cleaned = redactor.clean_json(br#"{"12345678": "912345678, \"12345678", "b": 12345678}"#).unwrap();
        let expected = r#"{"[redacted]": "9[redacted], \"[redacted]", "b": 12345678}"#;
        assert_eq!(String::from_utf8(cleaned).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn nothing_else_in_json_changes(before in any::<String>(), secret in "[!-~é长]{8,40}", after in any::<String>()) {
            prop_assume!(!before.contains(&secret) && !after.contains(&secret));
            let (text, kept) = (format!("{before}{secret}{after}"), serde_json::json!([before, 12_345_678]));
            let json = serde_json::json!([text, kept]).to_string();
            let cleaned = hiding(&[&secret]).clean_json(json.as_bytes()).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&cleaned).unwrap();
            prop_assert_eq!(&value[1], &kept);
            prop_assert!(!value[0].as_str().unwrap().contains(&secret));
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
