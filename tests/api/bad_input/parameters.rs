//! Parameters: of the query, of the path, and headers.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Bad, Kind, Ways, document, nothing_was_written, operations, refused};
use crate::support::{Gateway, WireRequest};

/// How one parameter can be bad, of whichever operation.
struct Row {
    /// Where the document says it is.
    place: &'static str,
    name: &'static str,
    good: &'static str,
    ways: Ways,
    /// The fault of a text that is no known value.
    stranger: Option<(&'static str, &'static str)>,
}

const OPTIONAL: Bad = Bad::Never("it may be absent");
const ANY_TEXT: Bad = Bad::Never("any text is of its type");
const NO_RANGE: Bad = Bad::Never("it has no range beside its length");

/// Of one to 128 visible ASCII characters.
const STAFF_ID: Row = Row {
    place: "query",
    name: "staff_id",
    good: "rocky",
    ways: [
        OPTIONAL,
        Bad::Is(b"%E5%BC%A0", "malformed"),
        Bad::Is(b"", "empty"),
        Bad::Times("a", 129, "too_long"),
        NO_RANGE,
        Bad::Is(b"a%00b", "malformed"),
        Bad::Is(b"a%FFb", "malformed"),
    ],
    stranger: None,
};

/// One of some words.
const fn word(name: &'static str, good: &'static str) -> Row {
    Row {
        place: "query",
        name,
        good,
        ways: [
            OPTIONAL,
            Bad::Is(b"1", "malformed"),
            Bad::Is(b"", "malformed"),
            Bad::Times("a", 60_000, "malformed"),
            NO_RANGE,
            Bad::Is(b"raw%0A", "malformed"),
            Bad::Is(b"%FF", "malformed"),
        ],
        stranger: Some(("everything", "malformed")),
    }
}

/// What the standard asks to pass over where it cannot be read; the answer is as if it were not there.
const fn ignored(name: &'static str, good: &'static str, wrong: &'static [u8]) -> Row {
    Row {
        place: "header",
        name,
        good,
        ways: [
            OPTIONAL,
            Bad::Ignored(wrong),
            Bad::Ignored(b""),
            Bad::Ignored(&[b'a'; 10_000]),
            Bad::Ignored(b"wait=99999999999999999999"),
            Bad::Ignored(b"a\tb"),
            Bad::Ignored(b"\xff\xfe"),
        ],
        stranger: None,
    }
}

