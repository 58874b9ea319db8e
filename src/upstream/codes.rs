//! Which code of a source means what: a table with defaults in code and additions in the configuration.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Deserializer, Serialize};

/// What a source's code, or its HTTP status, means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CodeClass {
    NotFound,
    /// The token, signature or clock was refused.
    Credentials,
    RateLimited,
    /// The source says that it cannot serve now.
    Retryable,
    /// The values were refused.
    Invalid,
    /// No table knows the code.
    Rejected,
}

impl CodeClass {
    /// The class of an HTTP status that is no success (contract §4).
    pub fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Credentials,
            429 => Self::RateLimited,
            500..=599 => Self::Retryable,
            _ => Self::Rejected,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Credentials => "credentials",
            Self::RateLimited => "rate_limited",
            Self::Retryable => "retryable",
            Self::Invalid => "invalid",
            Self::Rejected => "rejected",
        }
    }
}

/// Additions to a kind's table, as `[sources.NAME.codes]` gives them: numbers or strings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CodeAdditions {
    #[serde(deserialize_with = "codes")]
    pub not_found: Vec<String>,
    #[serde(deserialize_with = "codes")]
    pub credentials: Vec<String>,
    #[serde(deserialize_with = "codes")]
    pub rate_limited: Vec<String>,
    #[serde(deserialize_with = "codes")]
    pub retryable: Vec<String>,
    #[serde(deserialize_with = "codes")]
    pub invalid: Vec<String>,
}

fn codes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Code {
        Number(i64),
        Text(String),
    }
    let codes = Vec::<Code>::deserialize(deserializer)?;
    Ok(codes
        .into_iter()
        .map(|code| match code {
            Code::Number(number) => number.to_string(),
            Code::Text(text) => text,
        })
        .collect())
}

/// One source's codes and their classes.
#[derive(Debug, Clone, Default)]
pub struct CodeTable(HashMap<String, CodeClass>);

impl CodeTable {
    /// A kind's defaults with a source's additions over them.
    pub fn new(defaults: &[(&str, CodeClass)], additions: &CodeAdditions) -> Self {
        let added = [
            (CodeClass::NotFound, &additions.not_found),
            (CodeClass::Credentials, &additions.credentials),
            (CodeClass::RateLimited, &additions.rate_limited),
            (CodeClass::Retryable, &additions.retryable),
            (CodeClass::Invalid, &additions.invalid),
        ];
        let defaults = defaults.iter().map(|(code, class)| ((*code).to_owned(), *class));
        let added = added.into_iter().flat_map(|(class, codes)| codes.iter().map(move |code| (code.clone(), class)));
        Self(defaults.chain(added).collect())
    }

    pub fn class(&self, code: &str) -> CodeClass {
        self.0.get(code).copied().unwrap_or(CodeClass::Rejected)
    }

    /// The codes of each class, sorted, for people to read.
    pub fn by_class(&self) -> BTreeMap<String, Vec<String>> {
        use CodeClass::{Credentials, Invalid, NotFound, RateLimited, Retryable};
        let mut classes: BTreeMap<String, Vec<String>> = [NotFound, Credentials, RateLimited, Retryable, Invalid]
            .map(|class| (class.as_str().to_owned(), Vec::new()))
            .into();
        for (code, class) in &self.0 {
            classes.entry(class.as_str().to_owned()).or_default().push(code.clone());
        }
        for codes in classes.values_mut() {
            codes.sort();
        }
        classes
    }
}
