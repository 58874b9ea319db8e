//! Every command, with secrets in files, variables and wrong places.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncReadExt;

use super::Scanner;
use super::seeds::{self, APP_KEY, CURSOR_KEY, JWT_SECRET, PROXY_PASSWORD, TOKEN};
use super::settings;
use crate::cli::{Running, command, http, run, stderr, stdout};

/// The commands that are run here.
const COVERED: [&str; 6] = ["serve", "demo", "sandbox", "token", "openapi", "check"];

/// Variables that hold secrets, whichever command reads them.
const VARIABLES: [(&str, &str); 7] = [
    ("SCRM_GATEWAY__SOURCES__JUZIBOT__TOKEN", TOKEN),
    ("SCRM_GATEWAY__SOURCES__TANMA__APP_KEY", APP_KEY),
    ("SCRM_GATEWAY__AUTH__ISSUERS__LOGIN__SECRET", JWT_SECRET),
    ("SCRM_GATEWAY__LOG__LEVEL", "trace"),
    ("SANDBOX_TOKEN", TOKEN),
    ("SANDBOX_APP_KEY", APP_KEY),
    ("RUST_LOG", "trace"),
];

fn with_variables(folder: &Path, arguments: &[&str]) -> tokio::process::Command {
    let mut command = command(folder, arguments);
    command.envs(VARIABLES);
    command
}

async fn clean(scanner: &Scanner, folder: &Path, arguments: &[&str]) -> std::process::Output {
    let output = run(with_variables(folder, arguments)).await;
    let what = arguments.join(" ");
    scanner.check(&what, &output.stdout);
    scanner.check(&what, &output.stderr);
    output
}

