//! JSON bodies: read whole, then parsed into what the route expects.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;

use crate::model::{Problem, ProblemCode};
use crate::routes::idempotency::fingerprint;
use crate::service::RequestContext;
use crate::store::idempotency::Fingerprint;

use super::body_memory::BodyMemory;
use super::pace::{BadTransfer, BodyPace, PacedBody};

/// The most bytes of a body; none where nobody said.
#[derive(Debug, Clone, Copy, Default)]
pub struct BodyLimit(pub usize);

/// Cancelled when the process takes no more requests: a body that is still on its way then is waited for a moment.
#[derive(Debug, Clone)]
pub struct Stopping(pub CancellationToken);

/// That moment: what has not arrived is not begun, so nothing is lost, and the drain is not held up by who sends half.
const LAST_BODY: Duration = Duration::from_secs(2);

async fn stopped(stopping: Option<Stopping>) {
    match stopping {
        Some(Stopping(stopping)) => stopping.cancelled().await,
        None => std::future::pending().await,
    }
    tokio::time::sleep(LAST_BODY).await;
}

/// A type that is parsed from a JSON body.
pub trait FromJson: Sized {
    /// Parses a body.
    ///
    /// # Errors
    /// `invalid_request`, `payload_too_large`, or `validation_failed` with all errors of the body.
    fn from_json(body: &[u8]) -> Result<Self, Problem>;
}

/// A JSON body. Its bytes are freed as soon as it is parsed.
pub struct JsonBody<T> {
    pub value: T,
    /// Hash of the path, the query and the bytes of the body.
    pub fingerprint: Fingerprint,
}

impl<S: Send + Sync, T: FromJson> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(ProblemCode::UnsupportedMediaType, "expected Content-Type: application/json"));
        }
        if !is_plain(request.headers()) {
            return Err(Problem::new(ProblemCode::UnsupportedMediaType, "expected a body without Content-Encoding"));
        }
        let uri = request.uri().clone();
        let pace = request.extensions().get::<BodyPace>().copied();
        let stopping = request.extensions().get::<Stopping>().cloned();
        let BodyLimit(most) = request.extensions().get().copied().unwrap_or_default();
        let memory = request.extensions().get::<RequestContext>().map(|context| context.memory.clone());
        let body = PacedBody::wrap(request.into_body(), pace);
        let reading = read(body, most, BodyMemory::new(memory.as_deref()));
        let bytes = tokio::select! {
            read = reading => read?,
            () = stopped(stopping) => {
                let detail = "the gateway is stopping, and the body had not arrived; nothing was sent";
                return Err(Problem::new(ProblemCode::Overloaded, detail).with_retry_after(Duration::from_secs(1)));
            }
        };
        let fingerprint = fingerprint(uri.path(), uri.query().unwrap_or_default(), &bytes);
        Ok(Self { value: T::from_json(&bytes)?, fingerprint })
    }
}

/// The body in one piece: as it comes, in chunks of a byte for example, it would take many times its size.
async fn read(mut body: Body, most: usize, mut memory: BodyMemory<'_>) -> Result<Vec<u8>, Problem> {
    let too_large = || Problem::new(ProblemCode::PayloadTooLarge, "the body is larger than the server takes");
    // What its head announces. A caller that waits for a word before it sends its body is told this one.
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > most {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    bytes.reserve_exact(memory.reserve(announced, most).await?);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BadTransfer::problem(&error))?;
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > most - bytes.len() {
            return Err(too_large());
        }
        let reserved = memory.reserve(bytes.len() + data.len(), most).await?;
        // No more than is reserved: the vector would double its size.
        bytes.reserve_exact(reserved - bytes.len());
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

fn is_plain(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Bytes;
    use futures_util::stream;

    use super::*;
    use crate::memory::InFlight;

    #[tokio::test]
    async fn chunked_body_has_little_spare_capacity() {
        let memory = InFlight::new(64 << 20).open(None);
        let chunks = stream::iter((0..1_100).map(|_| Ok::<_, Infallible>(Bytes::from_static(&[b' '; 1_000]))));
        let bytes = read(Body::from_stream(chunks), 8 << 20, BodyMemory::new(Some(&memory))).await.unwrap();
        assert_eq!(bytes.len(), 1_100_000);
        assert!(bytes.capacity() <= 1_100_000 * 3 / 2, "{}", bytes.capacity());
        assert!(memory.bytes() >= bytes.capacity() * 5 / 2, "the capacity is reserved");
    }
}
