//! Enumerations of responses are open, so that a generated client accepts values that are added later; enumerations of
//! requests are closed.

use std::collections::BTreeSet;

use scrm_gateway::model::Operation;
use serde_json::Value;

use super::{document, operations, resolved};

/// Calls `visit` with every schema below `schema`, following references, each component once.
fn reach<'a>(
    document: &'a Value,
    schema: &'a Value,
    seen: &mut BTreeSet<&'a str>,
    visit: &mut impl FnMut(&'a Value, &BTreeSet<&'a str>),
) {
    if let Some(reference) = schema["$ref"].as_str() {
        if seen.insert(reference) {
            reach(document, resolved(document, schema), seen, visit);
        }
        return;
    }
    visit(schema, seen);
    match schema {
        Value::Object(members) => members.values().for_each(|member| reach(document, member, seen, visit)),
        Value::Array(items) => items.iter().for_each(|item| reach(document, item, seen, visit)),
        _ => {}
    }
}

/// Whether a schema is `anyOf` with an alternative that accepts every string.
fn accepts_any_string(schema: &Value) -> bool {
    let accepts = |item: &Value| item["type"] == "string" && item["enum"].is_null();
    schema["anyOf"].as_array().is_some_and(|items| items.iter().any(accepts))
}

#[test]
fn response_enumerations_are_open() {
    let document = document();
    let mut open = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        for response in operation["responses"].as_object().unwrap().values() {
            for content in resolved(&document, response)["content"].as_object().into_iter().flatten() {
                reach(&document, &content.1["schema"], &mut BTreeSet::new(), &mut |schema, _| {
                    if accepts_any_string(schema) {
                        open.extend(
                            schema["anyOf"].as_array().unwrap().iter().filter_map(|item| item["$ref"].as_str()),
                        );
                    }
                });
                // Of the enumerations, only those that are one of several alternatives may be reached.
                reach(&document, &content.1["schema"], &mut BTreeSet::new(), &mut |schema, seen| {
                    if schema["enum"].is_array() {
                        let known = seen.iter().find(|name| resolved_at(&document, name) == schema);
                        let known = known.unwrap_or_else(|| panic!("{method} {path}: a closed enumeration: {schema}"));
                        assert!(open.contains(known), "{method} {path}: {known} is closed");
                    }
                });
            }
        }
    }
    assert!(open.len() >= 12, "{open:?}");
}

fn resolved_at<'a>(document: &'a Value, reference: &str) -> &'a Value {
    document.pointer(reference.trim_start_matches('#')).unwrap()
}

#[test]
fn request_enumerations_are_closed() {
    let document = document();
    let mut closed = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let bodies = operation["requestBody"]["content"].as_object().into_iter().flatten().map(|(_, body)| body);
        for of in parameters.chain(bodies) {
            reach(&document, &of["schema"], &mut BTreeSet::new(), &mut |schema, _| {
                assert!(!accepts_any_string(schema), "{method} {path}: {schema}");
                if schema["enum"].is_array() {
                    closed.insert(of["name"].as_str().unwrap().to_owned());
                }
            });
        }
    }
    assert_eq!(closed.into_iter().collect::<Vec<_>>(), ["id_type", "include", "on_partial"]);
}

#[test]
fn enumerations_describe_their_values() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        if !accepts_any_string(schema) {
            continue;
        }
        let description = schema["description"].as_str().unwrap();
        assert!(description.ends_with("accept unknown ones."), "{name}: {description}");
        // `/v1/errors` describes each code.
        if name == "ProblemCode" {
            continue;
        }
        let known = resolved(&document, &schema["anyOf"][0])["enum"].as_array().unwrap();
        for value in known {
            let value = value.as_str().unwrap();
            assert!(description.contains(&format!("`{value}`")), "{name}: {value} is not described");
        }
    }
    for (method, path, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            for value in parameter["schema"]["enum"].as_array().into_iter().flatten() {
                let value = format!("`{}`", value.as_str().unwrap());
                let description = parameter["description"].as_str().unwrap();
                assert!(description.contains(&value), "{method} {path}: {}: {value}", parameter["name"]);
            }
        }
    }
}

#[test]
fn source_operations_are_named() {
    let document = document();
    let description = &document["components"]["schemas"]["SourceInfo"]["properties"]["operations"]["description"];
    for operation in Operation::ALL {
        assert!(description.as_str().unwrap().contains(&format!("`{operation}`")), "{operation}");
    }
}
