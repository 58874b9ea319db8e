//! Values of single settings: the forms that are accepted, and the error messages of the others.

use super::configuration::{BASE, check, refused, replaced, with};
use super::{command, run, stderr, stdout};

#[tokio::test]
async fn trusted_proxies_take_addresses_and_networks() {
    let folder = tempfile::tempdir().unwrap();
    let text = with("[server]\ntrusted_proxies = [\"127.0.0.1\", \"::1\", \"10.0.0.0/8\"]");
    let in_variable = [("SCRM_GATEWAY__SERVER__TRUSTED_PROXIES", "127.0.0.1, ::1,10.0.0.0/8")];
    for (text, variables) in [(&*text, &[][..]), (BASE, &in_variable)] {
        let output = check(folder.path(), text, variables).await;
        assert!(output.status.success(), "{}", stderr(&output));
        let shown: toml::Table = stdout(&output).parse().unwrap();
        let expected = vec!["127.0.0.1/32", "::1/128", "10.0.0.0/8"];
        assert_eq!(shown["server"]["trusted_proxies"], toml::Value::from(expected));
    }
}

#[tokio::test]
async fn trusted_proxy_that_is_no_address_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (entry, named) in [
        ("10.0.0.0/33", "\"10.0.0.0/33\""),
        ("10.0.0.256", "\"10.0.0.256\""),
        ("proxy.internal", "\"proxy.internal\""),
        ("CANARY-token", "entry 2"),
    ] {
        let text = with(&format!("[server]\ntrusted_proxies = [\"127.0.0.1\", \"{entry}\"]"));
        let expected = format!(
            "server.trusted_proxies (from gateway.toml): {named} is not an IP address or network, such as \"10.0.0.7\" or \"10.0.0.0/8\""
        );
        refused(&check(folder.path(), &text, &[]).await, &[&expected], entry);
    }
}

#[tokio::test]
async fn check_shows_proxy_port_without_credentials() {
    let folder = tempfile::tempdir().unwrap();
    for (proxy, shown) in [
        ("http://u:CANARY@proxy.example:3128", "http://[hidden]@proxy.example:3128"),
        ("http://CANARY@[::1]:3128", "http://[hidden]@[::1]:3128"),
        ("http://u:CANARY@proxy.example", "http://[hidden]@proxy.example"),
    ] {
        let output = check(folder.path(), &with(&format!("[outbound]\nproxy = \"{proxy}\"")), &[]).await;
        assert!(output.status.success(), "{}", stderr(&output));
        let table: toml::Table = stdout(&output).parse().unwrap();
        assert_eq!(table["outbound"]["proxy"].as_str(), Some(shown));
    }
}

#[tokio::test]
async fn public_url_with_query_or_fragment_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for end in ["?x=CANARY", "#CANARY", "?", "#"] {
        let text = with(&format!("[server]\npublic_url = \"https://gateway.example/scrm{end}\""));
        let expected =
            "server.public_url (from gateway.toml): expected an absolute URL without user, query and fragment";
        refused(&check(folder.path(), &text, &[]).await, &[expected], end);
    }
    let text = with("[server]\npublic_url = \"https://gateway.example/scrm\"");
    let output = check(folder.path(), &text, &[]).await;
    assert!(output.status.success(), "{}", stderr(&output));
}

#[tokio::test]
async fn value_given_as_a_file_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let jwks = replaced("algorithms", "algorithms = [\"RS256\"]");
    let tanma = "[sources.tanma]\nkind = \"tanma\"\nbase_url = \"https://tanma.example\"\napp_id = \"a\"\napp_key_file = \"CANARY\"";
    for (text, key, inline) in [
        (replaced("token", "token_file = \"CANARY\""), "sources.juzibot.token_file", Some("token")),
        (with(tanma), "sources.tanma.app_key_file", Some("app_key")),
        (replaced("secret", "secret_file = \"CANARY\""), "auth.issuers.login.secret_file", Some("secret")),
        (jwks.replace("secret =", "jwks_file = \"CANARY\" #"), "auth.issuers.login.jwks_file", None),
        (jwks.replace("secret =", "public_key_file = \"CANARY\" #"), "auth.issuers.login.public_key_file", None),
        (with("[cursor]\nkey_file = \"CANARY\""), "cursor.key_file", None),
        (with("[outbound]\nca_file = \"CANARY\""), "outbound.ca_file", None),
    ] {
        let output = check(folder.path(), &text, &[]).await;
        let hint = inline.map(|inline| format!("; use {inline} to set the value itself")).unwrap_or_default();
        let reason = "No such file or directory (os error 2)";
        let expected = format!("error: {key} (from gateway.toml): the file cannot be read: {reason}{hint}\n");
        refused(&output, &[&expected], key);
    }
}