const ROWS: &[Row] = &[
    STAFF_ID,
    Row {
        place: "path",
        name: "id",
        good: "wm_nobody",
        ways: [
            Bad::Never("without it the route is another one"),
            Bad::Is(b"%E5%BC%A0", "malformed"),
            Bad::Never("without it the route is another one"),
            Bad::Times("a", 129, "too_long"),
            NO_RANGE,
            Bad::Is(b"a%00b", "malformed"),
            Bad::Is(b"a%FFb", "malformed"),
        ],
        stranger: None,
    },
    Row {
        place: "query",
        name: "source",
        good: "juzibot",
        ways: [
            Bad::Never("it is required where there is a choice: see the test of lists"),
            ANY_TEXT,
            Bad::Is(b"", "not_visible"),
            Bad::Times("a", 60_000, "not_visible"),
            NO_RANGE,
            Bad::Is(b"juzibot%00", "not_visible"),
            Bad::Is(b"juzi%FFbot", "malformed"),
        ],
        stranger: Some(("nobody", "not_visible")),
    },
    Row {
        place: "query",
        name: "limit",
        good: "5",
        ways: [
            OPTIONAL,
            Bad::Is(b"many", "wrong_type"),
            Bad::Is(b"", "wrong_type"),
            Bad::Times("9", 60_000, "out_of_range"),
            Bad::Is(b"1001", "out_of_range"),
            Bad::Is(b"5%0A", "wrong_type"),
            Bad::Is(b"%FF", "malformed"),
        ],
        stranger: Some(("-1", "wrong_type")),
    },
    Row {
        place: "query",
        name: "cursor",
        good: "",
        ways: [
            OPTIONAL,
            ANY_TEXT,
            Bad::Is(b"", "malformed"),
            Bad::Times("A", 60_000, "malformed"),
            NO_RANGE,
            Bad::Is(b"AQ%00", "malformed"),
            Bad::Is(b"%FF", "malformed"),
        ],
        stranger: Some(("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "malformed")),
    },
    word("include", "raw"),
    word("id_type", "external_user_id"),
    word("on_partial", "allow"),
    Row {
        place: "header",
        name: "Idempotency-Key",
        good: "bad-input-1",
        ways: [
            OPTIONAL,
            ANY_TEXT,
            Bad::Is(b"", "malformed"),
            Bad::Times("k", 256, "malformed"),
            Bad::Is(b"seven77", "malformed"),
            Bad::Is(b"with a\ttab", "malformed"),
            Bad::Is(b"caf\xe9-or-\xff\xfe", "malformed"),
        ],
        stranger: None,
    },
    ignored("If-None-Match", "W/\"a\"", b"no quotes"),
    ignored("Prefer", "wait=5", b"wait=soon"),
    ignored("Cache-Control", "no-cache", b";;;="),
    ignored("X-Request-Id", "of-the-caller", b"two words"),
    ignored("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", b"00-no-trace"),
];

fn row(place: &str, name: &str) -> &'static Row {
    let found = ROWS.iter().find(|row| (row.place, row.name) == (place, name));
    found.unwrap_or_else(|| panic!("no row tells how the {place} parameter {name} can be bad"))
}

/// The parameters of an operation: the place and name of each.
fn parameters(operation: &Value) -> Vec<(&str, &str)> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters.map(|parameter| (parameter["in"].as_str().unwrap(), parameter["name"].as_str().unwrap())).collect()
}

