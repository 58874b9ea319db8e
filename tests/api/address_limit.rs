//! The limit by client address: what counts, and what a refusal costs the connection.

use crate::support::{Gateway, GatewayOptions, WireReply, WireRequest, exchange};

/// A gateway that takes three requests of an address.
async fn limited(server: &str) -> Gateway {
    Gateway::with(GatewayOptions {
        server: server.to_owned(),
        rate_limit: "per_address = { requests = 3, window = \"3h\", burst = 3 }".to_owned(),
        ..GatewayOptions::default()
    })
    .await
}

/// Sends requests over one connection, without waiting for the answers.
async fn pipelined(gateway: &Gateway, heads: &[String]) -> Vec<WireReply> {
    let address = gateway.url.trim_start_matches("http://").parse().unwrap();
    WireReply::all(exchange(address, heads.concat().as_bytes()).await)
}

#[tokio::test]
async fn refusal_by_address_closes_the_connection() {
    let gateway = limited("").await;
    let heads = vec!["GET /v1/errors HTTP/1.1\r\nhost: gateway.test\r\n\r\n".to_owned(); 1_000];
    let replies = pipelined(&gateway, &heads).await;
    assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [200, 200, 200, 429]);
    assert!(replies[3].head.contains("\r\nconnection: close"), "{}", replies[3].head);
    gateway.stop().await;
}

#[tokio::test]
async fn refusal_by_address_keeps_the_connection_of_a_proxy() {
    let gateway = limited("trusted_proxies = [\"127.0.0.0/8\"]").await;
    let head = |client: &str, end: &str| {
        format!("GET /v1/errors HTTP/1.1\r\nhost: gateway.test\r\nx-forwarded-for: {client}\r\n{end}\r\n")
    };
    let mut heads = vec![head("198.51.100.7", ""); 5];
    heads.push(head("198.51.100.8", ""));
    // What follows an ambiguous message is not read.
    heads.push(head("198.51.100.7", "host: other.test\r\n"));
    heads.push(head("198.51.100.8", ""));
    let replies = pipelined(&gateway, &heads).await;
    assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [200, 200, 200, 429, 429, 200, 429]);
    gateway.stop().await;
}

#[tokio::test]
async fn ambiguous_message_counts_against_its_address() {
    let gateway = limited("").await;
    let request = WireRequest::get("/v1/me").with("host", "elsewhere.test");
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(request.send(&gateway).await.unwrap().status);
    }
    assert_eq!(statuses, [400, 400, 400, 429, 429]);
    gateway.stop().await;
}
