//! `check`, `openapi`, and what is said of a configuration that cannot be used.

use std::path::Path;

use serde_json::Value;

use super::{command, folder_for, run, sandbox, stderr, stdout};

pub const BASE: &str = r#"
[auth.issuers.login]
issuer = "https://login.test"
audience = ["scrm-gateway"]
algorithms = ["HS256"]
secret = "CANARY-jwt-secret-0123456789abcdef0123"
[sources.juzibot]
kind = "juzibot"
base_url = "https://hub.juzibot.example"
token = "CANARY-token"
"#;

/// The exit code of sysexits.h for a configuration.
pub const EX_CONFIG: i32 = 78;

pub async fn check(folder: &Path, text: &str, environment: &[(&str, &str)]) -> std::process::Output {
    std::fs::write(folder.join("gateway.toml"), text).unwrap();
    let mut command = command(folder, &["check", "--config", "gateway.toml"]);
    command.envs(environment.iter().copied());
    run(command).await
}

#[tokio::test]
async fn openapi_prints_the_committed_document() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(command(folder.path(), &["openapi"])).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let document: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/openapi.json");
    if let Ok(committed) = std::fs::read_to_string(committed) {
        assert!(committed == stdout(&output), "openapi/openapi.json is stale");
    }
}

#[tokio::test]
async fn check_prints_what_is_in_force_and_no_secret() {
    let sandbox = sandbox().await;
    let (folder, _config) = folder_for(&sandbox);
    let mut from_files = command(folder.path(), &["check"]);
    // The file may also be named by a variable.
    from_files.env("SCRM_GATEWAY_CONFIG", "gateway.toml");
    let from_files = run(from_files).await;
    let inline = check(
        folder.path(),
        BASE,
        &[
            ("SCRM_GATEWAY__SERVER__MERGE_GRACE", "1s"),
            ("SCRM_GATEWAY__SOURCES__SECOND__KIND", "tanma"),
            ("SCRM_GATEWAY__SOURCES__SECOND__BASE_URL", "https://tanma.example/apiServer"),
            ("SCRM_GATEWAY__SOURCES__SECOND__APP_ID", "an_app"),
            ("SCRM_GATEWAY__SOURCES__SECOND__APP_KEY", "CANARY-app-key"),
            ("SCRM_GATEWAY__SOURCES__JUZIBOT__OPERATIONS", "list_customers, set_remarks"),
        ],
    )
    .await;
    for output in [&from_files, &inline] {
        assert!(output.status.success(), "{}", stderr(output));
        assert!(!stdout(output).contains("CANARY") && !stderr(output).contains("CANARY"));
        let shown: toml::Table = stdout(output).parse().unwrap();
        // Defaults, as the contract has them.
        for (section, key, value) in [
            ("server", "request_timeout", "10s"),
            ("server", "batch_timeout", "30s"),
            ("server", "drain_timeout", "35s"),
            ("server", "client_address_header", "x-forwarded-for"),
            ("cache", "fresh", "1m"),
            ("cache", "not_found", "10s"),
            ("cursor", "lifetime", "1h"),
            ("log", "level", "info"),
            ("auth", "default_sources", "all"),
        ] {
            assert_eq!(shown[section][key].as_str(), Some(value), "{section}.{key}");
        }
        assert_eq!(shown["rate_limit"]["default"]["burst"].as_integer(), Some(100));
        assert_eq!(shown["sources"]["juzibot"]["timeout"].as_str(), Some("3s"));
    }
    let shown: toml::Table = stdout(&from_files).parse().unwrap();
    assert_eq!(shown["sources"]["juzibot"]["token_file"].as_str(), Some("token"), "where it lies is no secret");
    let shown: toml::Table = stdout(&inline).parse().unwrap();
    for (path, value) in [
        (["sources", "juzibot", "token"], "[hidden]"),
        (["sources", "second", "app_key"], "[hidden]"),
        (["sources", "second", "app_id"], "an_app"),
    ] {
        assert_eq!(shown[path[0]][path[1]][path[2]].as_str(), Some(value), "{path:?}");
    }
    assert_eq!(shown["auth"]["issuers"]["login"]["secret"].as_str(), Some("[hidden]"));
    assert_eq!(shown["server"]["merge_grace"].as_str(), Some("1s"), "the environment stands over the file");
    let operations = shown["sources"]["juzibot"]["operations"].as_array().unwrap();
    assert_eq!(operations.len(), 2, "a list in the environment has commas");
    sandbox.stop().await;
}

/// With further lines at its end, which are of `[sources.juzibot]` unless they open a section.
pub fn with(more: &str) -> String {
    format!("{BASE}{more}\n")
}

