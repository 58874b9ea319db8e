//! The memory budget: what requests in flight may hold, in total and of one caller.

mod answers;
mod bodies;
mod metrics;
mod sources;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{GatewayOptions, Token};

/// The smallest limit: 76 MiB are in flight, 19 MiB of them of one caller.
const LIMIT: &str = "memory_limit = \"256MiB\"";
/// A body that takes most of a caller's share: 2.5 times its bytes are reserved. What is left is for the answers to a batch.
const MOST_OF_A_SHARE: usize = 6_600_000;

fn options() -> GatewayOptions {
    GatewayOptions { server: LIMIT.to_owned(), ..GatewayOptions::default() }
}

/// The value of an `authorization` header.
fn bearer(subject: &str) -> String {
    Token::with(&json!({ "sub": subject })).bearer()
}

/// Begins a batch with a body of this length, which does not arrive. Its memory is reserved once the gateway asks for the body.
async fn stalled(url: &str, subject: &str, length: usize) -> TcpStream {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/remarks?source=juzibot HTTP/1.1\r\nhost: {address}\r\nauthorization: {}\r\n\
         content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n",
        bearer(subject)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 21];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer).await.unwrap();
    assert_eq!(answer, *b"HTTP/1.1 100 Continue");
    stream
}

/// Stalled bodies that hold nearly all memory, of one caller each.
async fn exhausted(url: &str) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for (number, length) in
        [MOST_OF_A_SHARE, MOST_OF_A_SHARE, MOST_OF_A_SHARE, MOST_OF_A_SHARE, 5_200_000].iter().enumerate()
    {
        all.push(stalled(url, &format!("filler-{number}"), *length).await);
    }
    all
}
