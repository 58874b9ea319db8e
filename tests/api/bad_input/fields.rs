//! Fields of bodies.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Bad, Kind, Ways, document, named, nothing_was_written, operations, refused};
use crate::support::{Gateway, WireRequest};

/// How one field can be bad. The values are JSON, or what is meant to look like it.
struct Row {
    path: &'static str,
    /// Its place in the body.
    pointer: &'static str,
    good: &'static str,
    ways: Ways,
}

/// The word of a body that is no JSON: it has no places but lines and columns.
const NO_JSON: &str = "no JSON";

const OPTIONAL: Bad = Bad::Never("it may be absent");
const NO_RANGE: Bad = Bad::Never("it has no range beside its length");
const MISSING: Bad = Bad::Is(b"", "missing");
const WRONG_TYPE: Bad = Bad::Is(b"7", "wrong_type");
const EMPTY: Bad = Bad::Is(b"\"\"", "empty");
const CONTROL: Bad = Bad::Is(br#""bell\u0007 nul\u0000""#, "malformed");
const INVALID_UTF8: Bad = Bad::Is(b"\"\xff\xfe\"", NO_JSON);

const fn items(path: &'static str) -> Row {
    Row {
        path,
        pointer: "/items",
        good: "",
        ways: [
            MISSING,
            Bad::Is(b"{}", "wrong_type"),
            Bad::Is(b"[]", "empty"),
            Bad::Times("{},", 1_001, "too_many"),
            Bad::Never("a list has a length and no other range"),
            Bad::Is(b"[\x01]", NO_JSON),
            INVALID_UTF8,
        ],
    }
}

const fn id(path: &'static str, pointer: &'static str, good: &'static str) -> Row {
    let ways = [MISSING, WRONG_TYPE, EMPTY, Bad::Times("a", 129, "too_long"), NO_RANGE, CONTROL, INVALID_UTF8];
    Row { path, pointer, good, ways }
}

const fn text(pointer: &'static str, good: &'static str, too_many_chars: usize) -> Row {
    let empty = Bad::Never("an empty text is sent empty");
    let long = Bad::Times("字", too_many_chars, "too_long");
    Row {
        path: "/v1/remarks",
        pointer,
        good,
        ways: [OPTIONAL, WRONG_TYPE, empty, long, NO_RANGE, CONTROL, INVALID_UTF8],
    }
}

const ROWS: &[Row] = &[
    items("/v1/remarks"),
    id("/v1/remarks", "/items/0/staff_id", "\"rocky\""),
    id("/v1/remarks", "/items/0/union_id", "\"oz_nobody\""),
    text("/items/0/remark", "\"r\"", 21),
    text("/items/0/description", "\"d\"", 151),
    items("/v1/follow-ups"),
    id("/v1/follow-ups", "/items/0/staff_id", "\"rocky\""),
    id("/v1/follow-ups", "/items/0/union_id", "\"oz_nobody\""),
    Row {
        path: "/v1/follow-ups",
        pointer: "/items/0/content",
        good: "\"c\"",
        ways: [MISSING, WRONG_TYPE, EMPTY, Bad::Times("字", 10_001, "too_long"), NO_RANGE, CONTROL, INVALID_UTF8],
    },
    Row {
        path: "/v1/follow-ups",
        pointer: "/items/0/occurred_at",
        good: "\"2026-11-22T13:00:00Z\"",
        ways: [
            OPTIONAL,
            WRONG_TYPE,
            Bad::Is(b"\"\"", "malformed"),
            Bad::Times("2", 100_000, "malformed"),
            Bad::Is(b"\"2026-13-01T00:00:00Z\"", "malformed"),
            Bad::Is(br#""2026-11-22T13:00:00Z\u0000""#, "malformed"),
            INVALID_UTF8,
        ],
    },
];

/// The fields of what a schema describes, each by the place of its first occurrence.
fn places(document: &Value, schema: &Value, pointer: &str, found: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return places(document, document.pointer(&reference[1..]).unwrap(), pointer, found);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{pointer}/{name}");
        places(document, property, &place, found);
        found.insert(place);
    }
    if schema["items"].is_object() {
        places(document, &schema["items"], &format!("{pointer}/0"), found);
    }
}

/// A field's part of an item: none, one, or several.
type Parts<'a> = Vec<(&'a str, &'a [u8])>;

/// The body of one good item, but for the field at `pointer`, which stands there once for each of `values`.
fn body(path: &str, pointer: &str, values: &[&[u8]]) -> Vec<u8> {
    let object = |parts: Parts<'_>| {
        let parts: Vec<Vec<u8>> =
            parts.iter().map(|(name, value)| [b"\"", name.as_bytes(), b"\": ", value].concat()).collect();
        [b"{", parts.join(&b", "[..]).as_slice(), b"}"].concat()
    };
    let name_of = |pointer: &'static str| pointer.rsplit('/').next().unwrap();
    let mut item: Parts<'_> = Vec::new();
    for row in ROWS.iter().filter(|row| row.path == path && row.pointer != "/items") {
        let values = if row.pointer == pointer { values } else { &[row.good.as_bytes()] };
        item.extend(values.iter().map(|value| (name_of(row.pointer), *value)));
    }
    let items = [b"[", object(item).as_slice(), b"]"].concat();
    let values = if pointer == "/items" { values.to_vec() } else { vec![items.as_slice()] };
    object(values.into_iter().map(|value| ("items", value)).collect())
}

