//! Environment variables whose names are almost ours, or only look so, and a configuration that is not there.

use super::configuration::{BASE, EX_CONFIG, check, refused};
use super::{command, run, stderr, stdout};

#[tokio::test]
async fn misspelt_variable_is_refused_with_the_right_name() {
    let folder = tempfile::tempdir().unwrap();
    for (name, suggestion) in [
        ("SCRM_GATEWAY_SERVER__LISTEN", "SCRM_GATEWAY__SERVER__LISTEN"),
        ("SCRM_GATEWAY_SERVER_LISTEN", "SCRM_GATEWAY__SERVER__LISTEN"),
        ("SCRM_GATEWAY__SERVER_LISTEN", "SCRM_GATEWAY__SERVER__LISTEN"),
        ("SCRM_GATEWAY__SERVER__LISSTEN", "SCRM_GATEWAY__SERVER__LISTEN"),
        ("SCRM_GATEWAY___SERVER__LISTEN", "SCRM_GATEWAY__SERVER__LISTEN"),
        ("scrm_gateway_server_listen", "SCRM_GATEWAY__SERVER__LISTEN"),
        ("SCRM_GATEWAY__SOURCE__JUZIBOT__TOKEN", "SCRM_GATEWAY__SOURCES__JUZIBOT__TOKEN"),
        ("SCRM_GATEWAY_SOURCES__JUZIBOT__TOKEN", "SCRM_GATEWAY__SOURCES__JUZIBOT__TOKEN"),
        ("SCRM_GATEWAY__SOURCES__JUZIBOT__TOKN", "SCRM_GATEWAY__SOURCES__JUZIBOT__TOKEN"),
        ("SCRM_GATEWAY__LEVEL", "SCRM_GATEWAY__LOG__LEVEL"),
        ("SCRM_GATEWAY__CONFIG", "SCRM_GATEWAY_CONFIG"),
        ("SCRM_GATEWAY_CONFG", "SCRM_GATEWAY_CONFIG"),
    ] {
        let output = check(folder.path(), BASE, &[(name, "CANARY-0123456789")]).await;
        refused(&output, &["environment variable", &format!("did you mean \"{suggestion}\"?")], name);
        assert_eq!(stderr(&output).matches("error: ").count(), 1, "{name}: {}", stderr(&output));
    }
}

#[tokio::test]
async fn variable_that_kubernetes_injects_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let plain = check(folder.path(), BASE, &[]).await;
    let injected = [
        ("SCRM_GATEWAY_SERVICE_HOST", "10.43.0.7"),
        ("SCRM_GATEWAY_SERVICE_PORT", "80"),
        ("SCRM_GATEWAY_SERVICE_PORT_HTTP", "80"),
        ("SCRM_GATEWAY_PORT", "tcp://10.43.0.7:80"),
        ("SCRM_GATEWAY_PORT_80_TCP", "tcp://10.43.0.7:80"),
        ("SCRM_GATEWAY_PORT_80_TCP_PROTO", "tcp"),
        ("SCRM_GATEWAY_PORT_80_TCP_PORT", "80"),
        ("SCRM_GATEWAY_PORT_80_TCP_ADDR", "10.43.0.7"),
        ("SCRM_GATEWAY_ADMIN_SERVICE_HOST", "10.43.0.8"),
        ("SCRM_GATEWAY_ADMIN_SERVICE_PORT_ADMIN", "9090"),
        ("SCRM_GATEWAY_ADMIN_PORT_9090_TCP_ADDR", "10.43.0.8"),
    ];
    let output = check(folder.path(), BASE, &injected).await;
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!((stdout(&output), stderr(&output)), (stdout(&plain), stderr(&plain)));
}

#[tokio::test]
async fn unused_variable_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let output = check(folder.path(), BASE, &[("SCRM_GATEWAY_VERSION", "1")]).await;
    assert!(output.status.success());
    let expected = "warning: environment variable SCRM_GATEWAY_VERSION is not used by the gateway\n";
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
}

#[cfg(unix)]
#[tokio::test]
async fn variable_that_is_no_text_is_named_without_its_value() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gateway.toml"), BASE).unwrap();
    let mut command = command(folder.path(), &["check", "--config", "gateway.toml"]);
    command.env("SCRM_GATEWAY__SOURCES__JUZIBOT__TOKEN", std::ffi::OsStr::from_bytes(b"CANARY\xFF"));
    let output = run(command).await;
    refused(&output, &["environment variable SCRM_GATEWAY__SOURCES__JUZIBOT__TOKEN: expected text in UTF-8"], "");
}

