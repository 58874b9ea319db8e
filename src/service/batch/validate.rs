//! Checks a batch's body whole, before anything is sent: every fault, each with its place (contract §3.5).

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::model::{
    Fault, FollowUp, MAX_BATCH_ITEMS, MAX_DESCRIPTION_CHARS, MAX_REMARK_CHARS, Problem, ProblemCode, Remark,
};
use crate::suggest;

/// The longest id, in characters.
const MAX_ID_CHARS: usize = 128;
/// Faults that are told at most: more than a batch of the largest size has where it is wrong in each of its fields. Only
/// keys that are unknown or repeated could be more, and an answer is not to be many times as large as its cause.
const MAX_FAULTS: usize = 10 * MAX_BATCH_ITEMS;

/// # Errors
/// `validation_failed` with all faults.
pub fn remarks(body: &Value, duplicates: Vec<String>) -> Result<Vec<Remark>, Problem> {
    let mut reader = Reader::new(duplicates);
    let mut first_of: HashMap<(String, String), usize> = HashMap::new();
    let items = reader.items(body, |reader, pointer, index, item| {
        reader.known_keys(pointer, item, &["staff_id", "union_id", "remark", "description"]);
        let staff_id = reader.id(pointer, item, "staff_id");
        let union_id = reader.id(pointer, item, "union_id");
        let remark = reader.text(pointer, item, "remark", MAX_REMARK_CHARS);
        let description = reader.text(pointer, item, "description", MAX_DESCRIPTION_CHARS);
        let filled = |key: &str| item.get(key).is_some_and(|value| value.as_str() != Some(""));
        if !filled("remark") && !filled("description") {
            let detail = "at least one of remark and description is present, and not both are empty";
            reader.fault(pointer.to_owned(), "missing", detail);
        }
        if let (Some(staff_id), Some(union_id)) = (&staff_id, &union_id) {
            let first = *first_of.entry((staff_id.clone(), union_id.clone())).or_insert(index);
            if first != index {
                let detail = format!("is for the same staff member and customer as item {first}");
                reader.fault(pointer.to_owned(), "duplicate", detail);
            }
        }
        Some(Remark { staff_id: staff_id?, union_id: union_id?, remark, description })
    });
    reader.finish(items)
}

/// # Errors
/// `validation_failed` with all faults.
pub fn follow_ups(body: &Value, duplicates: Vec<String>) -> Result<Vec<FollowUp>, Problem> {
    let mut reader = Reader::new(duplicates);
    let items = reader.items(body, |reader, pointer, _index, item| {
        reader.known_keys(pointer, item, &["staff_id", "union_id", "content", "occurred_at"]);
        let staff_id = reader.id(pointer, item, "staff_id");
        let union_id = reader.id(pointer, item, "union_id");
        let content = reader.required(pointer, item, "content");
        if content.as_deref() == Some("") {
            reader.fault(format!("{pointer}/content"), "empty", "is empty");
        }
        reader.no_control_characters(pointer, "content", content.as_deref().unwrap_or_default());
        let occurred_at = reader.time(pointer, item, "occurred_at");
        Some(FollowUp { staff_id: staff_id?, union_id: union_id?, content: content?, occurred_at })
    });
    reader.finish(items)
}

struct Reader {
    faults: Vec<Fault>,
}

impl Reader {
    fn new(duplicates: Vec<String>) -> Self {
        let duplicate = |pointer| Fault::at(pointer, "duplicate", "is there more than once");
        Self { faults: duplicates.into_iter().take(MAX_FAULTS).map(duplicate).collect() }
    }

