//! The keys that the configuration has, to find the one that a misspelt key or variable stands for.

use std::collections::BTreeSet;

use crate::suggest::closest;
use crate::upstream::{field_names, source_keys};

use super::raw;

/// Stands in a path for the name of a source, an issuer or a caller.
const NAME: &str = "NAME";

/// The paths of all keys that have a value, such as `server.listen` and `sources.NAME.token`.
fn all() -> Vec<String> {
    let sections: [(&str, &[&str]); 16] = [
        ("", field_names::<raw::Raw>()),
        ("server", field_names::<raw::Server>()),
        ("auth", field_names::<raw::Auth>()),
        ("auth.issuers.NAME", field_names::<raw::Issuer>()),
        ("callers.NAME", field_names::<raw::Caller>()),
        ("callers.NAME.quota", field_names::<raw::Quota>()),
        ("rate_limit.default", field_names::<raw::Quota>()),
        ("rate_limit.per_address", field_names::<raw::Quota>()),
        ("cursor", field_names::<raw::Cursor>()),
        ("idempotency", field_names::<raw::Idempotency>()),
        ("cache", field_names::<raw::Cache>()),
        ("outbound", field_names::<raw::Outbound>()),
        ("log", field_names::<raw::Log>()),
        ("telemetry", field_names::<raw::Telemetry>()),
        ("docs", field_names::<raw::Docs>()),
        ("cors", field_names::<raw::Cors>()),
    ];
    let listed = sections.into_iter().flat_map(|(section, keys)| {
        let path = move |key: &&str| if section.is_empty() { (*key).to_owned() } else { format!("{section}.{key}") };
        keys.iter().map(path)
    });
    let of_sources = source_keys().into_iter().map(|key| format!("sources.NAME.{key}"));
    let mut paths: Vec<String> = listed.chain(of_sources).collect();
    let sections: BTreeSet<String> =
        paths.iter().filter_map(|path| Some(path.rsplit_once('.')?.0)).flat_map(prefixes).collect();
    paths.retain(|path| !sections.contains(path));
    paths
}

/// A section's path and those of the sections that it is in.
fn prefixes(path: &str) -> Vec<String> {
    let ends = path.match_indices('.').map(|(dot, _)| dot).chain([path.len()]);
    ends.map(|end| path[..end].to_owned()).collect()
}

/// Returns the path of the key that a variable's name, or a path that no key has, stands for, whatever separates its words.
pub(super) fn intended(name: &str) -> Option<String> {
    let name = name.to_lowercase();
    let words: Vec<&str> = name.split(['_', '.']).filter(|word| !word.is_empty()).collect();
    let all = all();
    let fitting = |exact: bool| all.iter().find_map(|path| fit(&path.split('.').collect::<Vec<_>>(), &words, exact));
    fitting(true).or_else(|| fitting(false)).map(|parts| parts.join("."))
}

/// Returns the one key of this name that another section has.
pub(super) fn elsewhere(key: &str) -> Option<String> {
    let mut paths = all()
        .into_iter()
        .filter(|path| !path.contains(NAME) && path.rsplit_once('.').is_some_and(|(_, last)| last == key));
    let first = paths.next()?;
    paths.next().is_none().then_some(first)
}

/// The path's parts with the names that the words give, where the words make up the path.
fn fit(path: &[&str], words: &[&str], exact: bool) -> Option<Vec<String>> {
    let Some((part, rest)) = path.split_first() else { return words.is_empty().then(Vec::new) };
    (1..=words.len()).find_map(|count| {
        let text = words[..count].join("_");
        let part = match *part {
            NAME => text,
            part if text == part || (!exact && closest(&text, [part]).is_some()) => part.to_owned(),
            _ => return None,
        };
        Some([vec![part], fit(rest, &words[count..], exact)?].concat())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_has_its_keys() {
        let all = all();
        for section in field_names::<raw::Raw>() {
            let is_listed = |path: &String| path.starts_with(&format!("{section}."));
            assert!(*section == "source_order" || all.iter().any(is_listed), "{section}");
        }
        for path in ["sources.NAME.retry.attempts", "sources.NAME.codes.invalid", "sources.NAME.app_key_file"] {
            assert!(all.iter().any(|known| known == path), "{path}");
        }
    }

    #[test]
    fn intended_key_is_found_whatever_separates_its_words() {
        for (name, expected) in [
            ("SERVER__LISTEN", Some("server.listen")),
            ("SERVER_LISTEN", Some("server.listen")),
            ("SERVER_ADMIN_LISTEN", Some("server.admin_listen")),
            ("server.lissten", Some("server.listen")),
            ("SERVR_LISTEN", Some("server.listen")),
            ("SOURCE_ORDER", Some("source_order")),
            ("RATE_LIMIT_DEFAULT_REQUESTS", Some("rate_limit.default.requests")),
            ("SOURCES_JUZIBOT_TOKEN", Some("sources.juzibot.token")),
            ("SOURCES_MY_SOURCE_TOKEN_FILE", Some("sources.my_source.token_file")),
            ("SOURCE__JUZIBOT__TOKEN", Some("sources.juzibot.token")),
            ("SOURCES_TANMA_APPKEY", Some("sources.tanma.app_key")),
            ("AUTH_ISSUERS_LOGIN_SECRET", Some("auth.issuers.login.secret")),
            ("CALLERS_CRM_QUOTA_WINDOW", Some("callers.crm.quota.window")),
            ("LOGLEVEL", None),
            ("LOG", None),
            ("DOCS", None),
            ("HOST", None),
            ("IMAGE_TAG", None),
            ("BIN", None),
            ("VERSION", None),
            ("", None),
        ] {
            assert_eq!(intended(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn key_of_another_section_is_found_where_it_is_the_only_one() {
        assert_eq!(elsewhere("request_timeout").as_deref(), Some("server.request_timeout"));
        assert_eq!(elsewhere("requests"), None, "two sections have it");
        assert_eq!(elsewhere("nonsense"), None);
    }
}