#[test]
fn every_field_of_every_body_has_a_row() {
    let document = document();
    let mut there = BTreeMap::new();
    for (_, path, operation) in operations(&document) {
        for content in operation["requestBody"]["content"].as_object().into_iter().flatten() {
            places(&document, &content.1["schema"], "", there.entry(path).or_insert_with(BTreeSet::new));
        }
    }
    let mut told = BTreeMap::new();
    for row in ROWS {
        told.entry(row.path).or_insert_with(BTreeSet::new).insert(row.pointer.to_owned());
    }
    assert_eq!(there, told);
    for path in told.keys() {
        let good: Value = serde_json::from_slice(&body(path, "", &[])).unwrap();
        assert!(good["items"][0].as_object().unwrap().len() >= 4);
    }
}

#[tokio::test]
async fn every_field_of_every_body_is_named_where_it_is_bad() {
    let gateway = Gateway::start().await;
    for row in ROWS {
        for (kind, bad) in Kind::ALL.into_iter().zip(row.ways) {
            let Some((mut value, code)) = bad.value() else { continue };
            if matches!(bad, Bad::Times(..)) {
                // A list of so many, or a text so long.
                value = match value.strip_suffix(b",") {
                    Some(list) => [b"[", list, b"]"].concat(),
                    None => [b"\"", value.as_slice(), b"\""].concat(),
                };
            }
            let values = if kind == Kind::Missing { Vec::new() } else { vec![value.as_slice()] };
            let what = format!("{}: {}: {kind:?}", row.path, row.pointer);
            let reply = WireRequest::post(row.path, body(row.path, row.pointer, &values)).send(&gateway).await;
            match code.unwrap() {
                NO_JSON => {
                    let reply = reply.unwrap();
                    let problem = reply.problem();
                    assert_eq!((reply.status, &problem["code"]), (400, &"invalid_request".into()), "{what}");
                    assert!(problem["detail"].as_str().unwrap().contains("at line 1, column "), "{what}: {problem}");
                }
                code => refused(&what, reply.as_ref(), row.pointer, code),
            }
        }
    }
    nothing_was_written(&gateway);
    gateway.stop().await;
}

#[tokio::test]
async fn a_field_that_is_there_twice_and_one_that_nobody_knows_are_named() {
    let gateway = Gateway::start().await;
    for row in ROWS {
        let good = match row.pointer {
            "/items" => br#"[{"staff_id": "rocky", "union_id": "oz_nobody", "remark": "r"}]"#,
            _ => row.good.as_bytes(),
        };
        let what = format!("{}: {}", row.path, row.pointer);
        let twice = body(row.path, row.pointer, &[good, good]);
        let reply = WireRequest::post(row.path, twice).send(&gateway).await.unwrap();
        assert_eq!(reply.status, 422, "{what}");
        let fault = (row.pointer.to_owned(), "duplicate".to_owned());
        assert!(named(&reply.problem()).contains(&fault), "{what}: {}", reply.body);

        let name = row.pointer.rsplit('/').next().unwrap();
        let text = String::from_utf8(body(row.path, "", &[])).unwrap();
        let stranger = text.replacen(&format!("\"{name}\":"), &format!("\"{name}_\": 1, \"{name}\":"), 1);
        let reply = WireRequest::post(row.path, stranger).send(&gateway).await;
        refused(&what, reply.as_ref(), &format!("{}_", row.pointer), "unknown");
    }
    nothing_was_written(&gateway);
    gateway.stop().await;
}
