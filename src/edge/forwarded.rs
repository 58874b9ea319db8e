//! What proxies say of who called them, in `X-Forwarded-For` or in `Forwarded` (RFC 7239).
//!
//! Each proxy adds its word on the right; further left stands what it was told, and at last what the client made up. So it is
//! read from the right, and nothing on the left, well-formed or not, changes how a word to the right of it is read.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

/// The header in which the trusted proxies name the client. One alone is believed: a proxy writes one and passes the other
/// on as the client wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAddressHeader {
    XForwardedFor,
    Forwarded,
}

/// The addresses that proxies wrote, the nearest proxy's first; `None` for a word that names none or cannot be read.
pub(super) fn hops(header: ClientAddressHeader, headers: &HeaderMap) -> Box<dyn Iterator<Item = Option<IpAddr>> + '_> {
    let lines = |name| headers.get_all(name).iter().rev().map(HeaderValue::as_bytes);
    match header {
        ClientAddressHeader::XForwardedFor => {
            let words = lines("x-forwarded-for").flat_map(|line| line.rsplit(|byte| *byte == b','));
            Box::new(words.map(address))
        }
        ClientAddressHeader::Forwarded => {
            let elements = lines("forwarded").flat_map(|line| FromRight::new(line, b','));
            Box::new(elements.map(|element| address(&node(element)?)))
        }
    }
}

/// Splits at the separators that stand in no quoted string (RFC 9110 §5.6.4), from the right.
struct FromRight<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> FromRight<'a> {
    fn new(text: &'a [u8], separator: u8) -> Self {
        Self { rest: Some(text), separator }
    }
}

impl<'a> Iterator for FromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest.take()?;
        let mut quoted = false;
        for (at, byte) in text.iter().enumerate().rev() {
            if *byte == b'"' {
                let backslashes = text[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
                let escaped = quoted && backslashes % 2 == 1;
                quoted ^= !escaped;
            } else if *byte == self.separator && !quoted {
                self.rest = Some(&text[..at]);
                return Some(&text[at + 1..]);
            }
        }
        Some(text)
    }
}

/// The `for` of an element of `Forwarded`, unquoted; `None` where it has none, or more than one, or is not well-formed. Of the
/// other parameters no more is read than where they end.
fn node(element: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut found = None;
    for pair in FromRight::new(element, b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()) {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        if name.eq_ignore_ascii_case(b"for") && found.replace(value).is_some() {
            return None;
        }
    }
    unquoted(found?)
}

/// The text of a token or of a quoted string.
fn unquoted(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(quoted) = value.strip_prefix(b"\"") else { return Some(value.into()) };
    let mut text = Vec::new();
    let mut bytes = quoted.strip_suffix(b"\"")?.iter();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'\\' => *bytes.next()?,
            b'"' => return None,
            other => *other,
        });
    }
    Some(text.into())
}

/// An address, with a port or without, an IPv6 one in brackets or, without a port, bare. A name, or what hides one
/// (`unknown`, `_hidden`), is none.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    if let Ok(bare) = text.parse::<IpAddr>() {
        return Some(bare.to_canonical());
    }
    let (address, rest) = match text.strip_prefix('[') {
        Some(text) => {
            let (address, rest) = text.split_once(']')?;
            (address.parse::<Ipv6Addr>().ok()?.into(), rest)
        }
        None => {
            let (address, _) = text.split_once(':')?;
            (address.parse::<IpAddr>().ok()?, &text[address.len()..])
        }
    };
    (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port)).then(|| address.to_canonical())
}