/// With the line that begins so replaced.
pub fn replaced(line: &str, by: &str) -> String {
    let lines = BASE.lines().map(|one| if one.starts_with(line) { by } else { one });
    lines.collect::<Vec<_>>().join("\n")
}

/// A source whose key cannot be sent as it is told to.
const TANMA: &str = "[sources.second]\nkind = \"tanma\"\nbase_url = \"https://tanma.example\"\napp_id = \"an_app\"\n\
    app_key_file = \"no-ascii\"\nsend_app_key_header = true";

/// The file of [`check`].
const FILE: &str = "gateway.toml";

/// Each a configuration that cannot be used, and what must be said of it: the key, where it came from, what was
/// expected.
#[tokio::test]
async fn what_cannot_be_read_is_told_by_key_origin_and_form() {
    let folder = tempfile::tempdir().unwrap();
    let table = [
        // Unknown keys.
        (with("[server]\nlissten = \"x\""), ["server.lissten", FILE, "did you mean \"listen\"?"]),
        (with("tokn = \"CANARY-typo\""), ["sources.juzibot.tokn", FILE, "did you mean \"token\"?"]),
        (format!("nonsense = 1\n{BASE}"), ["nonsense", FILE, "unknown key"]),
        // Wrong types.
        (with("[server]\nmax_in_flight = \"many\""), ["server.max_in_flight", FILE, "a whole number"]),
        (with("[server]\nbody_limit = \"lots\""), ["server.body_limit", FILE, "64MiB"]),
        (with("[server]\nlisten = \"nowhere\""), ["server.listen", FILE, "127.0.0.1:8080"]),
        (
            with("[server]\nclient_address_header = \"x-real-ip\""),
            ["server.client_address_header", FILE, "`x-forwarded-for` or `forwarded`"],
        ),
        (with("timeout = \"soon\""), ["sources.juzibot.timeout", FILE, "a duration"]),
        (with("timeout = \"0s\""), ["sources.juzibot.timeout", FILE, "longer than 0"]),
        (with("operations = [\"everything\"]"), ["sources.juzibot.operations", FILE, "list_customers"]),
        (with("[log]\nformat = \"xml\""), ["log.format", FILE, "`json` or `text`"]),
        (replaced("token", "token = [\"CANARY-list\"]"), ["sources.juzibot.token", FILE, "a string"]),
        (replaced("secret", "secret = [\"CANARY-list\"]"), ["auth.issuers.login.secret", FILE, "a string"]),
        (replaced("kind", "kind = \"CANARY\""), ["sources.juzibot.kind", FILE, "`juzibot` or `tanma`"]),
        (replaced("kind", ""), ["sources.juzibot.kind", "is required", ""]),
        // Lines that are no TOML and hold a secret.
        (replaced("token", "token = CANARY-token"), [FILE, "line 10", "quoted"]),
        (replaced("token", "token = \"CANARY-token"), [FILE, "line 10", ""]),
        (replaced("token", "token = \"CANARY-token\" CANARY"), [FILE, "line 10", ""]),
        (replaced("token", "token = \"CAN\\ARY-CANARY\""), [FILE, "line 10", ""]),
        (replaced("token", "token \"CANARY-token\""), [FILE, "line 10", ""]),
    ];
    for (text, said) in table {
        let output = check(folder.path(), &text, &[]).await;
        refused(&output, &said, &text);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_told_and_no_secret_with_it() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("empty", &b"\n"[..]),
        ("two-lines", b"CANARY-one\nCANARY-two\n"),
        ("no-text", b"CANARY\xFF"),
        ("no-ascii", "CANARY-钥匙".as_bytes()),
    ] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let table = [
        // Secrets.
        (replaced("token", "token_file = \"./of-nobody\""), ["sources.juzibot.token", "./of-nobody", "cannot be read"]),
        (with("token_file = \"x\""), ["sources.juzibot.token", "token_file", "not both"]),
        (replaced("token", ""), ["sources.juzibot.token", "token_file", "missing"]),
        (replaced("token", "token = \"\""), ["sources.juzibot.token", FILE, "is empty"]),
        (replaced("token", "token_file = \"empty\""), ["sources.juzibot.token_file", FILE, "is empty"]),
        (replaced("token", "token_file = \"two-lines\""), ["sources.juzibot.token_file", FILE, "one line"]),
        (replaced("token", "token_file = \"no-text\""), ["sources.juzibot.token_file", FILE, "UTF-8"]),
        (with(TANMA), ["sources.second.app_key_file", FILE, "visible ASCII"]),
        (replaced("secret", "secret = \"CANARY-short\""), ["auth.issuers.login.secret", FILE, "32 bytes"]),
        (
            replaced("secret", "secret_file = \"./of-nobody\""),
            ["auth.issuers.login.secret_file", FILE, "./of-nobody cannot be read"],
        ),
        (replaced("algorithms", "algorithms = [\"RS256\"]"), ["auth.issuers.login.algorithms", FILE, "HS256"]),
        (replaced("algorithms", "algorithms = [\"none\"]"), ["auth.issuers.login.algorithms", FILE, "`HS256`"]),
        (with("[cursor]\nkey_file = \"./of-nobody\""), ["cursor.key_file", FILE, "./of-nobody cannot be read"]),
        (with("[cursor]\nkey_file = \"empty\""), ["cursor.key_file", FILE, "at least one"]),
        (with("[cursor]\nkey_file = \"two-lines\""), ["cursor.key_file", FILE, "32 bytes"]),
        // What does not fit together.
        (
            format!("source_order = [\"tanma\"]\n{BASE}"),
            ["source_order", FILE, "unknown source \"tanma\" (configured: juzibot)"],
        ),
        (replaced("base_url", "base_url = \"http://hub.example\""), ["sources.juzibot.base_url", FILE, "allow_http"]),
        (
            replaced("base_url", "base_url = \"https://user:CANARY@hub.example\""),
            ["sources.juzibot.base_url", FILE, "without user"],
        ),
        (
            with("[server]\npublic_url = \"https://user:CANARY@gateway.example\""),
            ["server.public_url", FILE, "without user"],
        ),
        (with("[server]\nmemory_limit = \"255MiB\""), ["server.memory_limit", FILE, "expected at least 256 MiB"]),
        (
            with("[server]\nmemory_limit = \"1GiB\"\n[cache]\nmax_bytes = \"600MiB\""),
            ["cache.max_bytes", FILE, CACHE_TOO_LARGE],
        ),
        (
            with("[server]\nmemory_limit = \"1GiB\"\n[idempotency]\nmax_bytes = \"400MiB\""),
            [
                "idempotency.max_bytes",
                FILE,
                "cache.max_bytes (256 MiB, default) + idempotency.max_bytes (400 MiB) exceed 614 MiB",
            ],
        ),
        (with("[auth]\nleeway = \"5m\""), ["auth.leeway", FILE, "at most 30s"]),
        (with("[callers.x]\nissuer = \"nobody\"\nsubject = \"s\""), ["callers.x.issuer", FILE, "auth.issuers"]),
        (
            with(&format!("[callers.x]\n{CALLER}[callers.y]\n{CALLER}")),
            ["callers.x.subject", FILE, "the same caller as callers.y"],
        ),
        (
            with(&format!("{LOGIN_AGAIN}[callers.x]\n{CALLER}[callers.y]\n{}", CALLER.replace("login", "again"))),
            ["callers.x.subject", FILE, "the same caller as callers.y"],
        ),
        (with("[log]\nlevel = \"a=b=c\""), ["log.level", FILE, "off, error, warn, info, debug or trace"]),
    ];
    for (text, said) in table {
        let output = check(folder.path(), &text, &[]).await;
        refused(&output, &said, &text);
    }
}

