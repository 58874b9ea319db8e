//! Processes that run out of file descriptors, and connections that keep them.

use std::time::Duration;

use reqwest::StatusCode;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::Instant;

use super::configuration::BASE;
use super::{Running, addresses, command, folder_for, http, run, sandbox, stderr, stdout};

/// The program with these limits of open files.
fn limited(folder: &std::path::Path, (soft, hard): (u32, u32), arguments: &str) -> Command {
    let mut limited = command(folder, &[]);
    let program = limited.as_std().get_program().to_owned();
    limited = Command::new("sh");
    limited
        .arg("-c")
        .arg(format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" {arguments}"))
        .arg(program)
        .current_dir(folder)
        .env_clear()
        .kill_on_drop(true);
    limited
}

#[tokio::test]
async fn check_lowers_max_connections_to_the_limit_of_open_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gateway.toml"), BASE).unwrap();
    let output = run(limited(folder.path(), (256, 1_000), "check --config gateway.toml")).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let shown: toml::Table = stdout(&output).parse().unwrap();
    // 64 calls to the source, 100 connections of the admin port and 128 other files are reserved.
    assert_eq!(shown["server"]["max_connections"].as_integer(), Some(708));
    let warning = "warning: server.max_connections is lowered from 10000 to 708: the hard limit of open files is 1000";
    assert!(stderr(&output).contains(warning), "{}", stderr(&output));
}

#[tokio::test]
async fn soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let sandbox = sandbox().await;
    let (folder, _) = folder_for(&sandbox);
    let mut gateway = Running::start(limited(folder.path(), (64, 1_000), "serve --config gateway.toml"));
    addresses(&mut gateway).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.child.id().unwrap())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["1000", "1000"]);
    gateway.terminate().await;
    assert_eq!(gateway.ended().await.0, Some(0));
}

#[tokio::test]
async fn probes_are_answered_when_connections_use_up_all_files() {
    let sandbox = sandbox().await;
    let (folder, _) = folder_for(&sandbox);
    let mut gateway = Running::start(limited(folder.path(), (128, 128), "serve --config gateway.toml"));
    let (public, admin) = addresses(&mut gateway).await;
    let mut silent = Vec::new();
    for url in [&public, &admin] {
        for _ in 0..200 {
            silent.push(TcpStream::connect(url.trim_start_matches("http://")).await.unwrap());
        }
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        let since = Instant::now();
        assert_eq!(http().get(format!("{admin}{path}")).send().await.unwrap().status(), StatusCode::OK);
        assert!(since.elapsed() < Duration::from_secs(1), "{path}: {:?}", since.elapsed());
    }
    drop(silent);
    gateway.terminate().await;
    assert_eq!(gateway.ended().await.0, Some(0));
}

#[tokio::test]
async fn livez_is_answered_beside_200_silent_connections() {
    let sandbox = sandbox().await;
    let (folder, _) = folder_for(&sandbox);
    let mut gateway = Running::start(command(folder.path(), &["serve", "--config", "gateway.toml"]));
    let (_, admin) = addresses(&mut gateway).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(admin.trim_start_matches("http://")).await.unwrap());
    }
    for _ in 0..3 {
        let since = Instant::now();
        // A connection of its own each time, as a kubelet's.
        assert_eq!(http().get(format!("{admin}/livez")).send().await.unwrap().status(), StatusCode::OK);
        assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    }
    drop(silent);
    gateway.terminate().await;
    assert_eq!(gateway.ended().await.0, Some(0));
}
