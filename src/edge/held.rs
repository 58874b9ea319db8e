//! A response body that holds a resource until it has been written.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};

/// A body that holds something until it is written but for the last of what the connection buffers, or given up.
pub(crate) struct Held<T> {
    body: Body,
    begun: bool,
    _holds: T,
}

impl<T> Held<T> {
    pub(crate) fn new(body: Body, holds: T) -> Self {
        Self { body, begun: false, _holds: holds }
    }
}

impl<T: Unpin> hyper::body::Body for Held<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.begun = true;
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        // One that says that this was the last frame is dropped with that frame unwritten. Asked once more, it is asked when there
        // is room in the buffer again.
        !self.begun && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::time::Duration;

    use axum::body::HttpBody;
    use axum::response::Response;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LARGE: usize = 1 << 20;

    #[tokio::test(start_paused = true)]
    async fn a_large_answer_is_held_until_it_is_read() {
        let (mut client, server) = tokio::io::duplex(1024);
        let held = Arc::new(());
        let holds = held.clone();
        let service = service_fn(move |_| {
            let body = Held::new(Body::from(vec![b'x'; LARGE]), holds.clone());
            async move { Ok::<_, Infallible>(Response::new(body)) }
        });
        let builder = http1::Builder::new().max_buf_size(64 * 1024).to_owned();
        let connection = tokio::spawn(builder.serve_connection(TokioIo::new(server), service));
        client.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
        // The clock moves on when nothing else does.
        let settled = || tokio::time::sleep(Duration::from_secs(1));
        settled().await;
        assert_eq!(Arc::strong_count(&held), 3, "this one, the service's and the answer's");
        let mut answer = vec![0; LARGE / 2];
        client.read_exact(&mut answer).await.unwrap();
        settled().await;
        assert_eq!(Arc::strong_count(&held), 3);
        client.read_to_end(&mut answer).await.unwrap();
        assert!(answer.len() > LARGE, "{}", answer.len());
        connection.await.unwrap().unwrap();
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn no_body_is_none_from_the_start() {
        assert!(Held::new(Body::empty(), ()).is_end_stream());
        assert!(!Held::new(Body::from("x"), ()).is_end_stream());
    }
}
