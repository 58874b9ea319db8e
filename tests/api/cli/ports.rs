//! Ports that are in use.

use std::net::TcpListener;

use reqwest::StatusCode;

use super::{Running, command, folder_for, http, run, sandbox, stderr, stdout};

#[tokio::test]
async fn a_port_in_use_is_no_fault_of_the_configuration() {
    let sandbox = sandbox().await;
    let (folder, _) = folder_for(&sandbox);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut serve = command(folder.path(), &["serve", "--config", "gateway.toml"]);
    serve.env("SCRM_GATEWAY__SERVER__LISTEN", &address);
    let output = run(serve).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
    sandbox.stop().await;
}

#[tokio::test]
async fn demo_fails_when_its_explicit_port_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let arguments = ["demo", "--customers", "10", "--port", &address.port().to_string()];
    let output = run(command(folder.path(), &arguments)).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&address.to_string()), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}

#[tokio::test]
async fn demo_moves_from_its_default_port_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // Somebody else may have it already: it is taken in either case.
    let _taken = TcpListener::bind("127.0.0.1:8080");
    let mut demo = Running::start(command(folder.path(), &["demo", "--customers", "10"]));
    let moved =
        demo.line(|line| Some(line.strip_prefix("Port 8080 is in use: the demo listens on port ")?.to_owned())).await;
    let port = moved.strip_suffix(" instead.").unwrap();
    let docs = demo.line(|line| Some(line.strip_prefix("Swagger UI")?.trim().to_owned())).await;
    assert_eq!(docs, format!("http://127.0.0.1:{port}/docs/"));
    assert_eq!(http().get(&docs).send().await.unwrap().status(), StatusCode::OK);
    demo.terminate().await;
    assert_eq!(demo.ended().await.0, Some(0));
}

#[tokio::test]
async fn sandbox_names_the_port_that_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (option, name) in [
        ("--juzibot-listen", "simulated JuziBot"),
        ("--tanma-listen", "simulated Tanma"),
        ("--control-listen", "control endpoint"),
    ] {
        let mut arguments = vec!["sandbox"];
        for other in ["--juzibot-listen", "--tanma-listen", "--control-listen"] {
            arguments.extend([other, if other == option { &address } else { "127.0.0.1:0" }]);
        }
        let output = run(command(folder.path(), &arguments)).await;
        assert_eq!(output.status.code(), Some(1), "{option}");
        let expected = format!("{name}: cannot listen on {address}");
        assert!(stderr(&output).contains(&expected), "{option}: {}", stderr(&output));
    }
}
