//! An embedded file as HTTP serves it: two codings, each with a strong `ETag`, and 304.

use std::io::{Read, Write};
use std::sync::OnceLock;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use sha2::{Digest, Sha256};

use super::accept_encoding::prefers_gzip;

/// Bytes of the hash in an `ETag` and in an address.
const HASH_BYTES: usize = 16;

/// For addresses that always have the same content.
pub(super) const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// For addresses whose content changes with the program or its configuration.
pub(super) const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// A file in the coding that it was made in. The other coding is made once, when it is first needed.
pub(super) struct EmbeddedFile {
    content_type: HeaderValue,
    hash: String,
    identity: Representation,
    gzip: Representation,
}

struct Representation {
    etag: ETag,
    bytes: OnceLock<Bytes>,
}

impl EmbeddedFile {
    pub(super) fn plain(content_type: &str, bytes: Bytes) -> Self {
        let file = Self::new(content_type, &bytes);
        file.identity.bytes.get_or_init(|| bytes);
        file
    }

    pub(super) fn gzipped(content_type: &str, bytes: Bytes) -> Self {
        let file = Self::new(content_type, &bytes);
        file.gzip.bytes.get_or_init(|| bytes);
        file
    }

    fn new(content_type: &str, bytes: &[u8]) -> Self {
        let hash = URL_SAFE_NO_PAD.encode(&Sha256::digest(bytes)[..HASH_BYTES]);
        let representation = |suffix: &str| Representation {
            etag: format!("\"{hash}{suffix}\"").parse().expect("base64 is valid in an ETag"),
            bytes: OnceLock::new(),
        };
        Self {
            content_type: HeaderValue::from_str(content_type).expect("a media type is valid in a header"),
            // Each coding is a function of the other, so one hash serves both.
            identity: representation(""),
            gzip: representation("-gzip"),
            hash,
        }
    }

    /// A hash of the content, valid in an address.
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.identity()).into_owned()
    }

    /// Returns the file in the coding that the request prefers, or 304 if the client already has it.
    pub(super) fn respond(&self, request: &HeaderMap, cache_control: HeaderValue) -> Response {
        let is_gzip = prefers_gzip(request);
        let etag = if is_gzip { &self.gzip.etag } else { &self.identity.etag };
        let condition = request.typed_get::<IfNoneMatch>();
        let is_current = condition.is_some_and(|condition| !condition.precondition_passes(etag));
        let mut response = if is_current { not_modified() } else { self.full(is_gzip) };
        let headers = response.headers_mut();
        headers.typed_insert(etag.clone());
        headers.insert(CACHE_CONTROL, cache_control);
        headers.insert(VARY, HeaderValue::from(ACCEPT_ENCODING));
        response
    }

    /// Makes the compressed form now.
    pub(super) fn compress(&self) {
        self.gzip();
    }

    fn full(&self, is_gzip: bool) -> Response {
        let mut response = Response::new(Body::from(if is_gzip { self.gzip() } else { self.identity() }));
        response.headers_mut().insert(CONTENT_TYPE, self.content_type.clone());
        if is_gzip {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    fn identity(&self) -> Bytes {
        self.identity.bytes.get_or_init(|| decompress(&self.gzip())).clone()
    }

    fn gzip(&self) -> Bytes {
        self.gzip.bytes.get_or_init(|| compress(&self.identity())).clone()
    }
}

fn not_modified() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

fn compress(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a Vec takes every write").into()
}

fn decompress(bytes: &[u8]) -> Bytes {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).expect("an embedded file is valid gzip");
    plain.into()
}
