//! Repairs a vendor's JSON text that a strict parser refuses for its characters: invalid UTF-8, raw control characters,
//! unpaired surrogate escapes, unknown escapes, numbers that no double holds. Runs only after a strict parse has failed.
//!
//! Structure is never guessed: truncated JSON stays truncated.

use std::str::Utf8Chunk;

/// A JSON text after repair.
#[derive(Debug, PartialEq, Eq)]
pub struct Repaired {
    pub json: String,
    /// Byte offsets in `json` at which something was repaired, ascending.
    pub places: Vec<usize>,
}

/// A body is in another encoding if at least this many of its strings have stray bytes, and this share of all: the keys and ids
/// of such a body are ASCII, its names are not. A few damaged names on a page are fewer.
const MIN_STRAY_STRINGS: usize = 3;
const MIN_STRAY_PERCENT: usize = 2;
/// UTF-8 lead bytes of characters outside the Basic Multilingual Plane. Emoji that were cut after their first byte leave one.
const EMOJI_LEADS: std::ops::RangeInclusive<u8> = 0xF0..=0xF4;
const REPLACEMENT_ESCAPE: &str = "\\ufffd";

/// Repairs the text of a body; `None` if most of its characters beyond ASCII are not UTF-8 (GBK, for example).
pub fn body(bytes: &[u8]) -> Option<Repaired> {
    let decoded = decode(bytes)?;
    Some(text(&decoded.json, &decoded.places))
}

/// Repairs JSON that is valid UTF-8.
pub fn json(json: &str) -> Repaired {
    text(json, &[])
}

/// Decodes UTF-8: CESU-8 surrogate pairs become their character, each other invalid sequence becomes U+FFFD.
fn decode(bytes: &[u8]) -> Option<Repaired> {
    let mut json = String::with_capacity(bytes.len());
    let mut places = Vec::new();
    let (mut stray, mut beyond_ascii) = (0, 0);
    // Quotes so far tell one string from another.
    let (mut quotes, mut stray_strings, mut last_stray) = (0_usize, 0, usize::MAX);
    let mut rest = bytes;
    let mut after_ascii = true;
    while let Some(chunk) = rest.utf8_chunks().next() {
        let valid = chunk.valid();
        json.push_str(valid);
        beyond_ascii += valid.bytes().filter(|byte| !byte.is_ascii()).count();
        quotes += valid.bytes().filter(|byte| *byte == b'"').count();
        after_ascii = valid.as_bytes().last().map_or(after_ascii, u8::is_ascii);
        rest = &rest[valid.len()..];
        if chunk.invalid().is_empty() {
            break;
        }
        places.push(json.len());
        let (character, length) = surrogates(rest).unwrap_or((char::REPLACEMENT_CHARACTER, chunk.invalid().len()));
        if character == char::REPLACEMENT_CHARACTER {
            beyond_ascii += length;
            let is_stray = is_stray(&chunk, after_ascii);
            stray += usize::from(is_stray);
            if is_stray && std::mem::replace(&mut last_stray, quotes) != quotes {
                stray_strings += 1;
            }
            // The bytes of one character that was cut at its front follow each other.
            after_ascii = after_ascii && !is_stray;
        }
        json.push(character);
        rest = &rest[length..];
    }
    let is_other_encoding = stray * 2 > beyond_ascii
        && stray_strings >= MIN_STRAY_STRINGS
        && stray_strings * 100 >= quotes / 2 * MIN_STRAY_PERCENT;
    (!is_other_encoding).then_some(Repaired { json, places })
}

/// Whether an invalid byte looks like another encoding, rather than like what is left of a character that was cut.
fn is_stray(chunk: &Utf8Chunk<'_>, after_ascii: bool) -> bool {
    match chunk.invalid() {
        [byte] if EMOJI_LEADS.contains(byte) => false,
        [0x80..=0xBF] => !after_ascii,
        [_] => true,
        _ => false,
    }
}

