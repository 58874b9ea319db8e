//! Cursors: opaque, versioned, encrypted and authenticated, expiring, and bound to who asked for what (contract §3.4).
//!
//! A cursor is `base64url(version ‖ nonce ‖ XChaCha20-Poly1305(key, payload, associated data = binding))`. What it is
//! bound to is not inside but beside it, as associated data: a cursor with another binding does not open.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::live::Live;
use crate::model::{CallerId, Fault, Problem, ProblemCode, SourceName};
use crate::upstream::Position;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
/// The longest text that is looked at. A source's own cursor is bounded so that no text of ours is longer.
const MAX_CHARS: usize = 4_096;
/// The shortest secret that keys are made from.
const MIN_SECRET_BYTES: usize = 32;

/// Where a walk stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalkState {
    /// The upstream page to read next.
    #[serde(rename = "p")]
    pub position: Position,
    /// Rows of that page that were given out already.
    #[serde(rename = "o")]
    pub offset: u32,
    /// The upstream page size, fixed at the first call.
    #[serde(rename = "s")]
    pub page_size: u32,
    /// The total as the source last told it.
    #[serde(rename = "t")]
    pub total: Option<u64>,
    /// Rows of the pages before `position`.
    #[serde(rename = "n", default)]
    pub rows_before: u64,
    /// The fingerprint of the page before; absent on the first one.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<u64>,
}

/// What a cursor is bound to.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Binding<'a> {
    pub caller_issuer: &'a str,
    pub caller_subject: &'a str,
    pub source: &'a str,
    pub staff_id: Option<&'a str>,
    pub raw: bool,
}

impl<'a> Binding<'a> {
    pub fn new(caller: &'a CallerId, source: &'a SourceName, staff_id: Option<&'a str>, raw: bool) -> Self {
        Self { caller_issuer: &caller.issuer, caller_subject: &caller.subject, source: source.as_str(), staff_id, raw }
    }

    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of texts has a JSON form")
    }
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(flatten)]
    state: WalkState,
    /// Epoch seconds.
    #[serde(rename = "e")]
    expires: i64,
}

/// The keys of one moment. The first seals, all open.
pub struct CursorKeys(Vec<XChaCha20Poly1305>);

/// A secret that is too short to make a key from, or none at all.
#[derive(Debug, thiserror::Error)]
#[error("expected at least one secret, and {MIN_SECRET_BYTES} bytes or more on each line")]
pub struct ShortSecret;

impl CursorKeys {
    /// From the bytes of a file of secrets, one a line; empty lines count for nothing.
    ///
    /// # Errors
    /// There is no secret, or one is shorter than 32 bytes.
    pub fn of_lines(lines: &[u8]) -> Result<Self, ShortSecret> {
        let lines = lines.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let keys: Vec<_> = lines.filter(|line| !line.is_empty()).map(key).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(ShortSecret) } else { Ok(Self(keys)) }
    }

    /// A key of this process alone: its cursors die with it.
    pub fn random() -> Self {
        Self(vec![key(&rand::random::<[u8; MIN_SECRET_BYTES]>()).expect("32 bytes are long enough")])
    }
}

/// Seals and opens cursors, with the keys of the moment.
pub struct Cursors {
    keys: Arc<Live<CursorKeys>>,
    lifetime: Duration,
}

impl Cursors {
    pub fn new(keys: Arc<Live<CursorKeys>>, lifetime: Duration) -> Self {
        Self { keys, lifetime }
    }

    pub fn seal(&self, state: WalkState, binding: &Binding<'_>, now: Timestamp) -> String {
        let lifetime = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX);
        let sealed = Sealed { state, expires: now.as_second().saturating_add(lifetime) };
        let payload = serde_json::to_vec(&sealed).expect("a struct of numbers and texts has a JSON form");
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let aad = binding.bytes();
        let sealed = self.keys.get().0[0]
            .encrypt(&XNonce::from(nonce), Payload { msg: &payload, aad: &aad })
            .expect("a payload of some bytes is within the cipher's limits");
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// # Errors
    /// `cursor_invalid` for everything that [`Self::seal`] did not make for this binding within its lifetime.
    pub fn open(&self, cursor: &str, binding: &Binding<'_>, now: Timestamp) -> Result<WalkState, Problem> {
        let sealed = self.unseal(cursor, binding).ok_or_else(|| {
            invalid("malformed", "it was not made by this service, or for another caller, source, staff_id or include")
        })?;
        if now.as_second() >= sealed.expires {
            return Err(invalid("expired", "it has expired; start the walk anew"));
        }
        Ok(sealed.state)
    }