/// A number, or what hides one (RFC 7239 §6).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(hidden) => {
            !hidden.is_empty() && hidden.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        None => text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(header: ClientAddressHeader, lines: &[&[u8]]) -> Vec<Option<String>> {
        let name = match header {
            ClientAddressHeader::XForwardedFor => "x-forwarded-for",
            ClientAddressHeader::Forwarded => "forwarded",
        };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_bytes(line).unwrap());
        }
        hops(header, &headers).map(|hop| hop.map(|address| address.to_string())).collect()
    }

    fn forwarded(line: &str) -> Vec<Option<String>> {
        read(ClientAddressHeader::Forwarded, &[line.as_bytes()])
    }

    fn told(addresses: &[&str]) -> Vec<Option<String>> {
        addresses.iter().map(|address| Some((*address).to_owned())).collect()
    }

    #[test]
    fn both_headers_are_read_from_the_right_over_all_lines() {
        let lines = read(ClientAddressHeader::XForwardedFor, &[b"192.0.2.1, 192.0.2.2", b"192.0.2.3"]);
        assert_eq!(lines, told(&["192.0.2.3", "192.0.2.2", "192.0.2.1"]));
        let lines = read(
            ClientAddressHeader::Forwarded,
            &[b"for=192.0.2.1;proto=http, For=\"192.0.2.2:80\"", b"proto=https; FOR=192.0.2.3;by=_ours"],
        );
        assert_eq!(lines, told(&["192.0.2.3", "192.0.2.2", "192.0.2.1"]));
    }

    #[test]
    fn addresses_are_read_in_the_spellings_that_proxies_use() {
        for (written, meant) in [
            ("192.0.2.1", "192.0.2.1"),
            (" 192.0.2.1 ", "192.0.2.1"),
            ("192.0.2.1:65535", "192.0.2.1"),
            ("192.0.2.1:_hidden", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:DB8::1]:443", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:443", "192.0.2.1"),
        ] {
            assert_eq!(read(ClientAddressHeader::XForwardedFor, &[written.as_bytes()]), told(&[meant]), "{written}");
            assert_eq!(forwarded(&format!("for=\"{}\"", written.trim())), told(&[meant]), "{written}");
        }
    }

    #[test]
    fn what_names_no_address_is_none() {
        for written in [
            "",
            "unknown",
            "_hidden",
            "localhost",
            "192.0.2",
            "192.0.2.01",
            "0300.0.2.1",
            "0xc0000201",
            "3221225985",
            "192.0.2.1:",
            "192.0.2.1:65536",
            "192.0.2.1:+1",
            "192.0.2.1:_",
            "192.0.2.1 192.0.2.2",
            "[192.0.2.1]",
            "fe80::1%eth0",
            "[fe80::1%25eth0]",
            "[2001:db8::1",
            "[2001:db8::1]443",
            "[]",
            "[",
            "2001:db8::1]:443",
        ] {
            assert_eq!(read(ClientAddressHeader::XForwardedFor, &[written.as_bytes()]), [None], "{written}");
            assert_eq!(forwarded(&format!("for=\"{written}\"")), [None], "{written}");
        }
        assert_eq!(read(ClientAddressHeader::XForwardedFor, &[b"\xff"]), [None]);
        for element in [
            "",
            "for",
            "for=",
            "proto=https",
            "for=\"192.0.2.1",
            "for=192.0.2.1\"",
            "for=\"\"192.0.2.1\"\"",
            "for=192.0.2.1;for=192.0.2.1",
            "for=192.0.2.1;host",
            "for =192.0.2.1",
            "for= 192.0.2.1\\",
        ] {
            assert_eq!(forwarded(element), [None], "{element}");
        }
    }

    #[test]
    fn a_quoted_string_hides_what_it_holds() {
        let line = r#"for=192.0.2.1;host="a, for=192.0.2.9;x=\"b\", for=192.0.2.8", for="192.0\.2.2";host="c\\""#;
        assert_eq!(forwarded(line), told(&["192.0.2.2", "192.0.2.1"]));
    }

    /// What a careful proxy may add: the address it was called from, and what it was asked for.
    fn element() -> impl Strategy<Value = (IpAddr, String)> {
        (any::<IpAddr>(), "[ -~]{0,12}").prop_map(|(address, host)| {
            let host = host.replace('\\', r"\\").replace('"', r#"\""#);
            let node = if address.is_ipv6() { format!("\"[{address}]:80\"") } else { address.to_string() };
            (address.to_canonical(), format!("for={node};host=\"{host}\";proto=http"))
        })
    }

    proptest! {
        #[test]
        fn nothing_on_the_left_changes_how_the_right_is_read(
            left in proptest::collection::vec(
                prop_oneof![32..127_u8, 128..=255_u8, proptest::sample::select(&b"\"\\,;= for"[..])], 0..40,
            ),
            right in proptest::collection::vec(element(), 1..4),
        ) {
            let right_text = right.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(", ");
            let line: Vec<u8> = [left.as_slice(), b", ", right_text.as_bytes()].concat();
            let read = read(ClientAddressHeader::Forwarded, &[&line]);
            let expected: Vec<_> = right.iter().rev().map(|(address, _)| Some(address.to_string())).collect();
            prop_assert_eq!(&read[..right.len()], expected);
        }
    }
}
