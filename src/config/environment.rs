//! The environment's variables: which of them are ours, which are misspelt, and which are not meant for the gateway.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt;

use crate::suggest::closest;
use crate::upstream::{PREFIX, variable};

use super::error::Error;
use super::keys;

/// Names the configuration file.
pub(crate) const CONFIG_FILE: &str = "SCRM_GATEWAY_CONFIG";

/// The variables that begin with the gateway's prefix.
#[derive(Default)]
pub(super) struct Environment {
    /// Those of the form `SCRM_GATEWAY__SECTION__KEY`.
    pub(super) values: HashMap<String, String>,
    pub(super) errors: Vec<Error>,
    pub(super) warnings: Vec<String>,
}

/// The names only: the values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { values, errors, warnings } = self;
        let names: BTreeSet<&String> = values.keys().collect();
        let mut fields = f.debug_struct("Environment");
        fields.field("names", &names).field("errors", errors).field("warnings", warnings).finish()
    }
}

impl Environment {
    /// Sorts variables, such as those of the process.
    pub(super) fn of(variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        let mut variables: Vec<_> =
            variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
        variables.sort();
        for (name, value) in variables {
            environment.add(name, value);
        }
        environment
    }

    fn add(&mut self, name: String, value: OsString) {
        let upper = name.to_uppercase();
        let words: Vec<&str> = upper.split('_').filter(|word| !word.is_empty()).collect();
        let Some(rest) = words.strip_prefix(&["SCRM", "GATEWAY"]) else { return };
        if name == CONFIG_FILE || is_service_link(&upper) {
            return;
        }
        if names_the_file(rest) {
            return self.errors.push(Error::Variable { name, suggestion: CONFIG_FILE.to_owned() });
        }
        if upper.starts_with(&format!("{PREFIX}__")) {
            match value.into_string() {
                Ok(value) => drop(self.values.insert(name, value)),
                Err(_) => self.errors.push(Error::NoText { name }),
            }
        } else if let Some(path) = keys::intended(&rest.join("_")) {
            self.errors.push(Error::Variable { name, suggestion: variable(&path) });
        } else {
            self.warnings.push(format!("environment variable {name} is not used by the gateway"));
        }
    }
}

/// Whether these words, after the prefix, are meant to name the configuration file.
fn names_the_file(words: &[&str]) -> bool {
    match words {
        [word] => closest(word, ["CONFIG"]).is_some(),
        ["CONFIG", "FILE" | "PATH"] => true,
        _ => false,
    }
}

