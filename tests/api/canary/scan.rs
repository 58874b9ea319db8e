//! Finds a canary in whatever spelling, and pieces of it.

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use super::seeds::{DESCRIPTION, NOTE, REMARK};

/// Bytes of a piece at least, in whole characters: what is cut in two, or short, still has one.
const PIECE: usize = 12;
/// A shorter spelling would be met by chance.
const MIN_PATTERN: usize = 6;

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Canary {
    pub name: String,
    pub text: String,
}

impl Canary {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

pub struct Scanner {
    patterns: Vec<String>,
    /// Of each pattern: the canary and the spelling.
    meanings: Vec<(String, &'static str)>,
    automaton: AhoCorasick,
}

impl Scanner {
    pub fn new(canaries: &[Canary]) -> Self {
        let (mut patterns, mut meanings) = (Vec::new(), Vec::new());
        for canary in canaries {
            for piece in pieces(&canary.text) {
                for (spelling, pattern) in spellings(piece) {
                    if pattern.len() >= MIN_PATTERN {
                        patterns.push(pattern);
                        meanings.push((canary.name.clone(), spelling));
                    }
                }
            }
        }
        let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(&patterns).unwrap();
        Self { patterns, meanings, automaton }
    }

    /// The first canary in a text: its name, its spelling and the pattern that was met.
    pub fn find(&self, text: impl AsRef<[u8]>) -> Option<String> {
        let text = text.as_ref();
        // Which of its bytes a URL encodes is up to its writer.
        let decoded = percent_decode(text).collect::<Vec<u8>>();
        let found = [text, &decoded].into_iter().find_map(|text| self.automaton.find(text))?;
        let (name, spelling) = &self.meanings[found.pattern()];
        Some(format!("{name}, {spelling}: {}", self.patterns[found.pattern()]))
    }