const CACHE_TOO_LARGE: &str = "cache.max_bytes (600 MiB) + idempotency.max_bytes (61 MiB, default) exceed 614 MiB, 60 % of \
    the memory limit (1 GiB); lower one of them or raise server.memory_limit";
const CALLER: &str = "issuer = \"login\"\nsubject = \"s\"\n";
/// The issuer of the base by another name, for its next secret.
const LOGIN_AGAIN: &str = r#"
[auth.issuers.again]
issuer = "https://login.test"
audience = ["scrm-gateway"]
algorithms = ["HS256"]
secret = "CANARY-next-secret-0123456789abcdef0123"
"#;

#[tokio::test]
async fn callers_that_differ_in_issuer_or_subject_are_two() {
    let folder = tempfile::tempdir().unwrap();
    let other_subject = CALLER.replace("\"s\"", "\"S\"");
    let other_issuer = CALLER.replace("login", "again");
    let issuer = LOGIN_AGAIN.replace("login.test", "again.test");
    let callers = format!("[callers.x]\n{CALLER}[callers.y]\n{other_subject}[callers.z]\n{other_issuer}");
    let output = check(folder.path(), &with(&format!("{issuer}{callers}")), &[]).await;
    assert!(output.status.success(), "{}", stderr(&output));
}

