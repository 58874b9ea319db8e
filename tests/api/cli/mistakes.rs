//! Ordinary mistakes in a configuration: all of them are reported at once, by name, with the likely correction.

use scrm_gateway::config::Config;
use toml::{Table, Value};

use super::configuration::{BASE, check, refused, replaced, with};
use super::{command, run, stderr};

/// Further sections, after those of the base.
fn after(sections: &str) -> String {
    format!("{BASE}{sections}\n")
}

#[tokio::test]
async fn every_error_is_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
source_order = ["juzibot", "tamna"]
nonsense = 1
[server]
lissten = "127.0.0.1:1"
request_timeout = "soon"
max_connections = -1
max_in_flight = 0
[log]
level = "verbose"
[auth]
leeway = "5m"
[auth.issuers.login]
issuer = "https://login.test"
audience = ["scrm-gateway"]
algorithms = ["HS256"]
secret = "CANARY-short"
[auth.issuers.second]
issuer = "https://second.test"
audience = []
algorithms = ["none"]
public_key_file = "./no-such-file"
[callers.crm]
issuer = "logn"
subject = "crm"
sources = ["tanma", "juzzibot"]
[cursor]
key_file = "./no-such-key"
[outbound]
ca_file = "./no-such-ca"
[cors]
origins = ["*"]
[sources.juzibot]
kind = "juzibot"
base_url = "http://hub.example"
tokn_file = "CANARY-token"
timeout = "0s"
[sources.juzibot.retry]
attempts = 0
[sources.tanma]
kind = "tanma"
app_key_file = "./no-such-app-key"
page_size = 0
"#;
    std::fs::write(folder.path().join("gateway.toml"), text).unwrap();
    let expected = [
        "source_order (from gateway.toml): unknown source \"tamna\" (configured: juzibot, tanma); did you mean \"tanma\"?",
        "source_order (from gateway.toml): source \"tanma\" is not listed",
        "nonsense (from gateway.toml): unknown key; known keys: source_order, server,",
        "server.lissten (from gateway.toml): unknown key; did you mean \"listen\"?",
        "server.request_timeout (from gateway.toml): expected a duration, such as \"2s\"",
        "server.max_connections (from gateway.toml): expected a whole number of at least 0",
        "server.max_in_flight (from gateway.toml): expected a number of at least 1",
        "log.level (from gateway.toml): unknown level \"verbose\"; expected off, error, warn, info, debug or trace",
        "auth.leeway (from gateway.toml): expected at most 30s",
        "auth.issuers.login.secret (from gateway.toml): expected secrets of 32 bytes or more",
        "auth.issuers.second.audience (from gateway.toml): expected at least one audience",
        "auth.issuers.second.algorithms (from gateway.toml): unknown value \"none\"; expected one of `HS256`",
        "auth.issuers.second.public_key_file (from gateway.toml): ./no-such-file cannot be read",
        "callers.crm.issuer (from gateway.toml): unknown issuer \"logn\" (configured: login, second); did you mean \"login\"?",
        "callers.crm.sources (from gateway.toml): unknown source \"juzzibot\" (configured: juzibot, tanma); did you mean \"juzibot\"?",
        "cursor.key_file (from gateway.toml): ./no-such-key cannot be read",
        "outbound.ca_file (from gateway.toml): ./no-such-ca cannot be read",
        "cors.origins (from gateway.toml): expected origins",
        "sources.juzibot.base_url (from gateway.toml): plain http is taken to a loopback address only",
        "sources.juzibot.tokn_file (from gateway.toml): unknown key; did you mean \"token_file\"?",
        "sources.juzibot.timeout (from gateway.toml): expected a duration longer than 0",
        "sources.juzibot.retry.attempts (from gateway.toml): expected a number from 1 to 10",
        "sources.tanma.base_url (from gateway.toml): is required",
        "sources.tanma.app_id (from gateway.toml): is required",
        "sources.tanma.app_key_file (from gateway.toml): ./no-such-app-key cannot be read",
        "sources.tanma.page_size (from gateway.toml): expected a number from 1 to 1000",
    ];
    for name in ["check", "serve"] {
        let output = run(command(folder.path(), &[name, "--config", "gateway.toml"])).await;
        refused(&output, &[], name);
        let lines: Vec<&str> = stderr(&output).lines().collect();
        for error in expected {
            let found = lines.iter().filter(|line| line.starts_with(&format!("error: {error}"))).count();
            assert_eq!(found, 1, "{error}\n{}", stderr(&output));
        }
        assert_eq!(lines.len(), expected.len() + 1, "{}", stderr(&output));
        assert_eq!(lines.last(), Some(&"scrm-gateway: the configuration cannot be used"));
    }
}

#[tokio::test]
async fn every_line_that_is_not_toml_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let text = replaced("token", "token = CANARY token")
        + "\n[server]\nlisten = CANARY\n[log]\nlevel = 'info'\nlevel = 'CANARY'\nformat 'CANARY'\n";
    let output = check(folder.path(), &text, &[]).await;
    let lines = [10, 12, 15, 16].map(|line| format!("error: gateway.toml, line {line}: "));
    refused(&output, &lines.each_ref().map(String::as_str), &text);
    assert_eq!(stderr(&output).matches("error: ").count(), lines.len(), "{}", stderr(&output));
}

