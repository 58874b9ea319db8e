//! Sources and callers, and the names by which settings refer to sources and issuers.

use std::collections::{BTreeMap, BTreeSet};

use crate::edge::{CallerConfig, Issuer};
use crate::model::{InvalidSourceName, SourceName};
use crate::suggest::closest;
use crate::upstream::{SourceConfig, is_plain};

use super::check::Checker;
use super::raw;

impl Checker<'_> {
    /// All sources, in the order of merges.
    pub(super) fn sources(&mut self, raw: &raw::Raw) -> Vec<SourceConfig> {
        let mut sources = Vec::new();
        for name in raw.sources.keys() {
            let parsed: Result<SourceName, InvalidSourceName> = name.parse();
            match parsed.map(|name| self.read_source(&name)) {
                Err(invalid) => self.reject(format!("sources.{name}"), invalid.to_string()),
                Ok(Ok(source)) => sources.push(source),
                Ok(Err(errors)) => errors.into_iter().for_each(|error| self.reject_source(error)),
            }
        }
        if !raw.source_order.is_empty() {
            self.source_order(&raw.source_order);
            let position =
                |source: &SourceConfig| raw.source_order.iter().position(|name| name == source.name.as_str());
            sources.sort_by_key(position);
        }
        sources
    }

    /// Each configured source has to be listed once.
    fn source_order(&mut self, order: &[String]) {
        const KEY: &str = "source_order";
        let declared = self.declared("sources");
        let mut listed = BTreeSet::new();
        for (index, name) in order.iter().enumerate() {
            if !declared.contains(name) {
                self.reject(KEY, unknown("source", name, Some(index), &declared));
            } else if !listed.insert(name) {
                self.reject(KEY, format!("source \"{name}\" is listed twice"));
            }
        }
        for name in declared.iter().filter(|name| !listed.contains(name)) {
            self.reject(KEY, format!("source \"{name}\" is not listed; expected each configured source once"));
        }
    }

    pub(super) fn callers(&mut self, raw: &BTreeMap<String, raw::Caller>, issuers: &[Issuer]) -> Vec<CallerConfig> {
        raw.iter().filter_map(|(name, caller)| self.caller(name, caller, raw, issuers)).collect()
    }

    fn caller(
        &mut self,
        name: &str,
        raw: &raw::Caller,
        all: &BTreeMap<String, raw::Caller>,
        issuers: &[Issuer],
    ) -> Option<CallerConfig> {
        let (declared, sources) = (self.declared("auth.issuers"), self.declared("sources"));
        if !declared.contains(&raw.issuer) {
            let expected = unknown("issuer", &raw.issuer, None, &declared);
            self.reject(format!("callers.{name}.issuer"), format!("{expected}; expected a name under auth.issuers"));
        }
        for (index, source) in raw.sources.iter().flatten().enumerate() {
            if !sources.contains(source) {
                self.reject(format!("callers.{name}.sources"), unknown("source", source, Some(index), &sources));
            }
        }
        let visible = raw.sources.as_ref().map(|names| names.iter().filter_map(|name| name.parse().ok()).collect());
        let quota = raw.quota.map(|quota| self.quota(&format!("callers.{name}.quota"), quota));
        let issuer_of = |wanted: &str| issuers.iter().find(|issuer| issuer.name == wanted);
        let issuer = issuer_of(&raw.issuer)?;
        // Two issuers of the configuration may have the same `iss`.
        let is_same = |other: &raw::Caller| {
            other.subject == raw.subject && issuer_of(&other.issuer).is_some_and(|other| other.issuer == issuer.issuer)
        };
        if let Some((twin, _)) = all.iter().find(|(other, caller)| other.as_str() > name && is_same(caller)) {
            let expected = format!("is the same caller as callers.{twin}, by issuer and subject");
            self.reject(format!("callers.{name}.subject"), expected);
        }
        Some(CallerConfig { issuer: issuer.issuer.clone(), subject: raw.subject.clone(), sources: visible, quota })
    }
}

/// Describes a name that is not configured. `index` is that of the list's entry, if the name stands in a list.
fn unknown(what: &str, name: &str, index: Option<usize>, configured: &[String]) -> String {
    let similar = closest(name, configured.iter().map(String::as_str));
    let named = match index {
        _ if similar.is_some() || is_plain(name) => format!(" \"{name}\""),
        Some(index) => format!(" in entry {}", index + 1),
        None => String::new(),
    };
    let hint = similar.map(|similar| format!("; did you mean \"{similar}\"?")).unwrap_or_default();
    format!("unknown {what}{named} (configured: {}){hint}", configured.join(", "))
}