    fn unseal(&self, cursor: &str, binding: &Binding<'_>) -> Option<Sealed> {
        let bytes = URL_SAFE_NO_PAD.decode(Some(cursor).filter(|cursor| cursor.len() <= MAX_CHARS)?).ok()?;
        let (version, rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let nonce = XNonce::from(*nonce);
        let aad = binding.bytes();
        let open = |key: &XChaCha20Poly1305| key.decrypt(&nonce, Payload { msg: sealed, aad: &aad }).ok();
        let payload = self.keys.get().0.iter().find_map(open)?;
        serde_json::from_slice(&payload).ok()
    }
}

fn key(secret: &[u8]) -> Result<XChaCha20Poly1305, ShortSecret> {
    if secret.len() < MIN_SECRET_BYTES {
        return Err(ShortSecret);
    }
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(None, secret)
        .expand(b"scrm-gateway cursor v1", &mut key)
        .expect("32 bytes are within the limit of HKDF-SHA-256");
    Ok(XChaCha20Poly1305::new(&key.into()))
}

fn invalid(code: &'static str, why: &str) -> Problem {
    Problem::faults(ProblemCode::CursorInvalid, vec![Fault::parameter("cursor", code, why)])
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use crate::live::Reread;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn with_keys(keys: CursorKeys) -> Cursors {
        Cursors::new(Arc::new(Live::fixed(keys)), HOUR)
    }

    fn cursors(secrets: &[&str]) -> Cursors {
        with_keys(CursorKeys::of_lines(secrets.join("\n").as_bytes()).unwrap())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn binding<'a>() -> Binding<'a> {
        Binding {
            caller_issuer: "https://login",
            caller_subject: "caller",
            source: "juzibot",
            staff_id: Some("rocky"),
            raw: false,
        }
    }

    fn state() -> WalkState {
        WalkState {
            position: Position::Token("8f3a".to_owned()),
            offset: 3,
            page_size: 100,
            total: Some(7),
            rows_before: 100,
            previous: Some(1),
        }
    }

    const OLD: &str = "an old secret of thirty-two bytes or more";
    const NEW: &str = "a new secret of thirty-two bytes or more";

    fn positions() -> impl Strategy<Value = Position> {
        prop_oneof![
            Just(Position::Start),
            any::<u64>().prop_map(Position::Page),
            any::<String>().prop_map(Position::Token),
        ]
    }

    prop_compose! {
        fn states()(
            position in positions(),
            offset in any::<u32>(),
            page_size in any::<u32>(),
            total in option::of(any::<u64>()),
            rows_before in any::<u64>(),
            previous in option::of(any::<u64>()),
        ) -> WalkState {
            WalkState { position, offset, page_size, total, rows_before, previous }
        }
    }

    type Bound = (String, String, String, Option<String>, bool);

    fn bound() -> impl Strategy<Value = Bound> {
        (any::<String>(), any::<String>(), any::<String>(), option::of(any::<String>()), any::<bool>())
    }

    fn binding_of((issuer, subject, source, staff_id, raw): &Bound) -> Binding<'_> {
        Binding { caller_issuer: issuer, caller_subject: subject, source, staff_id: staff_id.as_deref(), raw: *raw }
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_for_its_binding_and_no_other(state in states(), mine in bound(), other in bound()) {
            let cursors = cursors(&[NEW]);
            let cursor = cursors.seal(state.clone(), &binding_of(&mine), at(1_000));
            // A source's own cursor may be of any length; one that is too long for us is refused rather than cut.
            let opened = cursors.open(&cursor, &binding_of(&mine), at(1_001));
            prop_assert_eq!(opened.ok(), (cursor.len() <= MAX_CHARS).then_some(state));
            if mine != other {
                prop_assert!(cursors.open(&cursor, &binding_of(&other), at(1_001)).is_err());
            }
        }

        #[test]
        fn a_cursor_with_any_byte_changed_does_not_open(state in states(), place in any::<prop::sample::Index>(), flip in 1_u8..) {
            let cursors = cursors(&[NEW]);
            let cursor = cursors.seal(state, &binding(), at(1_000));
            let mut bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            let forged = URL_SAFE_NO_PAD.encode(bytes);
            let refused = cursors.open(&forged, &binding(), at(1_000)).unwrap_err();
            prop_assert_eq!(refused.code, ProblemCode::CursorInvalid);
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in ".{0,200}") {
            prop_assert!(cursors(&[NEW]).open(&text, &binding(), at(0)).is_err());
        }
    }

    #[test]
    fn a_cursor_lives_as_long_as_it_is_set_to_and_no_longer() {
        let cursors = cursors(&[NEW]);
        let cursor = cursors.seal(state(), &binding(), at(1_000));
        assert_eq!(cursors.open(&cursor, &binding(), at(1_000 + 3_599)), Ok(state()));
        let late = cursors.open(&cursor, &binding(), at(1_000 + 3_600)).unwrap_err();
        assert_eq!(late.code, ProblemCode::CursorInvalid);
        assert!(late.detail.contains("expired"));
    }

    #[test]
    fn the_longest_state_that_a_source_can_bring_about_opens() {
        let token = Position::Token("\u{1}".repeat(170) + "abcd");
        assert_eq!(serde_json::to_string(&token).unwrap().len(), r#"{"token":""}"#.len() + 1_024);
        let longest = WalkState {
            position: token,
            offset: u32::MAX,
            page_size: u32::MAX,
            total: Some(u64::MAX),
            rows_before: u64::MAX,
            previous: Some(u64::MAX),
        };
        let cursors = Cursors::new(Arc::new(Live::fixed(CursorKeys::random())), Duration::MAX);
        let cursor = cursors.seal(longest.clone(), &binding(), at(0));
        assert_eq!(cursors.open(&cursor, &binding(), at(1)), Ok(longest));
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (before, rotated, after) = (cursors(&[OLD]), cursors(&[NEW, OLD]), cursors(&[NEW]));
        let opens = |cursors: &Cursors, cursor: &str| cursors.open(cursor, &binding(), at(0)).is_ok();
        let old = before.seal(state(), &binding(), at(0));
        let new = rotated.seal(state(), &binding(), at(0));
        assert!(opens(&rotated, &old) && !opens(&after, &old));
        assert!(opens(&after, &new) && !opens(&before, &new));
    }

    #[test]
    fn every_part_of_the_binding_counts() {
        let cursors = cursors(&[NEW]);
        let cursor = cursors.seal(state(), &binding(), at(0));
        let mine = binding();
        for other in [
            Binding { caller_issuer: "x", ..mine },
            Binding { caller_subject: "x", ..mine },
            Binding { source: "tanma", ..mine },
            Binding { staff_id: None, ..mine },
            Binding { staff_id: Some("Rocky"), ..mine },
            Binding { raw: true, ..mine },
        ] {
            assert!(cursors.open(&cursor, &other, at(0)).is_err(), "{other:?}");
        }
    }

    #[test]
    fn short_secrets_and_none_are_no_keys() {
        let short = "x".repeat(31);
        for lines in [String::new(), "\n\r\n".to_owned(), short.clone(), format!("{OLD}\n{short}\n")] {
            assert!(CursorKeys::of_lines(lines.as_bytes()).is_err(), "{lines:?}");
        }
        let lines = format!("\n{NEW}\r\n\n{OLD}\n");
        let read = with_keys(CursorKeys::of_lines(lines.as_bytes()).unwrap());
        for one in [NEW, OLD] {
            let cursor = cursors(&[one]).seal(state(), &binding(), at(0));
            assert_eq!(read.open(&cursor, &binding(), at(0)), Ok(state()), "breaks of lines are no part of a secret");
        }
    }

    #[test]
    fn two_processes_without_a_key_do_not_take_each_others_cursors() {
        let (one, two) = (with_keys(CursorKeys::random()), with_keys(CursorKeys::random()));
        let cursor = one.seal(state(), &binding(), at(0));
        assert!(one.open(&cursor, &binding(), at(0)).is_ok());
        assert!(two.open(&cursor, &binding(), at(0)).is_err());
    }

    #[test]
    fn a_file_with_a_line_that_is_too_short_leaves_the_keys_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, OLD).unwrap();
        let parse = |lines: &[u8]| CursorKeys::of_lines(lines).map_err(|short| short.to_string());
        let keys = Arc::new(Live::of_file("cursor.key_file", &file, parse).unwrap());
        let cursors = Cursors::new(keys.clone(), HOUR);
        let old = cursors.seal(state(), &binding(), at(0));
        for unusable in [format!("{NEW}\nshort\n"), String::new()] {
            std::fs::write(&file, unusable).unwrap();
            assert!(!keys.reread());
            assert!(cursors.open(&old, &binding(), at(0)).is_ok());
        }
        std::fs::write(&file, NEW).unwrap();
        assert!(keys.reread());
        assert!(cursors.open(&old, &binding(), at(0)).is_err());
    }
}
