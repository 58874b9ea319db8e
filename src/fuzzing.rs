//! What the fuzzer runs (`fuzz/`, `make fuzz`): one function a target. Each takes any bytes, and panics where something does not
//! hold that must. Its corpus is gone through by an ordinary test, so that what was found once stays found.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::Timestamp;

use crate::live::Live;
use crate::service::cursor::{Binding, CursorKeys, Cursors, WalkState};
use crate::upstream::Position;

pub use crate::routes::fuzzing::{follow_ups, query, remarks};
pub use crate::upstream::fuzzing::{juzibot, tanma, value_as_text};

/// Cursors that nobody was given, and ones that were tampered with.
pub fn cursor(data: &[u8]) {
    static CURSORS: LazyLock<Cursors> =
        LazyLock::new(|| Cursors::new(Arc::new(Live::fixed(CursorKeys::random())), Duration::from_hours(1)));
    let binding = Binding {
        caller_issuer: "https://login",
        caller_subject: "caller",
        source: "juzibot",
        staff_id: None,
        raw: false,
    };
    let text = String::from_utf8_lossy(data);
    assert!(CURSORS.open(&text, &binding, Timestamp::UNIX_EPOCH).is_err(), "a forged cursor opens");
    let state = WalkState { position: Position::Token(text.into_owned()), offset: 1, page_size: 100, total: Some(7) };
    let sealed = CURSORS.seal(state.clone(), &binding, Timestamp::UNIX_EPOCH);
    match CURSORS.open(&sealed, &binding, Timestamp::UNIX_EPOCH) {
        Ok(opened) => assert_eq!(opened, state),
        Err(_) => assert!(sealed.len() > 4_096, "our own does not open"),
    }
    let tampered: String =
        sealed.bytes().zip(data.iter().chain(std::iter::repeat(&0))).map(|(a, b)| char::from((a ^ b) & 0x7f)).collect();
    assert!(tampered == sealed || CURSORS.open(&tampered, &binding, Timestamp::UNIX_EPOCH).is_err());
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    type Target = (&'static str, fn(&[u8]));

    const TARGETS: [Target; 7] = [
        ("cursor", super::cursor),
        ("follow_ups", super::follow_ups),
        ("juzibot", super::juzibot),
        ("query", super::query),
        ("remarks", super::remarks),
        ("tanma", super::tanma),
        ("value_as_text", super::value_as_text),
    ];

    #[test]
    fn the_corpus_of_each_target_holds() {
        for (name, target) in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
            let inputs: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(!inputs.is_empty(), "{name} has no corpus");
            for input in inputs {
                println!("{}", input.display());
                target(&std::fs::read(input).unwrap());
            }
        }
    }
}