    #[track_caller]
    pub fn check(&self, what: &str, text: impl AsRef<[u8]>) {
        if let Some(found) = self.find(text.as_ref()) {
            let text = String::from_utf8_lossy(text.as_ref());
            let line = text.lines().find(|line| self.find(line).is_some()).unwrap_or(&text);
            panic!("{what} holds {found}\n{}", line.chars().take(2_000).collect::<String>());
        }
    }
}

/// All pieces of a long text, one from each character that has enough after it; a short one is looked for whole.
fn pieces(text: &str) -> Vec<&str> {
    if text.len() <= PIECE {
        return vec![text];
    }
    let from = text.char_indices().map(|(at, _)| &text[at..]);
    from.filter(|rest| rest.len() >= PIECE).map(|rest| &rest[..rest.ceil_char_boundary(PIECE)]).collect()
}

fn spellings(piece: &str) -> Vec<(&'static str, String)> {
    let bytes = piece.as_bytes();
    let each = |spell: fn(&u8) -> String| joined(bytes, spell);
    let mut all = vec![
        ("as it is", piece.to_owned()),
        ("in hex", each(|byte| format!("{byte:02x}"))),
        ("in a byte string", each(|byte| format!("\\x{byte:02x}"))),
        ("as JSON escapes", joined(piece.encode_utf16(), |unit| format!("\\u{unit:04x}"))),
        ("as Rust escapes", joined(piece.chars(), |c| format!("\\u{{{:x}}}", u32::from(c)))),
        ("as JSON", serde_json::to_string(piece).unwrap().trim_matches('"').to_owned()),
        ("as a list of bytes", bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")),
        ("as a list of bytes", bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(",")),
    ];
    for before in 0..3 {
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            all.push(("in base64", base64_within(engine, before, bytes)));
        }
    }
    all
}

fn joined<T>(units: impl IntoIterator<Item = T>, spell: impl Fn(T) -> String) -> String {
    units.into_iter().map(spell).collect::<Vec<_>>().concat()
}

/// What base64 makes of the bytes where so many others stand before them, without the characters that are others' as well.
fn base64_within(engine: &impl Engine, before: usize, bytes: &[u8]) -> String {
    let all = [&vec![0; before], bytes].concat();
    let encoded = engine.encode(&all);
    encoded[(before * 8).div_ceil(6)..all.len() * 8 / 6].to_owned()
}

const SECRET: &str = "tOk/3n+of-a=Source_7%";

#[test]
fn every_spelling_of_a_canary_is_found_wherever_it_stands() {
    let scanner = Scanner::new(&[Canary::new("secret", SECRET), Canary::new("name", "欧阳子涵")]);
    for text in [SECRET, "欧阳子涵"] {
        let url = url::Url::parse_with_params("https://hub.example/x", [("token", text)]).unwrap();
        let path = utf8_percent_encode(text, NON_ALPHANUMERIC);
        let escaped = joined(text.encode_utf16(), |unit| format!("\\u{unit:04X}"));
        for (spelling, told) in [
            ("plain", text.to_owned()),
            ("upper case", text.to_uppercase()),
            ("debug", format!("{text:?}")),
            ("JSON", serde_json::json!({"a": [text]}).to_string()),
            ("JSON escapes", escaped),
            ("bytes", format!("{:?}", text.as_bytes())),
            ("byte string", format!("{:?}", bytes::Bytes::from(text.to_owned()))),
            ("hex", joined(text.bytes(), |byte| format!("{byte:02X}"))),
            ("percent", joined(text.bytes(), |byte| format!("%{byte:02X}"))),
            ("query", url.query().unwrap().to_owned()),
            ("path", path.to_string()),
            ("base64", STANDARD_NO_PAD.encode(format!("user:{text}"))),
            ("base64", URL_SAFE_NO_PAD.encode(format!("{{\"k\":\"{text}\"}}"))),
            ("base64", base64::engine::general_purpose::STANDARD.encode(format!("12{text}345"))),
        ] {
            let line = format!("2026-11-26T11:40:06Z INFO before {told} after");
            assert!(scanner.find(&line).is_some(), "{spelling}: {line}");
        }
    }
}

#[test]
fn pieces_of_a_canary_are_found_too() {
    let scanner = Scanner::new(&[Canary::new("secret", SECRET)]);
    for (from, to) in [(0, PIECE), (SECRET.len() - PIECE, SECRET.len()), (4, 4 + PIECE)] {
        assert!(scanner.find(format!("cut: {}…", &SECRET[from..to])).is_some(), "{from}..{to}");
        assert!(scanner.find(STANDARD_NO_PAD.encode(&SECRET[from..to])).is_some(), "{from}..{to}");
    }
    let (first, second) = SECRET.split_at(SECRET.len() / 2 + 2);
    assert!(scanner.find(format!("{first}\n{second}")).is_some(), "split over lines");
}

#[test]
fn pieces_of_a_canary_of_two_scripts_are_found_too() {
    for canary in [REMARK, DESCRIPTION, NOTE] {
        let scanner = Scanner::new(&[Canary::new("written", canary)]);
        let characters: Vec<char> = canary.chars().collect();
        let (_, but_the_first) = canary.split_at(characters[0].len_utf8());
        for part in
            [characters[..10].iter().collect(), but_the_first.to_owned(), canary[canary.len() - PIECE..].to_owned()]
        {
            assert!(scanner.find(format!("cut: {part}…")).is_some(), "{part}");
            assert!(scanner.find(STANDARD_NO_PAD.encode(&part)).is_some(), "{part}");
        }
    }
}

#[test]
fn what_holds_no_canary_is_clean() {
    let scanner = Scanner::new(&[Canary::new("secret", SECRET), Canary::new("name", "欧阳子涵")]);
    for clean in ["", "tOk/3n", "子涵", include_str!("../../../docs/architecture.md")] {
        assert_eq!(scanner.find(clean), None);
    }
}