#[tokio::test]
async fn a_file_of_authorities_without_a_certificate_in_pem_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new([]).unwrap().self_signed(&key).unwrap();
    let text = with(&format!("[outbound]\nca_file = \"{}\"", file.display()));
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("another text", b"CANARY".to_vec()),
        ("a certificate in DER", certificate.der().to_vec()),
        ("a key", key.serialize_pem().into_bytes()),
    ] {
        std::fs::write(&file, bytes).unwrap();
        refused(&check(folder.path(), &text, &[]).await, &["outbound.ca_file", "certificate in PEM"], what);
    }
    std::fs::remove_file(&file).unwrap();
    refused(
        &check(folder.path(), &text, &[]).await,
        &[&format!("outbound.ca_file (from gateway.toml): {} cannot be read", file.display())],
        "no file",
    );
    std::fs::write(&file, certificate.pem()).unwrap();
    let output = check(folder.path(), &text, &[]).await;
    assert!(output.status.success(), "{}", stderr(&output));
}

pub fn refused(output: &std::process::Output, said: &[&str], of: &str) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(EX_CONFIG), "{of}: {message}");
    assert_eq!(stdout(output), "", "{of}");
    assert!(!message.contains("CANARY"), "{message}");
    for part in said {
        assert!(message.contains(part), "{part:?} is not in {message:?}, of {of}");
    }
}

#[tokio::test]
async fn a_bad_variable_is_told_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value, said) in [
        ("SERVER__REQUEST_TIMEOUT", "soon", ["server.request_timeout", "such as \"2s\""]),
        ("SERVER__REQUEST_TIMEOUT", "0s", ["server.request_timeout", "longer than 0"]),
        ("SERVER__REQUEST_TIMEOT", "2s", ["server.request_timeot", "unknown key"]),
        ("SOURCES__JUZIBOT__WRITE_TIMEOUT", "soon", ["sources.juzibot.write_timeout", "such as \"2s\""]),
        ("SOURCES__JUZIBOT__TOKN", "CANARY", ["sources.juzibot.tokn", "unknown key"]),
        ("SOURCES__JUZIBOT", "CANARY", ["sources.juzibot", "a section"]),
        ("SOURCES__JUZIBOT__TOKEN", "", ["sources.juzibot.token", "is empty"]),
        ("AUTH__ISSUERS__LOGIN__SECRET", "CANARY-short", ["auth.issuers.login.secret", "32 bytes"]),
        ("RATE_LIMIT__DEFAULT__REQUESTS", "CANARY", ["rate_limit.default.requests", "a whole number"]),
        ("LOG__FORMAT", "CANARY", ["log.format", "`json` or `text`"]),
    ] {
        let variable = format!("SCRM_GATEWAY__{name}");
        let output = check(folder.path(), BASE, &[(&variable, value)]).await;
        refused(&output, &[said[0], said[1], "environment"], &variable);
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["check", "serve", "token"] {
        let mut command = command(folder.path(), &[name, "--config", "of-nobody.toml"]);
        if name == "token" {
            command.args(["--sub", "x"]);
        }
        let output = run(command).await;
        refused(&output, &["of-nobody.toml"], name);
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_of_the_configuration_too() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys");
    let of = |file: &str, algorithms: &str| {
        format!(
            "[auth.issuers.x]\nissuer = \"i\"\naudience = [\"a\"]\nalgorithms = {algorithms}\npublic_key_file = \"{}\"\n\
             [sources.x]\nkind = \"juzibot\"\nbase_url = \"https://hub.test\"\ntoken = \"x\"\n",
            keys.join(file).display()
        )
    };
    for (file, algorithms) in [
        ("test-only-p256.public.pem", "[\"RS256\"]"),
        ("test-only-rsa.public.pem", "[\"ES256\"]"),
        ("test-only-rsa.public.pem", "[\"EdDSA\"]"),
        ("test-only-rsa.public.pem", "[\"RS256\", \"ES256\"]"),
        ("test-only-p256.public.pem", "[\"ES256\", \"ES384\"]"),
        ("README.md", "[\"RS256\"]"),
    ] {
        let output = check(folder.path(), &of(file, algorithms), &[]).await;
        refused(&output, &["auth.issuers.x.public_key_file"], file);
    }
    let output = check(folder.path(), &of("test-only-rsa.public.pem", "[\"HS256\"]"), &[]).await;
    refused(&output, &["auth.issuers.x.algorithms"], "a public key is no secret");
    let output = check(folder.path(), &of("test-only-rsa.public.pem", "[\"RS256\", \"PS512\"]"), &[]).await;
    assert!(output.status.success(), "{}", stderr(&output));
}
