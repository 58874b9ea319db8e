//! The choice between the two codings of an embedded file (RFC 9110 §12.5.3).

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_ENCODING;

/// Returns whether the caller accepts gzip and likes it at least as much as an uncompressed body. Unknown codings and
/// ranges with an invalid weight are ignored, and an uncompressed body is never refused (ADR 0020).
pub(super) fn prefers_gzip(request: &HeaderMap) -> bool {
    let lines = request.get_all(ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    let ranges: Vec<(&str, f32)> = lines.flat_map(|line| line.split(',')).filter_map(range).collect();
    let weight = |names: &[&str]| {
        let named = |wanted: &str| ranges.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        names.iter().copied().chain(["*"]).find_map(named).map_or(0.0, |(_, weight)| *weight)
    };
    let gzip = weight(&["gzip", "x-gzip"]);
    gzip > 0.0 && gzip >= weight(&["identity"])
}

/// Parses `coding` or `coding;q=weight`.
fn range(text: &str) -> Option<(&str, f32)> {
    let Some((name, parameter)) = text.split_once(';') else { return Some((text.trim(), 1.0)) };
    let (key, weight) = parameter.split_once('=')?;
    let weight = weight.trim().parse().ok().filter(|weight| (0.0..=1.0).contains(weight))?;
    key.trim().eq_ignore_ascii_case("q").then_some((name.trim(), weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_chosen_by_weight() {
        for (header, expected) in [
            ("gzip", true),
            ("x-gzip", true),
            ("GZIP;Q=0.001", true),
            ("gzip, deflate, br, zstd", true),
            ("*", true),
            ("br;q=1, *;q=0.1", true),
            ("identity;q=0.5, gzip", true),
            ("identity;q=0, gzip", true),
            ("identity, gzip", true),
            ("", false),
            ("br", false),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("*;q=0", false),
            ("identity;q=0", false),
            ("identity, gzip;q=0.5", false),
            ("gzip;q=2", false),
            ("gzip;q=NaN", false),
            ("gzip;level=9", false),
            (";q=0,,;", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, header.parse().unwrap());
            assert_eq!(prefers_gzip(&headers), expected, "{header:?}");
        }
        assert!(!prefers_gzip(&HeaderMap::new()));
    }

    #[test]
    fn ranges_are_read_from_every_line() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT_ENCODING, "br".parse().unwrap());
        headers.append(ACCEPT_ENCODING, "gzip".parse().unwrap());
        assert!(prefers_gzip(&headers));
    }
}
