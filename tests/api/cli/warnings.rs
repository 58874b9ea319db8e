//! A configuration that can be used: what `check` prints, and what it warns of.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};

use super::configuration::{BASE, check, with};
use super::{PATIENCE, Running, addresses, command, folder_for, sandbox, stderr, stdout};

#[tokio::test]
async fn check_ends_with_the_verdict_and_prints_a_usable_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let output = check(folder.path(), BASE, &[]).await;
    assert!(output.status.success());
    assert_eq!(stderr(&output).lines().last(), Some("configuration is valid"));
    let shown: toml::Table = stdout(&output).parse().unwrap();
    let source = shown["sources"]["juzibot"].as_table().unwrap();
    assert!(!source.contains_key("operations") && !source.contains_key("codes"), "all operations, built-in codes");
    assert_eq!(shown["source_order"].as_array().unwrap().len(), 1, "the order in force");
    // With secrets in place of what hides them it is a configuration itself, with the same meaning.
    let secret = "CANARY-secret-0123456789abcdef0123456789";
    let again = check(folder.path(), &stdout(&output).replace("[hidden]", secret), &[]).await;
    assert!(again.status.success(), "{}", stderr(&again));
    assert_eq!(stdout(&again), stdout(&output));
}

#[tokio::test]
async fn check_prints_the_memory_limit_its_origin_and_shares() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        check(folder.path(), &with("[server]\nmemory_limit = \"1GiB\"\n[cache]\nmax_bytes = \"512MiB\""), &[]).await;
    let line =
        "memory limit: 1 GiB (server.memory_limit): cache 512 MiB, idempotency 61 MiB, in flight 307 MiB, rest 144 MiB";
    assert!(stderr(&output).lines().any(|one| one == line), "{}", stderr(&output));
    let shown: toml::Table = stdout(&output).parse().unwrap();
    for (section, key, size) in [
        ("server", "memory_limit", Some("1 GiB")),
        ("cache", "max_bytes", Some("512 MiB")),
        // These follow from the limit, also where the output is used.
        ("idempotency", "max_bytes", None),
        ("idempotency", "max_bytes_per_caller", None),
    ] {
        assert_eq!(shown[section].get(key).and_then(toml::Value::as_str), size, "{section}.{key}");
    }
    // Without it, the limit is that of the control group or the default.
    let output = check(folder.path(), BASE, &[]).await;
    let origins = ["(the control group): ", "(the machine's memory): ", "(default): "];
    assert!(origins.iter().any(|origin| stderr(&output).contains(origin)), "{}", stderr(&output));
}

#[tokio::test]
async fn check_prints_sizes_without_rounding() {
    let folder = tempfile::tempdir().unwrap();
    let set = with("max_response = \"1580KiB\"\n[server]\nmemory_limit = \"1580MiB\"\nbody_limit = \"1000001\"");
    let output = check(folder.path(), &set, &[]).await;
    assert!(
        stderr(&output).contains("memory limit: 1580 MiB (server.memory_limit): cache 395 MiB"),
        "{}",
        stderr(&output)
    );
    let shown: toml::Table = stdout(&output).parse().unwrap();
    let server = &shown["server"];
    assert_eq!((server["memory_limit"].as_str(), server["body_limit"].as_str()), (Some("1580 MiB"), Some("1000001 B")));
    assert_eq!(shown["sources"]["juzibot"]["max_response"].as_str(), Some("1580 KiB"));
}

#[tokio::test]
async fn check_shows_the_allow_list_and_codes_that_are_set() {
    let folder = tempfile::tempdir().unwrap();
    let set = with("operations = [\"list_customers\"]\ncodes = { credentials = [40001] }");
    let output = check(folder.path(), &set, &[]).await;
    let shown: toml::Table = stdout(&output).parse().unwrap();
    let source = &shown["sources"]["juzibot"];
    assert_eq!(source["operations"], toml::Value::from(vec!["list_customers"]));
    assert_eq!(source["codes"].as_table().unwrap().keys().collect::<Vec<_>>(), ["credentials"]);
}

