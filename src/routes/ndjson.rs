//! A walk as `application/x-ndjson`: one JSON value a line, written as the reader takes them.

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use futures_util::stream;
use serde::Serialize;
use std::convert::Infallible;

use crate::model::{ShortProblem, StreamEnd};
use crate::service::walk::{Step, Walk};

pub const NDJSON: &str = "application/x-ndjson";
/// Lines are gathered up to about this size, so that small ones do not go out one by one.
const CHUNK_BYTES: usize = 32 * 1024;

#[derive(Serialize)]
struct EndLine {
    end: StreamEnd,
}

#[derive(Serialize)]
struct ErrorLine {
    error: ShortProblem,
    resume_cursor: String,
}

/// The answer that brings the walk, as slowly as its reader takes it.
pub fn stream(walk: Walk) -> Response {
    let chunks = stream::unfold(walk, |mut walk| async move {
        let chunk = next_chunk(&mut walk).await?;
        Some((Ok::<_, Infallible>(chunk), walk))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A buffering proxy would hold the lines back, and take the reader's pace from the walk.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

async fn next_chunk(walk: &mut Walk) -> Option<Bytes> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
    match walk.next().await? {
        Step::Customer(customer) => write_line(&mut chunk, &*customer),
        Step::End(end) => write_line(&mut chunk, &EndLine { end }),
        Step::Broken { error, resume_cursor } => write_line(&mut chunk, &ErrorLine { error, resume_cursor }),
    }
    while chunk.len() < CHUNK_BYTES {
        let Some(customer) = walk.ready() else { break };
        write_line(&mut chunk, &*customer);
    }
    Some(chunk.into())
}

fn write_line<T: Serialize>(chunk: &mut Vec<u8>, line: &T) {
    serde_json::to_writer(&mut *chunk, line).expect("a line has a JSON form, and memory takes it");
    chunk.push(b'\n');
}