#[tokio::test]
async fn configuration_without_source_or_issuer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (issuer, source) = BASE.split_at(BASE.find("[sources").unwrap());
    let no_source = "sources: no source is configured; add a section [sources.NAME]";
    let no_issuer = "auth.issuers: no issuer is configured; add a section [auth.issuers.NAME]";
    for (text, expected) in [("", vec![no_source, no_issuer]), (issuer, vec![no_source]), (source, vec![no_issuer])] {
        std::fs::write(folder.path().join("gateway.toml"), text).unwrap();
        for name in ["check", "serve"] {
            let output = run(command(folder.path(), &[name, "--config", "gateway.toml"])).await;
            refused(&output, &expected, text);
            assert_eq!(stderr(&output).matches("error: ").count(), expected.len(), "{}", stderr(&output));
        }
    }
}

#[tokio::test]
async fn configuration_that_was_not_given_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["check", "serve"] {
        for empty in [None, Some("")] {
            let mut command = command(folder.path(), &[name]);
            command.envs(empty.map(|empty| ("SCRM_GATEWAY_CONFIG", empty)));
            let output = run(command).await;
            refused(
                &output,
                &["no source is configured", "no issuer is configured", "--config FILE", "SCRM_GATEWAY_CONFIG"],
                name,
            );
        }
    }
}

#[tokio::test]
async fn variables_alone_are_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path(), &["check"]);
    command.envs([
        // As a template leaves it where no file is meant.
        ("SCRM_GATEWAY_CONFIG", ""),
        ("SCRM_GATEWAY__AUTH__ISSUERS__LOGIN__ISSUER", "https://login.test"),
        ("SCRM_GATEWAY__AUTH__ISSUERS__LOGIN__AUDIENCE", "scrm-gateway"),
        ("SCRM_GATEWAY__AUTH__ISSUERS__LOGIN__ALGORITHMS", "HS256"),
        ("SCRM_GATEWAY__AUTH__ISSUERS__LOGIN__SECRET", "CANARY-jwt-secret-0123456789abcdef0123"),
        ("SCRM_GATEWAY__SOURCES__JUZIBOT__KIND", "juzibot"),
        ("SCRM_GATEWAY__SOURCES__JUZIBOT__BASE_URL", "https://hub.test"),
        ("SCRM_GATEWAY__SOURCES__JUZIBOT__TOKEN", "CANARY-token"),
    ]);
    let output = run(command).await;
    assert!(output.status.success(), "{}", stderr(&output));
    assert_ne!(output.status.code(), Some(EX_CONFIG));
}

#[tokio::test]
async fn variable_with_a_misspelt_name_is_one_error() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{BASE}[callers.crm]\nissuer = \"login\"\nsubject = \"s\"\n");
    for (path, what, name, suggestion) in [
        ("SOURCES__JUZBOT__TOKEN", "source", "juzbot", "SOURCES__JUZIBOT__TOKEN"),
        ("SOURCES__JUZBOT__RETRY__ATTEMPTS", "source", "juzbot", "SOURCES__JUZIBOT__RETRY__ATTEMPTS"),
        ("AUTH__ISSUERS__LOGN__SECRET", "issuer", "logn", "AUTH__ISSUERS__LOGIN__SECRET"),
        ("CALLERS__CRN__QUOTA__REQUESTS", "caller", "crn", "CALLERS__CRM__QUOTA__REQUESTS"),
    ] {
        let variable = format!("SCRM_GATEWAY__{path}");
        let output = check(folder.path(), &text, &[(&variable, "CANARY")]).await;
        let expected = format!(
            "error: environment variable {variable}: no {what} \"{name}\" is configured; did you mean \"SCRM_GATEWAY__{suggestion}\"?\n"
        );
        refused(&output, &[&expected], path);
        assert_eq!(stderr(&output).matches("error: ").count(), 1, "{}", stderr(&output));
    }
    // Of a name that is new in the environment, and of one that is like none.
    let second = [
        ("SCRM_GATEWAY__SOURCES__JUZIBOT2__KIND", "juzibot"),
        ("SCRM_GATEWAY__SOURCES__JUZIBOT2__TOKEN", "CANARY"),
        ("SCRM_GATEWAY__SOURCES__OTHER__TOKEN", "CANARY"),
    ];
    let output = check(folder.path(), &text, &second).await;
    refused(&output, &["sources.juzibot2.base_url", "sources.other.kind"], "new names");
    assert!(!stderr(&output).contains("did you mean"), "{}", stderr(&output));
}
