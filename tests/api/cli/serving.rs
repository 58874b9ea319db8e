//! `serve`, `token`, `demo` and `sandbox`: processes that answer until they are told to stop.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use reqwest::StatusCode;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use scrm_gateway::sandbox::{Endpoint, Source};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{Running, addresses, command, folder_for, http, run, sandbox, stderr, stdout};
use crate::support::{Token, asked};

async fn get(url: &str, bearer: &str) -> reqwest::Response {
    http().get(url).header("authorization", bearer).send().await.unwrap()
}

#[tokio::test]
async fn a_token_of_the_command_is_taken_by_the_service() {
    let sandbox = sandbox().await;
    let (folder, _) = folder_for(&sandbox);
    let mut gateway = Running::start(command(folder.path(), &["serve", "--config", "gateway.toml"]));
    let (url, admin) = addresses(&mut gateway).await;
    let token = async |arguments: &[&str]| {
        let command = command(folder.path(), &[&["token", "--config", "gateway.toml"], arguments].concat());
        let output = run(command).await;
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(stdout(&output).lines().count(), 1);
        format!("Bearer {}", stdout(&output).trim_end())
    };
    let list = format!("{url}/v1/customers?source=juzibot&limit=1");
    let reads = token(&["--sub", "me"]).await;
    assert_eq!(get(&list, &reads).await.status(), StatusCode::OK, "it reads by default");
    assert_eq!(get(&format!("{list}&include=raw"), &reads).await.status(), StatusCode::FORBIDDEN);
    let raw = token(&["--sub", "me", "--scope", "customers:read customers:raw"]).await;
    assert_eq!(get(&format!("{list}&include=raw"), &raw).await.status(), StatusCode::OK);
    let elsewhere = token(&["--sub", "me", "--source", "tanma"]).await;
    assert_eq!(get(&list, &elsewhere).await.status(), StatusCode::BAD_REQUEST);
    let named = token(&["--sub", "me", "--issuer", "login", "--ttl", "5m"]).await;
    assert_eq!(get(&list, &named).await.status(), StatusCode::OK);
    for probe in ["livez", "readyz"] {
        let reply = http().get(format!("{admin}/{probe}")).send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::OK, "{probe}");
    }
    gateway.terminate().await;
    assert_eq!(gateway.ended().await.0, Some(0));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_token_needs_an_issuer_with_a_secret() {
    let sandbox = sandbox().await;
    let (folder, config) = folder_for(&sandbox);
    let refused = async |arguments: &[&str], said: &str| {
        let command =
            command(folder.path(), &[&["token", "--config", "gateway.toml", "--sub", "x"], arguments].concat());
        let output = run(command).await;
        assert!(!output.status.success());
        assert_eq!(stdout(&output), "");
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    };
    refused(&["--issuer", "nobody"], "unknown issuer").await;
    refused(&["--ttl", "soon"], "ttl").await;
    let text = std::fs::read_to_string(&config).unwrap();
    let second = text.replace(
        "[sources.juzibot]",
        "[auth.issuers.second]\nissuer = \"https://second.test\"\naudience = [\"scrm-gateway\"]\n\
         algorithms = [\"HS256\"]\nsecret_file = \"jwt\"\n[sources.juzibot]",
    );
    std::fs::write(&config, second).unwrap();
    refused(&[], "--issuer").await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_secret_of_the_environment_stands_over_the_file_and_stays_a_text() {
    let sandbox = sandbox().await;
    let (folder, config) = folder_for(&sandbox);
    // As a number it would have lost its zeros.
    let number = "0012345678";
    sandbox.state().rotate_token(Source::Juzibot, number.to_owned().into());
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("token_file = \"token\"", "token = \"CANARY-of-the-file\"")).unwrap();
    let mut serve = command(folder.path(), &["serve", "--config", "gateway.toml"]);
    serve.env("SCRM_GATEWAY__SOURCES__JUZIBOT__TOKEN", number);
    let mut gateway = Running::start(serve);
    let (url, _) = addresses(&mut gateway).await;
    let reply = get(&format!("{url}/v1/customers?source=juzibot"), &Token::default().bearer()).await;
    assert_eq!(reply.status(), StatusCode::OK, "{}", reply.text().await.unwrap());
    gateway.terminate().await;
    assert_eq!(gateway.ended().await.0, Some(0));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_service_that_is_told_to_stop_finishes_what_it_has_begun() {
    let sandbox = sandbox().await;
    let (folder, _) = folder_for(&sandbox);
    let mut gateway = Running::start(command(folder.path(), &["serve", "--config", "gateway.toml"]));
    let (url, admin) = addresses(&mut gateway).await;
    let slow = Effect::Delay { min: Duration::from_millis(1_500), max: None, applied: false };
    sandbox.state().add_fault(Rule::new(Endpoint::JuzibotList, slow)).await.unwrap();
    let list = format!("{url}/v1/customers?source=juzibot&limit=1");
    let bearer = Token::default().bearer();
    let held = {
        let (list, bearer) = (list.clone(), bearer.clone());
        tokio::spawn(async move { get(&list, &bearer).await.status() })
    };
    asked(&sandbox, Endpoint::JuzibotList, 1).await;
    gateway.terminate().await;
    // While it drains, it says so on the admin port and takes nobody new.
    let turned_away = async {
        loop {
            let probe = http().get(format!("{admin}/readyz")).send().await;
            if probe.expect("the admin port outlives the public one").status() == StatusCode::SERVICE_UNAVAILABLE {
                break;
            }
        }
        while http().get(&list).send().await.is_ok() {}
    };
    tokio::time::timeout(super::PATIENCE, turned_away).await.unwrap();
    assert!(!held.is_finished(), "all this came to pass before the slow answer");
    assert_eq!(held.await.unwrap(), StatusCode::OK);
    let (code, lines) = gateway.ended().await;
    assert_eq!(code, Some(0));
    for line in lines {
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
        assert!(!line.contains("CANARY") && !line.contains("eyJ"), "{line}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn a_body_that_is_sent_by_half_does_not_hold_the_end_and_is_told_that_nothing_came_of_it() {
    let sandbox = sandbox().await;
    let (folder, _) = folder_for(&sandbox);
    let mut gateway = Running::start(command(folder.path(), &["serve", "--config", "gateway.toml"]));
    let (url, _) = addresses(&mut gateway).await;
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let bearer = Token::default().bearer();
    let head = format!(
        "POST /v1/remarks HTTP/1.1\r\nhost: {address}\r\nauthorization: {bearer}\r\ncontent-type: application/json\r\n\
         content-length: 400\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The body is asked for: the request is being answered.
    let mut word = vec![0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut word).await.unwrap();
    assert!(word.starts_with(b"HTTP/1.1 100"));
    stream.write_all(b"{\"items\": [").await.unwrap();
    gateway.terminate().await;
    let mut answer = String::new();
    // Without the cut it would go on for `drain_timeout`, which is longer than this.
    tokio::time::timeout(super::PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"code\":\"overloaded\""), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    assert_eq!(gateway.ended().await.0, Some(0));
    assert_eq!(sandbox.state().calls_to(Endpoint::JuzibotSetRemark), 0);
    sandbox.stop().await;
}

fn files_in(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

#[tokio::test]
async fn the_demo_prints_a_line_that_works_when_pasted_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Running::start(command(folder.path(), &["demo", "--port", "0", "--customers", "50"]));
    let docs = demo.line(|line| Some(line.strip_prefix("Swagger UI")?.trim().to_owned())).await;
    let curl = demo.line(|line| line.starts_with("curl ").then(|| line.to_owned())).await;
    let pasted = Command::new("sh")
        .args(["-c", &curl])
        .env("NO_PROXY", "*")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    // A machine without curl still tries what the line says.
    let body: Value = if pasted.status.code() == Some(127) {
        let mut quoted = curl.split('\'').skip(1).step_by(2);
        let (header, url) = (quoted.next().unwrap(), quoted.next().unwrap());
        let bearer = header.strip_prefix("Authorization: ").unwrap();
        get(url, bearer).await.json().await.unwrap()
    } else {
        assert!(pasted.status.success(), "{}", stderr(&pasted));
        serde_json::from_slice(&pasted.stdout).unwrap()
    };
    let sources: Vec<_> = body["meta"]["sources"].as_array().unwrap().iter().collect();
    assert_eq!(sources.len(), 2, "{body}");
    assert!(sources.iter().all(|source| source["status"] == "ok"), "{body}");
    assert_eq!(http().get(&docs).send().await.unwrap().status(), StatusCode::OK);
    assert!(files_in(folder.path()).is_empty());
    demo.terminate().await;
    assert_eq!(demo.ended().await.0, Some(0));
    assert!(files_in(folder.path()).is_empty(), "{:?}", files_in(folder.path()));
}

#[tokio::test]
async fn the_sandbox_serves_on_the_ports_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    // Three that are free now.
    let free: Vec<String> = (0..3)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect::<Vec<_>>()
        .iter()
        .map(|listener| listener.local_addr().unwrap().to_string())
        .collect();
    let arguments = [
        "sandbox",
        "--customers",
        "20",
        "--juzibot-listen",
        &free[0],
        "--tanma-listen",
        &free[1],
        "--control-listen",
        &free[2],
    ];
    let mut sandbox = command(folder.path(), &arguments);
    sandbox.env("SANDBOX_TOKEN", "CANARY-sandbox-token");
    let mut sandbox = Running::start(sandbox);
    for address in &free {
        sandbox.line(|line| line.ends_with(address).then_some(())).await;
    }
    let list = format!("http://{}/api/v1/customer/list?current=1&pageSize=5&token=", free[0]);
    let code = async |token: &str| {
        let reply = http().get(format!("{list}{token}")).send().await.unwrap();
        reply.json::<Value>().await.unwrap()["errcode"].clone()
    };
    assert_eq!(code("CANARY-sandbox-token").await, 0);
    assert_ne!(code("sandbox-token").await, 0);
    let details = format!("http://{}/api/v2/customer/qw-details", free[1]);
    let unsigned = http().post(details).json(&serde_json::json!({})).send().await.unwrap();
    assert_eq!(unsigned.json::<Value>().await.unwrap()["code"], 1002, "an unsigned call is refused");
    let featured = http().get(format!("http://{}/people/featured", free[2])).send().await.unwrap();
    assert!(featured.json::<Value>().await.unwrap()["external_user_id"].is_string());
    sandbox.terminate().await;
    assert_eq!(sandbox.ended().await.0, Some(0));
}

#[tokio::test]
async fn help_does_not_show_secrets_of_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let mut help = command(folder.path(), &["sandbox", "--help"]);
    help.env("SANDBOX_TOKEN", "CANARY-token").env("SANDBOX_APP_KEY", "CANARY-key");
    let output = run(help).await;
    assert!(output.status.success());
    assert!(stdout(&output).contains("SANDBOX_TOKEN"));
    assert!(!stdout(&output).contains("CANARY"), "{}", stdout(&output));
}
