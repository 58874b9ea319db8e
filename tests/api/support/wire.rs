//! Requests written byte by byte: what a well-behaved client would not send.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{Gateway, Token};

/// Longer than the service takes for anything that these tests ask.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request as bytes; the rest of its head is a usual one.
#[derive(Debug, Clone)]
pub struct WireRequest {
    pub method: &'static str,
    /// What stands between method and version.
    pub target: Vec<u8>,
    pub headers: Vec<(&'static str, Vec<u8>)>,
    pub body: Option<Vec<u8>>,
    /// In place of the usual token.
    pub authorization: Option<String>,
}

/// An answer; nothing where the connection was closed without one.
#[derive(Debug)]
pub struct WireReply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl WireRequest {
    pub fn get(target: impl Into<Vec<u8>>) -> Self {
        Self { method: "GET", target: target.into(), headers: Vec::new(), body: None, authorization: None }
    }

    pub fn post(target: impl Into<Vec<u8>>, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type", b"application/json".to_vec())];
        Self { method: "POST", target: target.into(), headers, body: Some(body.into()), authorization: None }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn bytes(&self, host: &str) -> Vec<u8> {
        let token = self.authorization.clone().unwrap_or_else(|| Token::default().bearer());
        let mut bytes = [self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\n"].concat();
        let mut add = |name: &str, value: &[u8]| {
            bytes.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        };
        add("host", host.as_bytes());
        add("connection", b"close");
        add("authorization", token.as_bytes());
        self.headers.iter().for_each(|(name, value)| add(name, value));
        if let Some(body) = &self.body {
            add("content-length", body.len().to_string().as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }

    /// What the gateway answers; `None` where it closes the connection and says nothing. It never just waits.
    pub async fn send(&self, gateway: &Gateway) -> Option<WireReply> {
        self.send_to(gateway.url.trim_start_matches("http://").parse().unwrap()).await
    }

    /// The same with bytes after the head, in place of a body.
    pub async fn send_with(&self, gateway: &Gateway, bytes: &[u8]) -> Option<WireReply> {
        let address: SocketAddr = gateway.url.trim_start_matches("http://").parse().unwrap();
        let answer = exchange(address, &[&self.bytes(&address.to_string()), bytes].concat()).await;
        (!answer.is_empty()).then(|| WireReply::parse(answer))
    }

    /// Sends the request to the gateway at this URL, and reads only the first byte of the answer, over a receive buffer that holds
    /// little of the rest.
    pub async fn send_unread(&self, url: &str) -> TcpStream {
        let address: SocketAddr = url.trim_start_matches("http://").parse().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 * 1024).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        stream.write_all(&self.bytes(&address.to_string())).await.unwrap();
        stream.read_exact(&mut [0; 1]).await.unwrap();
        stream
    }

    /// The same of whatever listens there.
    pub async fn send_to(&self, address: SocketAddr) -> Option<WireReply> {
        let answer = exchange(address, &self.bytes(&address.to_string())).await;
        (!answer.is_empty()).then(|| WireReply::parse(answer))
    }
}

/// Sends a GET and reads only the first byte of its answer, over a receive buffer that holds little of the rest.
pub async fn unread_answer(gateway: &Gateway, target: &str, authorization: &str) -> TcpStream {
    let request = WireRequest { authorization: Some(authorization.to_owned()), ..WireRequest::get(target) };
    request.send_unread(&gateway.url).await
}

/// Sends bytes as they are; gives all that comes back until the connection is closed.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let exchange = async {
        let (mut from, mut to) = TcpStream::connect(address).await.unwrap().into_split();
        let write = async {
            // It may refuse before it has read all; then it reads no more.
            let _refused = to.write_all(bytes).await;
            to
        };
        let read = async {
            let mut answer = Vec::new();
            // A reset after the answer takes nothing from what was read.
            while let Ok(1..) = from.read_buf(&mut answer).await {}
            answer
        };
        let (_open_until_read, answer) = tokio::join!(write, read);
        answer
    };
    let answer = tokio::time::timeout(PATIENCE, exchange).await;
    answer.unwrap_or_else(|_| panic!("no end to: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)])))
}

impl WireReply {
    /// The answers of one connection, one after the other.
    pub fn all(answers: Vec<u8>) -> Vec<Self> {
        let mut rest = String::from_utf8(answers).unwrap();
        let mut all = Vec::new();
        while !rest.is_empty() {
            let mut reply = Self::parse(rest.into_bytes());
            let length = reply.head.split("content-length: ").nth(1).and_then(|text| text.lines().next()?.parse().ok());
            rest = reply.body.split_off(length.unwrap_or_default());
            all.push(reply);
        }
        all
    }

    fn parse(answer: Vec<u8>) -> Self {
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("cut short: {answer}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    /// The body of a problem.
    #[track_caller]
    pub fn problem(&self) -> Value {
        assert!(self.head.contains("\r\ncontent-type: application/problem+json"), "{}\n{}", self.head, self.body);
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}
