//! Fields of an item, each checked as it is read.

use jiff::Timestamp;
use serde::de::MapAccess;

use super::time::is_rfc3339;
use super::value::{Place, Reader, Value};
use super::{Faults, MAX_ID_CHARS};

/// The code of a validation error, and its detail.
type Flaw = (&'static str, String);

/// A field of an item.
#[derive(Default)]
pub(super) enum Field<T> {
    #[default]
    Absent,
    /// Anything but text: `null` too, for it could mean leave or clear.
    WrongType,
    Text(Checked<T>),
}

/// A text after its check.
pub(super) struct Checked<T> {
    /// `None` if the text cannot be used.
    pub(super) value: Option<T>,
    flaws: Vec<Flaw>,
}

impl<T> Field<T> {
    /// Reads the field. A repeated one replaces what was read before.
    pub(super) fn read<'de, A: MapAccess<'de>>(
        &mut self,
        object: &mut A,
        place: Place<'_>,
        check: fn(&str) -> Checked<T>,
    ) -> Result<(), A::Error> {
        *self = object.next_value_seed(Value(Text(check), place))?;
        Ok(())
    }

    /// Reports what is wrong with an optional field, and returns its value.
    pub(super) fn optional(self, pointer: &str, key: &str, faults: &mut Faults) -> Option<T> {
        let place = || format!("{pointer}/{key}");
        match self {
            Self::Absent => None,
            Self::WrongType => {
                faults.add(place(), "wrong_type", "expected a string");
                None
            }
            Self::Text(Checked { value, flaws }) => {
                for (code, detail) in flaws {
                    faults.add(place(), code, detail);
                }
                value
            }
        }
    }

    /// As [`Self::optional`], for a field that must be present.
    pub(super) fn required(self, pointer: &str, key: &str, faults: &mut Faults) -> Option<T> {
        if matches!(self, Self::Absent) {
            faults.add(format!("{pointer}/{key}"), "missing", "is required");
        }
        self.optional(pointer, key, faults)
    }
}

impl Field<String> {
    /// Whether the field is present and not an empty text.
    pub(super) fn is_filled(&self) -> bool {
        match self {
            Self::Absent => false,
            Self::Text(Checked { value: Some(text), .. }) => !text.is_empty(),
            Self::WrongType | Self::Text(_) => true,
        }
    }
}

/// Checks an id. One that is malformed is returned as well, because it may still be a duplicate; one that is too long is not copied.
pub(super) fn id(id: &str) -> Checked<String> {
    if id.len() > MAX_ID_CHARS {
        let flaw = ("too_long", format!("at most {MAX_ID_CHARS} characters are taken"));
        return Checked { value: None, flaws: vec![flaw] };
    }
    let flaw = if id.is_empty() {
        Some(("empty", "is empty".to_owned()))
    } else if !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some(("malformed", "expected visible ASCII characters".to_owned()))
    } else {
        None
    };
    Checked { value: Some(id.to_owned()), flaws: flaw.into_iter().collect() }
}

/// Checks a text of at most `MAX` characters. One that is too long is not copied.
pub(super) fn text<const MAX: usize>(text: &str) -> Checked<String> {
    let mut flaws = Vec::new();
    // A character takes at most four bytes: a shorter text need not be counted.
    let chars = if text.len() <= MAX { text.len() } else { text.chars().count() };
    if chars > MAX {
        flaws.push(("too_long", format!("is {chars} characters long, at most {MAX} are taken")));
    }
    // Line breaks and tabs are text; other control characters are not.
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        flaws.push(("malformed", "holds control characters".to_owned()));
    }
    Checked { value: flaws.is_empty().then(|| text.to_owned()), flaws }
}

/// As [`text`], and not empty.
pub(super) fn filled_text<const MAX: usize>(filled: &str) -> Checked<String> {
    if filled.is_empty() {
        return Checked { value: None, flaws: vec![("empty", "is empty".to_owned())] };
    }
    text::<MAX>(filled)
}

/// Checks a time of RFC 3339.
pub(super) fn time(text: &str) -> Checked<Timestamp> {
    match text.parse() {
        Ok(time) if is_rfc3339(text) => Checked { value: Some(time), flaws: Vec::new() },
        _ => {
            let detail = "expected a time of RFC 3339, such as 2026-11-22T13:00:00Z";
            Checked { value: None, flaws: vec![("malformed", detail.to_owned())] }
        }
    }
}

/// Reads a text and checks it.
struct Text<T>(fn(&str) -> Checked<T>);

impl<T> Reader<'_> for Text<T> {
    type Value = Field<T>;

    fn unexpected(self) -> Field<T> {
        Field::WrongType
    }

    fn text(self, text: &str) -> Field<T> {
        Field::Text((self.0)(text))
    }
}