/// A surrogate, or a pair of them, as CESU-8 encodes it: the character and its length. An unpaired one is U+FFFD.
fn surrogates(bytes: &[u8]) -> Option<(char, usize)> {
    let unit = |bytes: &[u8]| match bytes {
        [0xED, second @ 0xA0..=0xBF, third @ 0x80..=0xBF, ..] => {
            Some(0xD000 | u16::from(second & 0x3F) << 6 | u16::from(third & 0x3F))
        }
        _ => None,
    };
    let first = unit(bytes)?;
    let pair = unit(&bytes[3..]).and_then(|second| char::decode_utf16([first, second]).next()?.ok());
    Some(pair.map_or((char::REPLACEMENT_CHARACTER, 3), |character| (character, 6)))
}

/// Repairs what stands in strings, and numbers that JSON or a double lacks. `marked` are offsets of earlier repairs, ascending.
fn text(json: &str, marked: &[usize]) -> Repaired {
    let mut out = Repaired { json: String::with_capacity(json.len()), places: Vec::new() };
    let mut marked = marked.iter().peekable();
    let mut at = 0;
    let mut in_string = false;
    while let Some(first) = json.as_bytes().get(at).copied() {
        let rest = &json[at..];
        in_string ^= first == b'"';
        let (repair, length) = match first {
            b'\\' if in_string => escape(rest),
            0..=0x1F if in_string => (Some(format!("\\u{first:04x}")), 1),
            _ if !in_string && is_token(first) => {
                let token = token(rest);
                (is_odd_number(token).then(|| format!("\"{token}\"")), token.len())
            }
            _ => (None, rest.chars().next().map_or(1, char::len_utf8)),
        };
        while let Some(mark) = marked.next_if(|mark| **mark < at + length) {
            out.places.push(out.json.len() + (mark - at));
        }
        if repair.is_some() {
            out.places.push(out.json.len());
        }
        out.json.push_str(repair.as_deref().unwrap_or(&rest[..length]));
        at += length;
    }
    out
}

/// The escape at the beginning of `rest`: what to write in its place, if it is not valid, and its length in bytes.
fn escape(rest: &str) -> (Option<String>, usize) {
    match rest.as_bytes().get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => (None, 2),
        Some(b'u') => match (unit(rest), rest.get(6..).and_then(unit)) {
            (Some(high @ 0xD800..=0xDBFF), Some(low))
                if char::decode_utf16([high, low]).next().is_some_and(|c| c.is_ok()) =>
            {
                (None, 12)
            }
            (Some(0xD800..=0xDFFF), _) => (Some(REPLACEMENT_ESCAPE.to_owned()), 6),
            (Some(_), _) => (None, 6),
            (None, _) => (Some("\\\\".to_owned()), 1),
        },
        // A backslash that escapes nothing is one.
        _ => (Some("\\\\".to_owned()), 1),
    }
}

/// The UTF-16 code unit of the `\uXXXX` at the beginning.
fn unit(rest: &str) -> Option<u16> {
    let digits =
        rest.strip_prefix("\\u")?.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-._".contains(&byte)
}

fn token(rest: &str) -> &str {
    rest.find(|c: char| !c.is_ascii() || !is_token(c as u8)).map_or(rest, |end| &rest[..end])
}

