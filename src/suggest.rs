//! "Did you mean": the known name that is closest to an unknown one. A leaf.

/// The longest name that is compared, in characters: names come from callers, and the comparison is quadratic.
const MAX_CHARS: usize = 64;

/// Returns the known name that `given` most likely stands for: equal but for case, or at most a third of its characters
/// edited. The first of several equally close names wins.
pub fn closest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = given.chars().count();
    if length == 0 || length > MAX_CHARS {
        return None;
    }
    let given = given.to_lowercase();
    let edits = |name: &str| strsim::osa_distance(&given, &name.to_lowercase());
    let (edits, name) = known.into_iter().map(|name| (edits(name), name)).min_by_key(|(edits, _)| *edits)?;
    (edits * 3 <= length.max(3)).then_some(name)
}

/// Describes an unknown name: suggests the closest known name, or lists the known ones. `what` is a noun, such as
/// "parameter".
pub fn unknown(what: &str, given: &str, known: &[&str]) -> String {
    match closest(given, known.iter().copied()) {
        Some(meant) => format!("unknown {what} \"{given}\"; did you mean \"{meant}\"?"),
        None if known.is_empty() => format!("unknown {what} \"{given}\"; none is supported here"),
        None => format!("unknown {what} \"{given}\"; known: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 5] = ["source", "staff_id", "limit", "cursor", "include"];

    #[test]
    fn close_name_is_suggested() {
        for (given, expected) in [
            ("sourc", "source"),
            ("soruce", "source"),
            ("SOURCE", "source"),
            ("sources", "source"),
            ("staffId", "staff_id"),
            ("limits", "limit"),
            ("inclde", "include"),
        ] {
            assert_eq!(closest(given, KNOWN), Some(expected), "{given}");
        }
    }

    #[test]
    fn distant_name_is_not_suggested() {
        for given in ["", "colour", "page", "x", "user_id", &"source".repeat(20)] {
            assert_eq!(closest(given, KNOWN), None, "{given}");
        }
        assert_eq!(closest("source", []), None);
    }

    #[test]
    fn unknown_name_is_explained() {
        assert_eq!(unknown("parameter", "sourc", &KNOWN), "unknown parameter \"sourc\"; did you mean \"source\"?");
        assert_eq!(unknown("field", "colour", &["id", "name"]), "unknown field \"colour\"; known: id, name");
        assert_eq!(unknown("parameter", "x", &[]), "unknown parameter \"x\"; none is supported here");
    }
}