#[tokio::test]
async fn check_warns_of_settings_that_are_probably_not_meant() {
    let folder = tempfile::tempdir().unwrap();
    let more = |section: &str| with(section);
    let table = [
        (BASE.to_owned(), "cursor.key_file is not set"),
        (more("[server]\nlisten = \"0.0.0.0:8080\"\nadmin_listen = \"127.0.0.1:8080\""), "use the same port"),
        (more("[server]\ndrain_timeout = \"29s\""), "server.drain_timeout is shorter than server.batch_timeout"),
        (
            more("[server]\ndrain_timeout = \"5s\"\nbatch_timeout = \"1s\""),
            "server.drain_timeout is shorter than server.request_timeout",
        ),
        (more("[server]\nmerge_grace = \"10s\""), "server.merge_grace"),
        (more("[server]\ntrusted_proxies = [\"0.0.0.0/0\"]"), "server.trusted_proxies contains all addresses"),
        (more("[server]\ntrusted_proxies = [\"::/0\"]"), "server.trusted_proxies contains all addresses"),
        (more("[server]\nmax_streams = 2"), "server.max_streams_per_caller is above server.max_streams"),
        (more("[cursor]\nlifetime = \"0s\""), "cursor.lifetime is 0"),
        (more("[cache]\nfresh = \"1h\""), "cache.fresh, cache.stale and cache.stale_if_error"),
        (more("[cache]\nstale = \"25h\""), "cache.fresh, cache.stale and cache.stale_if_error"),
        (
            more("[idempotency]\nmax_bytes = \"1MiB\"\nmax_bytes_per_caller = \"2MiB\""),
            "idempotency.max_bytes_per_caller is above idempotency.max_bytes",
        ),
        (
            more("[server]\nmemory_limit = \"256MiB\""),
            "server.body_limit (8 MiB) is above 6.3 MiB, the largest body for which one caller's share has memory; larger bodies \
             get 413",
        ),
        (more("[server]\nmemory_limit = \"1000TiB\""), "server.memory_limit (1000 TiB) is above the "),
        (
            more("[idempotency]\nmax_bytes_per_caller = \"1MiB\""),
            "idempotency.max_bytes_per_caller (1 MiB) is below 1200 KiB",
        ),
        (more("[auth]\ndefault_sources = \"none\""), "auth.default_sources is \"none\""),
        (
            more("[callers.x]\nissuer = \"login\"\nsubject = \"crm\"\nsources = []"),
            "the caller with subject \"crm\" has an empty list of sources",
        ),
        (
            more("[log]\nlevel = \"scrm_gatway=debug\""),
            "no directive of log.level applies to scrm_gateway: its log is off",
        ),
        (more("[log]\nlevel = \"hyper=trace\""), "no directive of log.level applies to scrm_gateway: its log is off"),
        (more("timeout = \"11s\""), "sources.juzibot.timeout is longer than server.request_timeout"),
        (more("write_timeout = \"31s\""), "sources.juzibot.write_timeout is longer than server.batch_timeout"),
        (BASE.replace("https://hub", "http://hub") + "allow_http = true\n", "sources.juzibot.base_url is plain http"),
    ];
    let base = check(folder.path(), BASE, &[]).await;
    for (text, warning) in table {
        let output = check(folder.path(), &text, &[]).await;
        assert!(output.status.success(), "{text}: {}", stderr(&output));
        let found = stderr(&output).lines().find(|line| line.starts_with("warning: ") && line.contains(warning));
        assert!(found.is_some(), "{warning}: {}", stderr(&output));
        let is_of_base = stderr(&base).contains(found.unwrap());
        assert_eq!(is_of_base, text == BASE, "{warning}");
        assert_eq!(stderr(&output).lines().last(), Some("configuration is valid"));
    }
}

#[tokio::test]
async fn sensible_configuration_has_no_warning() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cursor"), "CANARY-cursor-key-0123456789abcdef01234\n").unwrap();
    let output = check(folder.path(), &with("[cursor]\nkey_file = \"cursor\""), &[]).await;
    let (memory, rest) = stderr(&output).split_once('\n').unwrap();
    assert!(memory.starts_with("memory limit: "), "{memory}");
    assert_eq!(rest, "configuration is valid\n");
}

#[tokio::test]
async fn serve_logs_the_warnings() {
    let sandbox = sandbox().await;
    let (folder, _) = folder_for(&sandbox);
    let mut gateway = Running::start(command(folder.path(), &["serve", "--config", "gateway.toml"]));
    gateway.line(|line| (line.contains("\"WARN\"") && line.contains("cursor.key_file is not set")).then_some(())).await;
    addresses(&mut gateway).await;
    gateway.terminate().await;
    assert_eq!(gateway.ended().await.0, Some(0));
    sandbox.stop().await;
}

#[tokio::test]
async fn serve_prints_that_its_log_is_off() {
    let sandbox = sandbox().await;
    let (folder, _) = folder_for(&sandbox);
    let mut serve = command(folder.path(), &["serve", "--config", "gateway.toml"]);
    serve.env("SCRM_GATEWAY__LOG__LEVEL", "scrm_gatway=debug").stdin(Stdio::null()).stderr(Stdio::piped());
    let mut gateway = serve.spawn().unwrap();
    let mut lines = BufReader::new(gateway.stderr.take().unwrap()).lines();
    let expected = "warning: no directive of log.level applies to scrm_gateway: its log is off";
    let printed = async { while lines.next_line().await.unwrap().expect("a warning") != expected {} };
    tokio::time::timeout(PATIENCE, printed).await.expect("it is printed");
    gateway.kill().await.unwrap();
    sandbox.stop().await;
}
