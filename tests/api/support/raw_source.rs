//! A source below HTTP: it reads a request whole and then does what a well-behaved server never would.

use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What becomes of a connection whose request was read.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// These bytes, then the end of the connection.
    Answer(Vec<u8>),
    /// These bytes, and then the others again and again until the client leaves.
    Forever { begin: Vec<u8>, again: Vec<u8> },
    /// A real RST instead of an answer.
    Reset,
    /// The connection stays open and nothing comes.
    Silence,
    /// There is no connection: the port is closed. For all requests or for none.
    Refuse,
}

impl Behaviour {
    /// An HTTP answer with its true length; `head` is the status and further headers, a line each.
    pub fn http(head: &str, body: &str) -> Self {
        Self::http_of_length(body.len(), head, body)
    }

    /// An HTTP answer that promises a body of this length.
    pub fn http_of_length(length: usize, head: &str, body: &str) -> Self {
        Self::bare(&format!("{head}\nContent-Length: {length}"), body)
    }

    /// An HTTP answer of no declared length: it ends with the connection.
    pub fn bare(head: &str, body: &str) -> Self {
        let head = head.replace('\n', "\r\n");
        Self::Answer(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n{body}").into_bytes())
    }
}

/// Serves until it is dropped.
pub struct RawSource {
    pub url: String,
    task: Option<JoinHandle<()>>,
    /// Bound and not listening: nobody else takes the port, and who connects is refused.
    _closed_port: Option<TcpSocket>,
}

impl RawSource {
    /// Does the same to every request.
    pub async fn that(behaviour: Behaviour) -> Self {
        if matches!(behaviour, Behaviour::Refuse) {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            return Self {
                url: format!("http://{}", socket.local_addr().unwrap()),
                task: None,
                _closed_port: Some(socket),
            };
        }
        Self::deciding(move |_request| behaviour.clone()).await
    }

    /// Does to each request what is decided by its text.
    pub async fn deciding(decide: impl Fn(&str) -> Behaviour + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let decide = Arc::new(decide);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, decide.clone()));
            }
        });
        Self { url, task: Some(task), _closed_port: None }
    }
}

impl Drop for RawSource {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn serve(mut stream: TcpStream, decide: Arc<impl Fn(&str) -> Behaviour + Send + Sync>) {
    let Some(request) = read_request(&mut stream).await else {
        return;
    };
    match decide(&request) {
        Behaviour::Answer(bytes) => {
            // A client that has read enough leaves in the middle: that is its right.
            let _sent = stream.write_all(&bytes).await;
            let _closed = stream.shutdown().await;
        }
        Behaviour::Forever { begin, again } => {
            let mut sent = stream.write_all(&begin).await;
            while sent.is_ok() {
                sent = stream.write_all(&again).await;
            }
        }
        Behaviour::Reset => stream.set_zero_linger().unwrap(),
        Behaviour::Silence => std::future::pending().await,
        Behaviour::Refuse => unreachable!("a port that answers is not closed"),
    }
}

/// Head and body; `None` where the client left before its request was whole.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, length)| length.trim().parse().unwrap());
            if body.len() >= length {
                return Some(text.into_owned());
            }
        }
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}
