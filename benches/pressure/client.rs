//! One HTTP/1.1 connection of a client that has a loopback address of its own.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HeaderValue;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// The address of whoever causes the load.
pub const LOAD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// The address of the other callers.
pub const PROBE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// The first bytes of an answer that are retained; the rest is counted.
const RETAINED: usize = 256 * 1024;

pub type Body = BoxBody<Bytes, Infallible>;

/// An answer.
#[derive(Debug, Default)]
pub struct Reply {
    pub status: u16,
    /// The first bytes of the body.
    pub body: Vec<u8>,
    /// The length of the whole body.
    pub length: u64,
}

impl Reply {
    /// Parses the first bytes of an answer, which hold the whole of a problem; `None` if there is no status.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let status = text.split(' ').nth(1)?.parse().ok()?;
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.as_bytes().to_vec()).unwrap_or_default();
        Some(Self { status, length: body.len() as u64, body })
    }

    /// The code of a problem.
    pub fn code(&self) -> Option<String> {
        Some(self.json()["code"].as_str()?.to_owned())
    }

    /// The body, or `null` if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A connection that is kept alive from request to request.
pub struct Connection {
    sender: SendRequest<Body>,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    /// Whether the gateway has closed it.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub async fn open(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let stream = connect(from, to).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let driver = tokio::spawn(async move {
            // The sender gets the error.
            let _ended = connection.await;
        });
        Ok(Self { sender, _driver: AbortOnDropHandle::new(driver) })
    }

    pub async fn send(&mut self, request: Request<Body>) -> Result<Reply, hyper::Error> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let mut reply = Reply { status: response.status().as_u16(), ..Reply::default() };
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            let room = RETAINED.saturating_sub(reply.body.len()).min(data.len());
            reply.body.extend_from_slice(&data[..room]);
            reply.length += data.len() as u64;
        }
        Ok(reply)
    }
}

pub async fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    connect_socket(TcpSocket::new_v4()?, from, to).await
}

/// Opens a connection with a receive buffer of 16 KiB and the segments of Ethernet: what its client does not read stays with the
/// gateway. The large segments of loopback would let the system buffer some megabytes.
pub async fn connect_narrow(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(16 * 1024)?;
    SockRef::from(&socket).set_tcp_mss(1_460)?;
    connect_socket(socket, from, to).await
}

async fn connect_socket(socket: TcpSocket, from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    socket.bind((from, 0).into())?;
    tokio::time::timeout(CONNECT, socket.connect(to)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

pub fn full(body: Bytes) -> Body {
    Full::new(body).boxed()
}

/// Returns a GET, with the `Authorization` header if there is one.
pub fn get(path: &str, authorization: Option<&str>) -> Request<Body> {
    let mut request = Request::get(path).header("host", "gateway");
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    request.body(full(Bytes::new())).unwrap()
}

/// Adds `Accept-Encoding: gzip` to every second request.
pub fn with_gzip(mut request: Request<Body>, number: usize) -> Request<Body> {
    if number % 2 == 1 {
        request.headers_mut().insert("accept-encoding", HeaderValue::from_static("gzip"));
    }
    request
}

/// Returns a POST of JSON by the caller that causes the load.
pub fn post(path: &str, authorization: &str, body: Body) -> Request<Body> {
    let request = Request::post(path).header("host", "gateway").header("authorization", authorization);
    request.header("content-type", "application/json").body(body).unwrap()
}
