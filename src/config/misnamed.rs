//! Variables that name a source, an issuer or a caller that nothing else configures: probably a misspelt name.

use std::collections::{BTreeMap, HashMap};

use crate::suggest::closest;
use crate::upstream::{PREFIX, variable};

use super::error::Error;

/// The sections with names in them, what a name stands for, and the key without which no such section is meant as a new one.
const NAMED: [(&str, &str, &str); 3] =
    [("sources", "source", "kind"), ("auth.issuers", "issuer", "issuer"), ("callers", "caller", "issuer")];

/// Removes the variables of sections that the file does not have and that lack a required key, where a configured name is
/// similar. Returns one error for each such section.
pub(super) fn take(values: &mut HashMap<String, String>, file: &config::Config) -> Vec<Error> {
    let mut errors = Vec::new();
    for (section, what, required) in NAMED {
        let mut configured: Vec<String> = file.get_table(section).unwrap_or_default().into_keys().collect();
        let mut others: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for (name, key, variable) in values.keys().filter_map(|variable| below(section, variable)) {
            if !configured.contains(&name) {
                others.entry(name).or_default().push((key, variable));
            }
        }
        // A misspelt required key is an error of its own.
        let is_new = |keys: &[(String, String)]| keys.iter().any(|(key, _)| closest(key, [required]).is_some());
        configured.extend(others.iter().filter(|(_, keys)| is_new(keys)).map(|(name, _)| name.clone()));
        for (name, mut keys) in others.into_iter().filter(|(_, keys)| !is_new(keys)) {
            keys.sort();
            let Some(meant) = closest(&name, configured.iter().map(String::as_str)) else { continue };
            let Some((first, first_variable)) = keys.first() else { continue };
            let suggestion = variable(&format!("{section}.{meant}.{first}"));
            errors.push(Error::Misnamed { variable: first_variable.clone(), what, name, suggestion });
            values.retain(|variable, _| keys.iter().all(|(_, taken)| taken != variable));
        }
    }
    errors
}

/// Takes apart the name of a variable below a section: the name that follows the section, the key below it, and the whole.
fn below(section: &str, variable: &str) -> Option<(String, String, String)> {
    let path = variable.to_lowercase().replace("__", ".");
    let rest = path.strip_prefix(&format!("{}.{section}.", PREFIX.to_lowercase()))?;
    let (name, key) = rest.split_once('.')?;
    Some((name.to_owned(), key.to_owned(), variable.to_owned()))
}