/// Each a configuration with one mistake, and the whole message about it.
async fn each_is_one_error(table: &[(String, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    for (text, message) in table {
        let output = check(folder.path(), text, &[]).await;
        refused(&output, &[], text);
        let expected = format!("error: {message}\nscrm-gateway: the configuration cannot be used\n");
        assert_eq!(stderr(&output), expected, "{text}");
    }
}

/// Also those that a section cannot do without.
#[tokio::test]
async fn misspelt_key_is_one_error_with_a_suggestion() {
    each_is_one_error(&[
        (
            replaced("token", "tokn_file = \"x\""),
            "sources.juzibot.tokn_file (from gateway.toml): unknown key; did you mean \"token_file\"?",
        ),
        (
            replaced("token", "tokken = \"CANARY\""),
            "sources.juzibot.tokken (from gateway.toml): unknown key; did you mean \"token\"?",
        ),
        (
            replaced("base_url", "baseurl = \"x\""),
            "sources.juzibot.baseurl (from gateway.toml): unknown key; did you mean \"base_url\"?",
        ),
        (
            replaced("kind", "knd = \"juzibot\""),
            "sources.juzibot.knd (from gateway.toml): unknown key; did you mean \"kind\"?",
        ),
        (
            replaced("secret", "secrt = \"CANARY\""),
            "auth.issuers.login.secrt (from gateway.toml): unknown key; did you mean \"secret\"?",
        ),
        (
            replaced("issuer", "isuer = \"x\""),
            "auth.issuers.login.isuer (from gateway.toml): unknown key; did you mean \"issuer\"?",
        ),
        (BASE.replace("[sources.", "[source."), "source (from gateway.toml): unknown key; did you mean \"sources\"?"),
        (BASE.replace("[auth.", "[auht."), "auht (from gateway.toml): unknown key; did you mean \"auth\"?"),
        (
            BASE.replace("[auth.issuers", "[auth.issuer"),
            "auth.issuer (from gateway.toml): unknown key; did you mean \"issuers\"?",
        ),
        (
            after("[log]\nlisten = \"x\""),
            "log.listen (from gateway.toml): unknown key; did you mean \"server.listen\"?",
        ),
        (
            with("request_timeout = \"5s\""),
            "sources.juzibot.request_timeout (from gateway.toml): unknown key; did you mean \"server.request_timeout\"?",
        ),
        (
            with("retry = { attemps = 2 }"),
            "sources.juzibot.retry.attemps (from gateway.toml): unknown key; did you mean \"attempts\"?",
        ),
        (
            with("codes = { notfound = [1] }"),
            "sources.juzibot.codes.notfound (from gateway.toml): unknown key; did you mean \"not_found\"?",
        ),
    ])
    .await;
}

#[tokio::test]
async fn mistake_is_one_error_that_names_what_is_wrong() {
    each_is_one_error(&[
        // Numbers and addresses.
        (
            after("[server]\nmax_in_flight = -1"),
            "server.max_in_flight (from gateway.toml): expected a whole number of at least 0",
        ),
        (
            after("[rate_limit]\ndefault = { requests = 5000000000, window = \"1m\" }"),
            "rate_limit.default.requests (from gateway.toml): expected a whole number from 0 to 4294967295",
        ),
        (
            after("[rate_limit]\ndefault = { requests = 0, window = \"1m\" }"),
            "rate_limit.default.requests (from gateway.toml): expected a number of at least 1",
        ),
        (
            after("[server]\nlisten = \"gateway.internal:8080\""),
            "server.listen (from gateway.toml): expected an IP address and a port, such as \"127.0.0.1:8080\" (host names are not resolved)",
        ),
        (
            after("[server]\nlisten = \":8080\""),
            "server.listen (from gateway.toml): expected an IP address and a port, such as \"127.0.0.1:8080\" (host names are not resolved)",
        ),
        // Levels.
        (
            after("[log]\nlevel = \"verbose\""),
            "log.level (from gateway.toml): unknown level \"verbose\"; expected off, error, warn, info, debug or trace, or directives such as \"info,scrm_gateway=debug\"",
        ),
        (
            after("[log]\nlevel = \"\""),
            "log.level (from gateway.toml): expected off, error, warn, info, debug or trace, or directives such as \"info,scrm_gateway=debug\"",
        ),
        // Names.
        (
            format!("source_order = [\"juzibot\", \"juzibot\"]\n{BASE}"),
            "source_order (from gateway.toml): source \"juzibot\" is listed twice",
        ),
        (
            format!("source_order = [\"juzibot\", \"CANARY-0123456789abcdef\"]\n{BASE}"),
            "source_order (from gateway.toml): unknown source in entry 2 (configured: juzibot)",
        ),
        (
            after("[callers.x]\nissuer = \"login\"\nsubject = \"s\"\nsources = [\"nowhere\"]"),
            "callers.x.sources (from gateway.toml): unknown source \"nowhere\" (configured: juzibot)",
        ),
        (
            after("[callers.a]\nissuer = \"x\"\nsubject = \"s\""),
            "callers.a.issuer (from gateway.toml): unknown issuer \"x\" (configured: login); expected a name under auth.issuers",
        ),
        (
            after("[callers.a]\nissuer = \"https://CANARY\"\nsubject = \"s\""),
            "callers.a.issuer (from gateway.toml): unknown issuer (configured: login); expected a name under auth.issuers",
        ),
        // Enumerations.
        (
            after("[log]\nformat = \"xml\""),
            "log.format (from gateway.toml): unknown value \"xml\"; expected `json` or `text`",
        ),
        (
            after("[log]\nformat = \"CANARY-0123456789\""),
            "log.format (from gateway.toml): expected `json` or `text`",
        ),
        (
            replaced("kind", "kind = \"JuziBot\""),
            "sources.juzibot.kind (from gateway.toml): unknown value \"JuziBot\"; expected `juzibot` or `tanma`; did you mean \"juzibot\"?",
        ),
        (
            with("operations = [\"list_customers\", \"set_remark\"]"),
            "sources.juzibot.operations (from gateway.toml): unknown value \"set_remark\"; expected one of `list_customers`, `get_by_external_user_id`, `get_by_union_id`, `set_remarks`, `add_follow_ups`; did you mean \"set_remarks\"?",
        ),
        (
            replaced("algorithms", "algorithms = [\"hs256\"]"),
            "auth.issuers.login.algorithms (from gateway.toml): unknown value \"hs256\"; expected one of `HS256`, `HS384`, `HS512`, `ES256`, `ES384`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `EdDSA`; did you mean \"HS256\"?",
        ),
        // A section with errors is still there to what refers to it.
        (
            format!("source_order = [\"juzibot\"]\n{}", replaced("token", "token = \"\"")),
            "sources.juzibot.token (from gateway.toml): is empty",
        ),
        (
            replaced("secret", "secret = \"CANARY-short\"") + "\n[callers.x]\nissuer = \"login\"\nsubject = \"s\"",
            "auth.issuers.login.secret (from gateway.toml): expected secrets of 32 bytes or more (RFC 7518 §3.2)",
        ),
    ])
    .await;
}

#[tokio::test]
async fn log_level_takes_levels_and_directives() {
    let folder = tempfile::tempdir().unwrap();
    for level in [
        "off",
        "error",
        "warn",
        "info",
        "debug",
        "trace",
        "INFO",
        "info,scrm_gateway::edge=debug",
        "warn,[request]=info",
    ] {
        let output = check(folder.path(), &after(&format!("[log]\nlevel = \"{level}\"")), &[]).await;
        assert!(output.status.success(), "{level}: {}", stderr(&output));
    }
}

/// The configuration with a value at a path.
fn set(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(table.insert(path.to_owned(), value)),
        Some((section, rest)) => {
            let below = table.entry(section).or_insert_with(|| Table::new().into());
            set(below.as_table_mut().unwrap(), rest, value);
        }
    }
}

fn durations(table: &Table, within: &str, found: &mut Vec<String>) {
    for (key, value) in table {
        let path = if within.is_empty() { key.clone() } else { format!("{within}.{key}") };
        match value {
            Value::Table(table) => durations(table, &path, found),
            Value::String(text) if text.parse::<humantime::Duration>().is_ok() => found.push(path),
            _ => {}
        }
    }
}

#[test]
fn every_duration_is_at_most_a_year() {
    let url = "[auth.issuers.url]\nissuer = \"i\"\naudience = [\"a\"]\nalgorithms = [\"RS256\"]\njwks_url = \"https://login.test\"\n\
        jwks_refresh = \"1m\"\njwks_cool_down = \"1m\"\n[callers.x]\nissuer = \"login\"\nsubject = \"s\"\n\
        quota = { requests = 1, window = \"1m\" }\n";
    let source = "read_timeout = \"1s\"\nquota = { requests = 1, window = \"1s\" }\n";
    let limits =
        "[rate_limit]\ndefault = { requests = 1, window = \"1m\" }\nper_address = { requests = 1, window = \"1m\" }\n";
    let text = format!("{BASE}{source}{url}{limits}");
    let shown: Table = Config::from_toml(&text).unwrap().shown.parse().unwrap();
    let mut paths = Vec::new();
    durations(&shown, "", &mut paths);
    assert!(paths.len() >= 24, "{paths:?}");
    for path in paths {
        for (duration, is_bounded) in [("365days 1s", true), ("9999999999years", true), ("1s", false)] {
            let mut table: Table = text.parse().unwrap();
            set(&mut table, &path, duration.into());
            let result = Config::from_toml(&table.to_string());
            if is_bounded {
                let error = result.expect_err(&path).to_string();
                assert!(error.contains(&path) && error.contains("expected at most 365 days"), "{path}: {error}");
            } else {
                assert!(result.is_ok(), "{path}: {}", result.unwrap_err());
            }
        }
    }
}