#[tokio::test]
async fn no_command_says_a_secret() {
    let scanner = seeds::for_commands();
    let folder = tempfile::tempdir().unwrap();
    settings::full(folder.path());
    let folder = folder.path();
    let help = clean(&scanner, folder, &["--help"]).await;
    let listed = stdout(&help).split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let listed: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for name in listed.iter().filter(|name| **name != "help" && name.chars().all(|c| c.is_ascii_lowercase())) {
        assert!(COVERED.contains(name) || !stdout(&help).contains(&format!("\n  {name} ")), "{name} is left out");
        clean(&scanner, folder, &[name, "--help"]).await;
    }
    let config = ["--config", "gateway.toml"];
    let check = clean(&scanner, folder, &[&["check"], &config[..]].concat()).await;
    assert!(check.status.success(), "{}", stderr(&check));
    assert!(stdout(&check).contains("[hidden]@127.0.0.1"), "{}", stdout(&check));
    assert!(clean(&scanner, folder, &["openapi"]).await.status.success());
    let token = clean(&scanner, folder, &[&["token", "--sub", "x"], &config[..]].concat()).await;
    let signed = stdout(&token).trim();
    jsonwebtoken::decode_header(signed).unwrap_or_else(|error| panic!("{error}: {signed}"));
    for wrong in [
        &["token", "--sub", "x", "--issuer", "nobody", "--config", "gateway.toml"][..],
        &["token", "--config", "gateway.toml"],
        &["check", "--config", "of-nobody.toml"],
        &["check", "--nonsense"],
        &["serve", "--config", "of-nobody.toml"],
        &["sandbox", "--juzibot-listen", "nowhere"],
        &["demo", "--port", "many"],
    ] {
        assert!(!clean(&scanner, folder, wrong).await.status.success(), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_service_that_cannot_begin_says_no_secret() {
    let scanner = seeds::for_commands();
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (_, file) = settings::full(folder.path());
    let mut serve = with_variables(folder.path(), &["serve", "--config", file.to_str().unwrap()]);
    serve.env("SCRM_GATEWAY__SERVER__LISTEN", taken.local_addr().unwrap().to_string());
    serve.env("SCRM_GATEWAY__SERVER__ADMIN_LISTEN", "127.0.0.1:0");
    let output = run(serve).await;
    assert!(!output.status.success());
    scanner.check("a port in use", [&output.stdout[..], &output.stderr].concat());
}

#[tokio::test]
async fn the_simulated_sources_say_no_secret_of_theirs() {
    let scanner = seeds::for_commands();
    let folder = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0";
    let arguments = ["sandbox", "--juzibot-listen", any, "--tanma-listen", any, "--control-listen", any];
    let mut sandbox = with_variables(folder.path(), &arguments);
    sandbox.stderr(Stdio::piped());
    let mut sandbox = Running::start(sandbox);
    let mut errors = sandbox.child.stderr.take().unwrap();
    let control = sandbox.line(|line| line.split_once("control endpoint").map(|(_, url)| url.trim().to_owned())).await;
    for path in ["", "/faults", "/calls", "/nowhere"] {
        if let Ok(reply) = http().get(format!("{control}{path}")).send().await {
            scanner.check("the control endpoint", reply.text().await.unwrap());
        }
    }
    sandbox.terminate().await;
    let (code, lines) = sandbox.ended().await;
    assert_eq!(code, Some(0));
    scanner.check("sandbox", lines.join("\n"));
    let mut said = String::new();
    errors.read_to_string(&mut said).await.unwrap();
    scanner.check("sandbox", said);
}

/// Its secrets are made at the start, so that nobody can know them; the token that it prints is the one it means to.
#[tokio::test]
async fn the_demo_tells_its_token_and_logs_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = with_variables(folder.path(), &["demo", "--port", "0", "--log", "trace"]);
    demo.stderr(Stdio::piped());
    let mut demo = Running::start(demo);
    let mut errors = demo.child.stderr.take().unwrap();
    let token = demo.line(|line| line.strip_prefix("Token").map(|token| token.trim().to_owned())).await;
    let url = demo.line(|line| Some(line.split('\'').nth(3)?.to_owned())).await;
    let reply = http().get(url).header("authorization", format!("Bearer {token}")).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    let customer: Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
    demo.terminate().await;
    demo.ended().await;
    let mut said = String::new();
    errors.read_to_string(&mut said).await.unwrap();
    assert!(said.contains("request completed"), "{said}");
    let scanner = Scanner::new(&[
        super::scan::Canary::new("the token", token.split_once('.').unwrap().1),
        super::scan::Canary::new("a name", customer["data"]["name"].as_str().unwrap()),
    ]);
    scanner.check("the demo's log", said);
}

#[tokio::test]
async fn nothing_of_a_bad_configuration_is_told_by_any_command() {
    let scanner = seeds::for_commands();
    let folder = tempfile::tempdir().unwrap();
    let (good, _) = settings::full(folder.path());
    let bad = [
        good.replace("[cursor]", &format!("[cursor]\nlifetime = '{TOKEN}'")),
        good.replace("proxy = ", &format!("proxy = '{PROXY_PASSWORD}' # ")),
        good.replace("kind = \"juzibot\"", &format!("kind = '{APP_KEY}'")),
        good.replace("token = ", "token = = "),
        good.replace(&format!("'{TOKEN}'"), TOKEN),
        good.replace(&format!("'{TOKEN}'"), &format!("\"{TOKEN}")),
        good.replace(&format!("'{JWT_SECRET}'"), &format!("[ '{JWT_SECRET}' ]")),
        good.replace(&format!("'{JWT_SECRET}'"), &format!("'{}'", &JWT_SECRET[..20])),
        good.replace("app_id = \"an_app\"", &format!("app_id = '{APP_KEY} {CURSOR_KEY}'")),
        good.replace("[sources.tanma]", "[sources.tanma"),
    ];
    for text in bad {
        assert_ne!(text, good);
        std::fs::write(folder.path().join("bad.toml"), &text).unwrap();
        for name in ["check", "serve", "token"] {
            let mut arguments = vec![name, "--config", "bad.toml"];
            if name == "token" {
                arguments.extend(["--sub", "x"]);
            }
            let output = run(command(folder.path(), &arguments)).await;
            assert_eq!(output.status.code(), Some(78), "{name}: {text}");
            scanner.check(&format!("{name} of {text}"), [&output.stdout[..], &output.stderr].concat());
        }
    }
}
