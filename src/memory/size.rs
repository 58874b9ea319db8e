//! Sizes as text, without rounding.

use std::fmt;

use bytesize::ByteSize;
use serde::Serializer;

const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

/// A number of bytes, shown in the largest unit of which it is a whole multiple.
#[derive(Debug, Clone, Copy)]
pub struct Exact(pub u64);

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = *self;
        match UNITS.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{} {name}", bytes / unit),
            None => write!(f, "{bytes} B"),
        }
    }
}

/// A number of bytes in mebibytes, rounded down to a tenth.
#[derive(Debug, Clone, Copy)]
pub struct About(pub u64);

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (u128::from(self.0) * 10) >> 20;
        write!(f, "{}.{} MiB", tenths / 10, tenths % 10)
    }
}

/// Serializes a size without rounding, so that it is read as the same.
///
/// # Errors
/// Those of the serializer.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands the field over like this")]
pub fn serialize<S: Serializer>(size: &ByteSize, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Exact(size.as_u64()))
}

/// As [`serialize`], for a size that may be absent.
///
/// # Errors
/// Those of the serializer.
#[expect(clippy::ref_option, reason = "serde hands the field over like this")]
pub fn serialize_optional<S: Serializer>(size: &Option<ByteSize>, serializer: S) -> Result<S::Ok, S::Error> {
    match size {
        Some(size) => serialize(size, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_size_is_read_back_as_the_same() {
        for (bytes, text) in [
            (0, "0 B"),
            (1_500, "1500 B"),
            (8 << 10, "8 KiB"),
            (1_580 << 20, "1580 MiB"),
            ((61 << 20) / 4, "15616 KiB"),
            (1 << 30, "1 GiB"),
            (3 << 40, "3 TiB"),
        ] {
            assert_eq!(Exact(bytes).to_string(), text);
            assert_eq!(text.parse(), Ok(ByteSize(bytes)));
        }
    }

    #[test]
    fn approximate_size_is_rounded_down() {
        assert_eq!(About(6_650_310).to_string(), "6.3 MiB");
        assert_eq!(About(u64::MAX).to_string(), "17592186044415.9 MiB");
    }
}
