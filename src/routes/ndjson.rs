//! A walk as `application/x-ndjson`: one JSON value a line, written as the reader takes them.

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use futures_util::stream;
use serde::Serialize;
use serde_json::ser::Formatter;
use std::convert::Infallible;
use std::io;

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
    let mut serializer = serde_json::Serializer::with_formatter(&mut *chunk, LineFormatter);
    line.serialize(&mut serializer).expect("a line has a JSON form, and memory takes it");
    chunk.push(b'\n');
}

/// Writes JSON that contains no line separator. JSON itself escapes control characters; this escapes U+0085, U+2028 and
/// U+2029 too, at which readers such as Python's `str.splitlines` split lines.
struct LineFormatter;

const SEPARATORS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];
/// The first bytes of these in UTF-8.
const LEADING_BYTES: [u8; 2] = [0xc2, 0xe2];

impl Formatter for LineFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // Few texts have such a byte: Chinese characters begin with others.
        if !fragment.bytes().any(|byte| LEADING_BYTES.contains(&byte)) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((at, separator)) = rest.char_indices().find(|(_, c)| SEPARATORS.contains(c)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            write!(writer, "\\u{:04x}", u32::from(separator))?;
            rest = &rest[at + separator.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_separators_are_escaped_in_values_and_keys() {
        let text = "a\u{2028}b\u{2029}\u{85}c\u{b}\u{c}\u{1c}\u{1d}\u{1e}\r\n\u{2027}\u{202a}乙\"";
        let mut chunk = Vec::new();
        write_line(&mut chunk, &serde_json::json!({ text: [text, "plain"] }));
        let escaped = r"a\u2028b\u2029\u0085c\u000b\f\u001c\u001d\u001e\r\n";
        let line = format!("{{\"{escaped}\u{2027}\u{202a}乙\\\"\":[\"{escaped}\u{2027}\u{202a}乙\\\"\",\"plain\"]}}\n");
        assert_eq!(String::from_utf8(chunk.clone()).unwrap(), line);
        let read: serde_json::Value = serde_json::from_slice(&chunk).unwrap();
        assert_eq!(read[text][0], text);
    }
}