/// A request of the operation that is good, but for what the test adds.
fn good(method: &str, path: &str, query: &str) -> WireRequest {
    let target = format!("{}{query}", path.replace("{id}", "wm_nobody"));
    match (method, path) {
        ("get", _) => WireRequest::get(target),
        ("post", "/v1/remarks") => WireRequest::post(
            target,
            // Nobody knows the customer: what passes the checks by mistake changes nothing.
            r#"{"items": [{"staff_id": "rocky", "union_id": "oz_nobody", "remark": "r"}]}"#,
        ),
        ("post", "/v1/follow-ups") => {
            WireRequest::post(target, r#"{"items": [{"staff_id": "rocky", "union_id": "oz_nobody", "content": "c"}]}"#)
        }
        _ => panic!("{method} {path} has no good request here"),
    }
}

/// The query that an operation needs beside the parameter under test.
fn needed(path: &str, name: &str) -> Vec<(&'static str, &'static str)> {
    if path == "/v1/customers" && name != "source" { vec![("source", "juzibot")] } else { Vec::new() }
}

fn query(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let pairs: Vec<Vec<u8>> = pairs.iter().map(|(name, value)| [name.as_bytes(), b"=", value].concat()).collect();
    [b"?", pairs.join(&b'&').as_slice()].concat()
}

/// The good request with the parameter once for each of `values`.
fn request(method: &str, path: &str, (place, name): (&str, &'static str), values: &[&[u8]]) -> WireRequest {
    let mut pairs: Vec<(&str, &[u8])> = needed(path, name).iter().map(|(n, v)| (*n, v.as_bytes())).collect();
    let mut request = good(method, path, "");
    match place {
        "query" => pairs.extend(values.iter().map(|value| (name, *value))),
        "path" => {
            let at = path.find("{id}").unwrap();
            request.target = [&path.as_bytes()[..at], values[0], &path.as_bytes()[at + "{id}".len()..]].concat();
        }
        "header" => request.headers.extend(values.iter().map(|value| (name, value.to_vec()))),
        other => panic!("a parameter in {other}"),
    }
    if !pairs.is_empty() {
        request.target.extend(query(&pairs));
    }
    request
}

#[test]
fn every_row_is_of_a_parameter_that_the_document_has() {
    let document = document();
    let operations = operations(&document);
    let there: BTreeSet<_> = operations.iter().flat_map(|(_, _, operation)| parameters(operation)).collect();
    let told: BTreeSet<_> = ROWS.iter().map(|row| (row.place, row.name)).collect();
    assert_eq!(there, told);
    assert_eq!(told.len(), ROWS.len(), "no row twice");
}

#[tokio::test]
async fn every_parameter_of_every_operation_is_named_where_it_is_bad() {
    let gateway = Gateway::start().await;
    let document = document();
    let mut asked = 0;
    for (method, path, operation) in operations(&document) {
        for (place, name) in parameters(operation) {
            let row = row(place, name);
            let ways = Kind::ALL.into_iter().zip(row.ways).filter_map(|(kind, bad)| {
                let (value, code) = bad.value()?;
                Some((format!("{kind:?}"), vec![value], code))
            });
            let stranger = row.stranger.map(|(value, code)| ("Unknown".to_owned(), vec![value.into()], Some(code)));
            let twice = match place {
                "path" => None,
                _ if row.ways.iter().any(|way| matches!(way, Bad::Ignored(_))) => Some(None),
                _ => Some(Some("duplicate")),
            };
            let good = row.good.as_bytes().to_vec();
            let twice = twice.map(|code| ("Duplicate".to_owned(), vec![good.clone(), good], code));
            for (kind, values, code) in ways.chain(stranger).chain(twice) {
                let what = format!("{method} {path}: {name}: {kind}");
                let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
                let reply = request(method, path, (place, row.name), &values).send(&gateway).await;
                asked += 1;
                match code {
                    Some(code) => refused(&what, reply.as_ref(), name, code),
                    None => {
                        // As if it were not there; nobody is called as the good requests say.
                        let usual = good_status(&gateway, method, path).await;
                        assert_eq!(reply.map(|reply| reply.status), Some(usual), "{what}");
                    }
                }
            }
        }
    }
    assert!(asked > 100, "{asked}");
    nothing_was_written(&gateway);
    gateway.stop().await;
}

async fn good_status(gateway: &Gateway, method: &str, path: &str) -> u16 {
    let status = request(method, path, ("query", ""), &[]).send(gateway).await.unwrap().status;
    assert!(matches!(status, 200 | 404), "{method} {path}: {status}");
    status
}

#[tokio::test]
async fn a_parameter_that_an_operation_has_not_is_named_however_it_is_spelt() {
    let gateway = Gateway::start().await;
    let document = document();
    for (method, path, operation) in operations(&document) {
        let known: BTreeSet<&str> = parameters(operation).into_iter().map(|(_, name)| name).collect();
        let of_others = ROWS.iter().filter(|row| row.place == "query").map(|row| row.name.to_owned());
        let spelt_otherwise =
            known.iter().flat_map(|name| [name.to_uppercase(), format!("{name}[]"), format!("{name} ")]);
        let strangers = of_others.chain(spelt_otherwise).chain(["access_token".to_owned(), String::new()]);
        for name in strangers.filter(|name| !known.contains(name.as_str())) {
            let mut request = good(method, path, "");
            let spelt = name.replace(' ', "%20");
            request.target.extend(query(&[(&spelt, b"1")]));
            let reply = request.send(&gateway).await;
            // What is not understood is shown as it was sent.
            refused(&format!("{method} {path}: {name}"), reply.as_ref(), &spelt, "unknown");
        }
    }
    nothing_was_written(&gateway);
    gateway.stop().await;
}

#[tokio::test]
async fn a_list_of_no_named_source_names_what_is_missing() {
    let gateway = Gateway::start().await;
    let reply = WireRequest::get("/v1/customers").send(&gateway).await;
    refused("no source", reply.as_ref(), "source", "missing");
    let reply = WireRequest::get("/v1/customers?source=tanma").send(&gateway).await;
    refused("no staff member", reply.as_ref(), "staff_id", "missing");
    gateway.stop().await;
}