#[tokio::test]
async fn hidden_secret_of_check_is_refused_as_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "[hidden]\n").unwrap();
    let hidden = "\"[hidden]\", which check prints in place of a secret: the output of check has no secrets";
    let tanma = "[sources.tanma]\nkind = \"tanma\"\nbase_url = \"https://tanma.example\"\napp_id = \"a\"\napp_key = \"[hidden]\"";
    for (text, key) in [
        (replaced("token", "token = \"[hidden]\""), "sources.juzibot.token (from gateway.toml): is"),
        (replaced("token", "token_file = \"token\""), "sources.juzibot.token_file (from gateway.toml): is"),
        (with(tanma), "sources.tanma.app_key (from gateway.toml): is"),
        (replaced("secret", "secret = \"[hidden]\""), "auth.issuers.login.secret (from gateway.toml): is"),
        (
            with("[outbound]\nproxy = \"http://[hidden]@proxy.example:3128\""),
            "outbound.proxy (from gateway.toml): contains",
        ),
    ] {
        let output = check(folder.path(), &text, &[]).await;
        refused(&output, &[&format!("error: {key} {hidden}\n")], key);
        assert_eq!(stderr(&output).matches("error: ").count(), 1, "{}", stderr(&output));
    }
}

#[tokio::test]
async fn codes_are_set_by_variables() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("SCRM_GATEWAY__SOURCES__JUZIBOT__CODES__CREDENTIALS", "40001, 40014"),
        ("SCRM_GATEWAY__SOURCES__JUZIBOT__CODES__SET_REMARKS__INVALID", "7"),
    ];
    let output = check(folder.path(), BASE, &variables).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let shown: toml::Table = stdout(&output).parse().unwrap();
    let codes = &shown["sources"]["juzibot"]["codes"];
    assert_eq!(codes["credentials"], toml::Value::from(vec!["40001", "40014"]));
    assert_eq!(codes["set_remarks"]["invalid"], toml::Value::from(vec!["7"]));
    let output = check(folder.path(), &with("codes = { invalid = [[1]] }"), &[]).await;
    let expected =
        "sources.juzibot.codes.invalid (from gateway.toml): expected a list of codes, such as [40001, \"E7\"]\n";
    refused(&output, &[expected], "a list in a list");
}

#[tokio::test]
async fn token_refuses_arguments_that_make_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let public = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/test-only-rsa.public.pem");
    let issuer = "[auth.issuers.public]\nissuer = \"i\"\naudience = [\"a\"]\nalgorithms = [\"RS256\"]";
    let text = with(&format!("{issuer}\npublic_key_file = \"{public}\""));
    std::fs::write(folder.path().join("gateway.toml"), text).unwrap();
    let form = "expected a duration of at least 1s, such as \"1h\" or \"30m\"";
    for (arguments, message) in [
        (&["--sub", "x", "--issuer", "de"][..], "unknown issuer \"de\" (configured: login, public)\n"),
        (
            &["--sub", "x", "--issuer", "logn"],
            "unknown issuer \"logn\" (configured: login, public); did you mean \"login\"?\n",
        ),
        (&["--sub", "x", "--issuer", "public"], "the issuer \"public\" has no secret to sign with\n"),
        (&["--sub", ""], "a value is required for '--sub <SUB>'"),
        (&["--sub", "x", "--ttl", "x"], form),
        (&["--sub", "x", "--ttl", "0s"], form),
    ] {
        let arguments = [&["token", "--config", "gateway.toml"], arguments].concat();
        let output = run(command(folder.path(), &arguments)).await;
        assert!(!output.status.success() && stdout(&output).is_empty(), "{arguments:?}");
        assert!(stderr(&output).contains(message), "{arguments:?}: {}", stderr(&output));
    }
    let output = run(command(folder.path(), &["token", "--config", "gateway.toml", "--sub", "x", "--ttl", "1m"])).await;
    assert!(output.status.success(), "{}", stderr(&output));
}

#[tokio::test]
async fn every_error_of_a_section_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
[auth.issuers.file]
issuer = "https://login.test"
audience = []
algorithms = []
secret_file = "./of-nobody"
[auth.issuers.url]
issuer = "https://login.test"
audience = []
algorithms = ["HS256"]
jwks_url = "http://login.test"
jwks_refresh = "0s"
[sources.juzibot]
kind = "juzibot"
base_url = "https://hub.test"
token = "CANARY"
operations = ["everything"]
nonsense = 1
tokn = "CANARY"
"#;
    let output = check(folder.path(), text, &[]).await;
    let expected = [
        "auth.issuers.file.audience (from gateway.toml): expected at least one",
        "auth.issuers.file.algorithms (from gateway.toml): expected HS256",
        "auth.issuers.file.secret_file (from gateway.toml): ./of-nobody cannot be read",
        "auth.issuers.url.audience (from gateway.toml): expected at least one",
        "auth.issuers.url.algorithms (from gateway.toml): expected HS256",
        "auth.issuers.url.jwks_url (from gateway.toml): expected an absolute https URL",
        "auth.issuers.url.jwks_refresh (from gateway.toml): expected 1s to 24h",
        "sources.juzibot.operations (from gateway.toml): unknown value \"everything\"",
        "sources.juzibot.nonsense (from gateway.toml): unknown key",
        "sources.juzibot.tokn (from gateway.toml): unknown key",
    ];
    refused(&output, &expected, text);
    assert_eq!(stderr(&output).matches("error: ").count(), expected.len(), "{}", stderr(&output));
}
