//! Sizes of JSON.

use std::io::{self, Write};

use serde::Serialize;

/// Returns the length of a value's JSON in bytes.
pub(super) fn json_bytes<T: Serialize>(value: &T) -> usize {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value).expect("structs of strings and numbers have a JSON form");
    counter.0
}

struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
