//! The way out is the configuration's, never the environment's.

use std::io::ErrorKind;
use std::net::TcpListener;

use reqwest::StatusCode;

use super::{Running, addresses, command, folder_for, http, sandbox};
use crate::support::Token;

#[tokio::test]
async fn proxies_of_the_environment_are_not_asked() {
    let sandbox = sandbox().await;
    let (folder, _) = folder_for(&sandbox);
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let mut serve = command(folder.path(), &["serve", "--config", "gateway.toml"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        serve.env(name, &url);
    }
    let mut gateway = Running::start(serve);
    let (public, _) = addresses(&mut gateway).await;
    for list in ["source=juzibot", "source=tanma&staff_id=rocky"] {
        let request = http().get(format!("{public}/v1/customers?{list}"));
        let reply = request.header("authorization", Token::default().bearer()).send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::OK, "{list}");
    }
    assert_eq!(proxy.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "nobody has come by");
    gateway.terminate().await;
    assert_eq!(gateway.ended().await.0, Some(0));
    sandbox.stop().await;
}
