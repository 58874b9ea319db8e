//! SIGHUP: it reloads secret and key files, and ends no process that serves.

use std::io::Write;
use std::time::Duration;

use reqwest::StatusCode;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use scrm_gateway::sandbox::{Endpoint, Sandbox, Source};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{PATIENCE, Running, addresses, command, folder_for, http, sandbox};
use crate::support::{JUZIBOT_TOKEN, Token, asked};

const NEW_TOKEN: &str = "CANARY-new-token-0123";

/// A gateway that does not look at its files by itself.
fn serve(folder: &std::path::Path) -> Running {
    let mut serve = command(folder, &["serve", "--config", "gateway.toml"]);
    serve.env("SCRM_GATEWAY__SERVER__REREAD_FILES", "1h");
    Running::start(serve)
}

/// The next line of the log about a reload.
async fn reloaded(gateway: &mut Running) -> Value {
    let is_reload = |event: &Value| event["message"].as_str().is_some_and(|text| text.starts_with("reloaded"));
    gateway.line(|line| serde_json::from_str(line).ok().filter(is_reload)).await
}

async fn list(url: &str) -> StatusCode {
    let list = format!("{url}/v1/customers?source=juzibot&limit=1");
    http().get(list).header("authorization", Token::default().bearer()).send().await.unwrap().status()
}

/// A request whose source answers late.
async fn request_in_flight(sandbox: &Sandbox, url: &str) -> JoinHandle<StatusCode> {
    let slow = Effect::Delay { min: Duration::from_millis(1_500), max: None, applied: false };
    sandbox.state().set_faults(vec![Rule::new(Endpoint::JuzibotList, slow)]).await.unwrap();
    let calls = sandbox.state().calls_to(Endpoint::JuzibotList);
    let url = url.to_owned();
    let held = tokio::spawn(async move { list(&url).await });
    asked(sandbox, Endpoint::JuzibotList, calls + 1).await;
    held
}

#[tokio::test]
async fn hangup_reloads_secrets_and_interrupts_no_request() {
    let sandbox = sandbox().await;
    let (folder, _) = folder_for(&sandbox);
    let mut gateway = serve(folder.path());
    let (url, _) = addresses(&mut gateway).await;
    let held = request_in_flight(&sandbox, &url).await;
    std::fs::write(folder.path().join("token"), NEW_TOKEN).unwrap();
    gateway.signal("HUP").await;
    let event = reloaded(&mut gateway).await;
    assert!(!held.is_finished(), "the reload came before the slow answer");
    // The files of both sources and of the issuer.
    assert_eq!(
        (&event["level"], &event["files"], &event["changed"]),
        (&"INFO".into(), &3.into(), &1.into()),
        "{event}"
    );
    assert_eq!(held.await.unwrap(), StatusCode::OK);
    sandbox.state().set_faults(Vec::new()).await.unwrap();
    sandbox.state().rotate_token(Source::Juzibot, NEW_TOKEN.to_owned().into());
    let calls = sandbox.state().calls_to(Endpoint::JuzibotList);
    assert_eq!(list(&url).await, StatusCode::OK);
    assert_eq!(sandbox.state().calls_to(Endpoint::JuzibotList), calls + 1, "the new token was used at once");

    std::fs::write(folder.path().join("token"), "").unwrap();
    for _ in 0..2 {
        gateway.signal("HUP").await;
        let event = reloaded(&mut gateway).await;
        let expected = (&"WARN".into(), &0.into(), &1.into());
        assert_eq!((&event["level"], &event["changed"], &event["unusable"]), expected, "{event}");
    }
    assert_eq!(list(&url).await, StatusCode::OK, "the former token is still in use");
    gateway.terminate().await;
    assert_eq!(gateway.ended().await.0, Some(0));
    sandbox.stop().await;
}

#[tokio::test]
async fn hangup_does_not_end_a_drain() {
    let sandbox = sandbox().await;
    let (folder, _) = folder_for(&sandbox);
    let mut gateway = serve(folder.path());
    let (url, _) = addresses(&mut gateway).await;
    let held = request_in_flight(&sandbox, &url).await;
    gateway.terminate().await;
    gateway.line(|line| line.contains("\"stopping\"").then_some(())).await;
    gateway.signal("HUP").await;
    reloaded(&mut gateway).await;
    assert!(!held.is_finished());
    assert_eq!(held.await.unwrap(), StatusCode::OK);
    assert_eq!(gateway.ended().await.0, Some(0));
    sandbox.stop().await;
}

#[tokio::test]
async fn hangup_does_not_end_a_process_that_starts() {
    let sandbox = sandbox().await;
    let (folder, _) = folder_for(&sandbox);
    let token = folder.path().join("token");
    std::fs::remove_file(&token).unwrap();
    let made = tokio::process::Command::new("mkfifo").arg(&token).status().await.unwrap();
    assert!(made.success());
    let mut gateway = serve(folder.path());
    // Opening a pipe waits for its reader: the gateway is reading its configuration then.
    let opened = tokio::task::spawn_blocking(move || std::fs::OpenOptions::new().write(true).open(token));
    let mut pipe = tokio::time::timeout(PATIENCE, opened).await.expect("it is read").unwrap().unwrap();
    gateway.signal("HUP").await;
    pipe.write_all(JUZIBOT_TOKEN.as_bytes()).unwrap();
    drop(pipe);
    let (url, _) = addresses(&mut gateway).await;
    assert_eq!(list(&url).await, StatusCode::OK);
    // The signal is acted upon after the start. The pipe has no writer any more, so it is waited for in vain.
    let event = reloaded(&mut gateway).await;
    assert_eq!((&event["level"], &event["pending"]), (&"WARN".into(), &1.into()), "{event}");
    assert_eq!(list(&url).await, StatusCode::OK);
    gateway.terminate().await;
    assert_eq!(gateway.ended().await.0, Some(0));
    sandbox.stop().await;
}

#[tokio::test]
async fn demo_under_nohup_survives_a_hangup() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = tokio::process::Command::new("sh");
    demo.args(["-c", "trap '' HUP; exec \"$0\" demo --port 0 --customers 10", env!("CARGO_BIN_EXE_scrm-gateway")])
        .current_dir(folder.path())
        .env_clear()
        .kill_on_drop(true);
    let mut demo = Running::start(demo);
    let docs = demo.line(|line| Some(line.strip_prefix("Swagger UI")?.trim().to_owned())).await;
    demo.signal("HUP").await;
    assert_eq!(http().get(&docs).send().await.unwrap().status(), StatusCode::OK);
    demo.terminate().await;
    assert_eq!(demo.ended().await.0, Some(0));
}
