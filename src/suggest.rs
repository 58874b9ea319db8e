//! "Did you mean …?": the known name that is closest to a misspelt one. A leaf: imports nothing of the gateway.

/// Returns the known name that `given` most likely stands for, ignoring case: at most one edit (insertion, deletion, replacement or
/// swap of neighbours) for each three characters. The first of several that are equally close wins.
pub fn closest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    let most = given.chars().count().max(3) / 3;
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&given, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closest_name_is_within_a_third_of_its_length() {
        let known = ["source", "token", "token_file", "log", "juzibot", "tanma"];
        for (given, expected) in [
            ("sourc", Some("source")),
            ("SOURCE", Some("source")),
            ("tokn", Some("token")),
            ("tokn_file", Some("token_file")),
            ("tamna", Some("tanma")),
            ("lgo", Some("log")),
            ("lg", Some("log")),
            ("juzzybot", Some("juzibot")),
            ("wildly_else", None),
            ("xyz", None),
            ("", None),
        ] {
            assert_eq!(closest(given, known), expected, "{given}");
        }
    }
}
