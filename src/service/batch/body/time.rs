//! Times in the form of RFC 3339.

/// Returns whether a text has the form of RFC 3339 §5.6. The time library also parses shorter and longer forms (no minutes, a zone
/// in brackets), which the API does not accept.
pub(super) fn is_rfc3339(text: &str) -> bool {
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
    use jiff::Timestamp;

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