/// Whether a bare token is meant as a number, and is none in JSON or none that a double holds.
fn is_odd_number(token: &str) -> bool {
    let unsigned = token.trim_start_matches(['+', '-']);
    let digits = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let number = digits && unsigned.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    matches!(unsigned, "NaN" | "Infinity") || (number && serde_json::from_str::<serde_json::Number>(token).is_err())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn repaired(bytes: &[u8]) -> (Value, usize) {
        let repaired = body(bytes).unwrap();
        (
            serde_json::from_str(&repaired.json).unwrap_or_else(|error| panic!("{error}: {}", repaired.json)),
            repaired.places.len(),
        )
    }

    #[test]
    fn control_characters_are_kept() {
        assert_eq!(repaired(b"[\"a\x01b\n\", \n 1]"), (json!(["a\u{1}b\n", 1]), 2));
    }

    #[test]
    fn unpaired_surrogates_become_replacement_characters() {
        let cases =
            [(r#""a\ud83d""#, "a\u{fffd}"), (r#""\ude00b""#, "\u{fffd}b"), (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀")];
        for (json, text) in cases {
            assert_eq!(repaired(json.as_bytes()), (json!(text), 1), "{json}");
        }
        assert_eq!(repaired(br#""\ud83d\ude00\\ud83d""#), (json!("😀\\ud83d"), 0));
    }

    #[test]
    fn escapes_that_json_lacks_are_text() {
        assert_eq!(repaired(br#""C:\path \u12 it\'s""#), (json!("C:\\path \\u12 it\\'s"), 3));
    }

    #[test]
    fn invalid_utf8_becomes_replacement_characters() {
        assert_eq!(repaired(b"\"a\xf0\x9f\x98\""), (json!("a\u{fffd}"), 1));
        assert_eq!(repaired(b"\"\xed\xa0\xbd\xed\xb8\x80\""), (json!("😀"), 1), "CESU-8");
        assert_eq!(repaired(b"\"\xed\xa0\xbd!\""), (json!("\u{fffd}!"), 1), "half of it");
    }

    #[test]
    fn odd_numbers_become_texts() {
        let numbers = repaired(b"[1e400, NaN, -Infinity, 007, .5, 1, -2.5e3, true, null]");
        assert_eq!(numbers, (json!(["1e400", "NaN", "-Infinity", "007", ".5", 1, -2500.0, true, null]), 5));
    }

    #[test]
    fn words_are_not_repaired() {
        for json in ["[nothing]", "[undefined]", "[tru]"] {
            assert_eq!(body(json.as_bytes()), Some(Repaired { json: json.to_owned(), places: Vec::new() }));
        }
    }

    #[test]
    fn other_encodings_are_refused() {
        // 好, 甲, 乙 and 张三 as GBK encodes them, in a string each.
        let names = b"\"\xba\xc3\", \"\xbc\xd7\", \"\xd2\xd2\", \"\xd5\xc5\xc8\xfd\"";
        assert_eq!(body(&[b"[", &names[..], b"]"].concat()), None);
        let row = [b"{\"id\": \"wm\", \"name\": ", &b"\"\xd5\xc5\xc8\xfd\""[..], b"},"].concat();
        assert_eq!(body(&[b"[", &row.repeat(20)[..], b"0]"].concat()), None);
    }

    #[test]
    fn few_names_in_another_encoding_are_repaired() {
        for damaged in [&b"\xd5\xc5\xc8\xfd"[..], b"\xe5 \xe5 \xe5 \xe5"] {
            let (ann, other) = (
                &b"{\"id\": \"wm\", \"name\": \"Ann\"},"[..],
                [b"{\"id\": \"wm\", \"name\": \"", damaged, b"\"},"].concat(),
            );
            let page = [b"[", &ann.repeat(99)[..], &other, b"0]"].concat();
            assert!(body(&page).is_some(), "{damaged:?}");
            assert!(body(&[&b"["[..], &other, b"0]"].concat()).is_some(), "{damaged:?} alone");
        }
    }

    #[test]
    fn many_cut_emoji_are_not_another_encoding() {
        for cut in [&b"\xf0\x9f\x98"[..], b"\xf0\x9f", b"\xf0", b"\x9f\x98\x80"] {
            let names = [b"\"Ann ", cut, b"\","].concat().repeat(50);
            assert!(body(&[b"[", &names[..], b"0]"].concat()).is_some(), "{cut:?}");
        }
    }

    proptest! {
        #[test]
        fn places_point_at_what_was_repaired(
            parts in proptest::collection::vec(prop_oneof![
                Just(&b"a"[..]), Just("花".as_bytes()), Just(&b"\x01"[..]), Just(&b"\\ud83d"[..]), Just(&b"\xf0\x9f"[..]),
                Just(&b"\\n"[..]), Just(&b"\xed\xa0\xbd\xed\xb8\x80"[..]),
            ], 0..30)
        ) {
            let bytes = [b"\"", parts.concat().as_slice(), b"\""].concat();
            let Some(repaired) = body(&bytes) else { return Ok(()) };
            prop_assert!(serde_json::from_str::<String>(&repaired.json).is_ok(), "{}", repaired.json);
            for place in &repaired.places {
                let rest = &repaired.json[*place..];
                prop_assert!(["\\u0001", "\\ufffd", "\u{fffd}", "😀"].iter().any(|with| rest.starts_with(with)), "{rest}");
            }
            prop_assert_eq!(json(&repaired.json), Repaired { places: Vec::new(), json: repaired.json.clone() });
        }
    }
}