/// Whether Kubernetes sets a variable of this name for a Service called `scrm-gateway`, or `scrm-gateway-` and more, in the
/// namespace of the pod (Kubernetes documentation, "Accessing the Service", environment variables; Docker's link variables).
fn is_service_link(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('_')) else { return false };
    // Our own have two underscores; a Service whose name has two hyphens there is not provided for.
    if rest.starts_with('_') {
        return false;
    }
    let is_port =
        |number: &str, protocol: &str| number.parse::<u16>().is_ok() && matches!(protocol, "TCP" | "UDP" | "SCTP");
    match rest.split('_').collect::<Vec<_>>().as_slice() {
        [.., "SERVICE", "HOST"] | [.., "PORT"] => true,
        [.., "PORT", number, protocol, "PROTO" | "ADDR"] | [.., "PORT", number, protocol]
            if is_port(number, protocol) =>
        {
            true
        }
        words => words.windows(2).any(|pair| pair == ["SERVICE", "PORT"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(names: &[&str]) -> Environment {
        Environment::of(names.iter().map(|name| ((*name).into(), "x".into())))
    }

    #[test]
    fn variable_that_kubernetes_injects_is_ignored() {
        let environment = sorted(&[
            "SCRM_GATEWAY_SERVICE_HOST",
            "SCRM_GATEWAY_SERVICE_PORT",
            "SCRM_GATEWAY_SERVICE_PORT_HTTP",
            "SCRM_GATEWAY_SERVICE_PORT_HTTP_METRICS",
            "SCRM_GATEWAY_PORT",
            "SCRM_GATEWAY_PORT_80_TCP",
            "SCRM_GATEWAY_PORT_80_TCP_PROTO",
            "SCRM_GATEWAY_PORT_80_TCP_PORT",
            "SCRM_GATEWAY_PORT_80_TCP_ADDR",
            "SCRM_GATEWAY_PORT_5353_UDP_ADDR",
            "SCRM_GATEWAY_ADMIN_SERVICE_HOST",
            "SCRM_GATEWAY_ADMIN_SERVICE_PORT_ADMIN",
            "SCRM_GATEWAY_ADMIN_PORT_9090_TCP",
            // A Service called scrm-gateway-server.
            "SCRM_GATEWAY_SERVER_PORT",
            "SCRM_GATEWAY_SERVER_SERVICE_HOST",
            // The file, and other programs.
            "SCRM_GATEWAY_CONFIG",
            "SCRM_GATEWAYS_LISTEN",
            "HOME",
        ]);
        assert!(environment.errors.is_empty(), "{:?}", environment.errors);
        assert!(environment.warnings.is_empty() && environment.values.is_empty(), "{environment:?}");
    }

    #[test]
    fn misspelt_variable_is_an_error_that_suggests_the_right_one() {
        for (name, suggestion) in [
            ("SCRM_GATEWAY_SERVER__LISTEN", "SCRM_GATEWAY__SERVER__LISTEN"),
            ("SCRM_GATEWAY_SERVER_LISTEN", "SCRM_GATEWAY__SERVER__LISTEN"),
            ("scrm_gateway_server_listen", "SCRM_GATEWAY__SERVER__LISTEN"),
            ("SCRM__GATEWAY__SERVER__LISTEN", "SCRM_GATEWAY__SERVER__LISTEN"),
            ("SCRM_GATEWAY_LOG_LEVL", "SCRM_GATEWAY__LOG__LEVEL"),
            ("SCRM_GATEWAY_SOURCES_JUZIBOT_TOKEN", "SCRM_GATEWAY__SOURCES__JUZIBOT__TOKEN"),
            ("SCRM_GATEWAY_CONFG", "SCRM_GATEWAY_CONFIG"),
            ("SCRM_GATEWAY_CONFIG_FILE", "SCRM_GATEWAY_CONFIG"),
            ("SCRM_GATEWAY__CONFIG", "SCRM_GATEWAY_CONFIG"),
            ("scrm_gateway_config", "SCRM_GATEWAY_CONFIG"),
        ] {
            let environment = sorted(&[name]);
            let [Error::Variable { suggestion: suggested, .. }] = environment.errors.as_slice() else {
                panic!("{name}: {environment:?}");
            };
            assert_eq!(suggested, suggestion, "{name}");
        }
    }

    #[test]
    fn debug_output_has_names_and_no_values() {
        let name = "SCRM_GATEWAY__SOURCES__JUZIBOT__TOKEN";
        let variables = [name, "SCRM_GATEWAY_VERSION", "SCRM_GATEWAY_LOG_LEVL"];
        let environment = Environment::of(variables.into_iter().map(|name| (name.into(), "CANARY".into())));
        assert_eq!(environment.values[name], "CANARY");
        let shown = format!("{environment:?}");
        assert!(shown.contains(name) && !shown.contains("CANARY"), "{shown}");
    }

    #[test]
    fn variable_without_a_likely_key_is_a_warning() {
        let environment = sorted(&["SCRM_GATEWAY_VERSION", "SCRM_GATEWAY__LOG__LEVEL"]);
        assert_eq!(environment.warnings, ["environment variable SCRM_GATEWAY_VERSION is not used by the gateway"]);
        assert_eq!(environment.values["SCRM_GATEWAY__LOG__LEVEL"], "x");
        assert!(environment.errors.is_empty());
    }
}