    fn fault(&mut self, pointer: String, code: &'static str, detail: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault::at(pointer, code, detail));
        }
    }

    fn finish<T>(self, items: Vec<T>) -> Result<Vec<T>, Problem> {
        if self.faults.is_empty() {
            Ok(items)
        } else {
            Err(Problem::faults(ProblemCode::ValidationFailed, self.faults))
        }
    }

    /// Reads `{"items": [...]}` and every item that is an object.
    fn items<T>(
        &mut self,
        body: &Value,
        mut read: impl FnMut(&mut Self, &str, usize, &Map<String, Value>) -> Option<T>,
    ) -> Vec<T> {
        let Some(body) = body.as_object() else {
            self.fault(String::new(), "wrong_type", "expected an object with items");
            return Vec::new();
        };
        self.known_keys("", body, &["items"]);
        let items = match body.get("items") {
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.fault("/items".to_owned(), "wrong_type", "expected a list");
                return Vec::new();
            }
            None => {
                self.fault("/items".to_owned(), "missing", "is required");
                return Vec::new();
            }
        };
        if items.is_empty() {
            self.fault("/items".to_owned(), "empty", "expected 1 to 1000 items");
        }
        if items.len() > MAX_BATCH_ITEMS {
            // One fault is enough here: the rest of what may be wrong is behind cutting the batch.
            let detail = format!("expected 1 to {MAX_BATCH_ITEMS} items, there are {}", items.len());
            self.fault("/items".to_owned(), "too_many", detail);
            return Vec::new();
        }
        let mut read_items = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let pointer = format!("/items/{index}");
            match item.as_object() {
                Some(item) => read_items.extend(read(self, &pointer, index, item)),
                None => self.fault(pointer, "wrong_type", "expected an object"),
            }
        }
        read_items
    }

    fn known_keys(&mut self, pointer: &str, object: &Map<String, Value>, known: &[&str]) {
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            // A suggestion costs more than the key: a body may have very many.
            if self.faults.len() >= MAX_FAULTS {
                return;
            }
            let shown: String = key.chars().filter(|c| !c.is_control()).take(MAX_ID_CHARS).collect();
            let place = format!("{pointer}/{}", shown.replace('~', "~0").replace('/', "~1"));
            self.fault(place, "unknown", suggest::unknown("field", &shown, known));
        }
    }

    /// A text that may be absent; `null` is a wrong type, for it could mean leave or clear.
    fn optional(&mut self, pointer: &str, object: &Map<String, Value>, key: &str) -> Option<String> {
        match object.get(key)? {
            Value::String(text) => Some(text.clone()),
            _ => {
                self.fault(format!("{pointer}/{key}"), "wrong_type", "expected a string");
                None
            }
        }
    }

    fn required(&mut self, pointer: &str, object: &Map<String, Value>, key: &str) -> Option<String> {
        if !object.contains_key(key) {
            self.fault(format!("{pointer}/{key}"), "missing", "is required");
        }
        self.optional(pointer, object, key)
    }

    fn text(&mut self, pointer: &str, object: &Map<String, Value>, key: &str, max_chars: usize) -> Option<String> {
        let text = self.optional(pointer, object, key)?;
        let chars = text.chars().count();
        if chars > max_chars {
            let detail = format!("is {chars} characters long, at most {max_chars} are taken");
            self.fault(format!("{pointer}/{key}"), "too_long", detail);
        }
        self.no_control_characters(pointer, key, &text);
        Some(text)
    }

    /// Line breaks and tabs are text; other control characters are not.
    fn no_control_characters(&mut self, pointer: &str, key: &str, text: &str) {
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            self.fault(format!("{pointer}/{key}"), "malformed", "holds control characters");
        }
    }

    fn id(&mut self, pointer: &str, object: &Map<String, Value>, key: &str) -> Option<String> {
        let id = self.required(pointer, object, key)?;
        let place = || format!("{pointer}/{key}");
        if id.is_empty() {
            self.fault(place(), "empty", "is empty");
        } else if id.len() > MAX_ID_CHARS {
            self.fault(place(), "too_long", format!("at most {MAX_ID_CHARS} characters are taken"));
        } else if !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.fault(place(), "malformed", "expected visible ASCII characters");
        }
        Some(id)
    }

    fn time(&mut self, pointer: &str, object: &Map<String, Value>, key: &str) -> Option<Timestamp> {
        let text = self.optional(pointer, object, key)?;
        match text.parse() {
            Ok(time) if is_rfc3339(&text) => Some(time),
            _ => {
                let detail = "expected a time of RFC 3339, such as 2026-11-22T13:00:00Z";
                self.fault(format!("{pointer}/{key}"), "malformed", detail);
                None
            }
        }
    }
}

/// Whether a text has the form of RFC 3339 §5.6; the time library's own reader also takes shorter and longer ones (no
/// minutes, a zone in brackets), which the document does not promise.
fn is_rfc3339(text: &str) -> bool {
    let Some((seconds, rest)) = text.split_at_checked("2026-11-22T13:00:00".len()) else {
        return false;
    };
    let fits = |text: &str, form: &str| {
        text.len() == form.len()
            && text.bytes().zip(form.bytes()).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                b'T' => matches!(byte, b'T' | b't' | b' '),
                _ => byte == form,
            })
    };
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if zone.len() == fraction.len() {
                return false;
            }
            zone
        }
        None => rest,
    };
    fits(seconds, "0000-00-00T00:00:00") && (matches!(zone, "Z" | "z") || fits(zone, "+00:00") || fits(zone, "-00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_form_of_rfc_3339() {
        for text in [
            "2026-11-22T13:00:00Z",
            "2026-11-22t13:00:00.123456789z",
            "2026-11-22 13:00:00+08:00",
            "2026-11-22T13:00:00.5-00:30",
        ] {
            assert!(is_rfc3339(text) && text.parse::<Timestamp>().is_ok(), "{text}");
        }
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T13Z",
            "2026-11-22T13:00Z",
            "2026-11-22T13:00:00",
            "2026-11-22T13:00:00.Z",
            "2026-11-22T13:00:00,5Z",
            "2026-11-22T13:00:00+08",
            "2026-11-22T13:00:00+0800",
            "2026-11-22T13:00:00+08:00[Asia/Shanghai]",
            "+002026-11-22T13:00:00Z",
            "二〇二六-11-22T13:00:00Z",
        ] {
            assert!(!is_rfc3339(text), "{text}");
        }
    }
}
