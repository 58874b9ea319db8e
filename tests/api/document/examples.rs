//! The examples are of the schema, in its order, and true for the operation that shows them.

use std::collections::HashSet;

use scrm_gateway::openapi::{self, Json};
use serde_json::Value;

use super::{document, operations, resolved};

/// The document with its members in order.
fn ordered() -> Json {
    Json::parse(&openapi::to_json(&openapi::spec(None))).unwrap()
}

fn at<'a>(value: &'a Json, path: &[&str]) -> Option<&'a Json> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

/// Returns what a reference leads to; anything else is itself.
fn target<'a>(document: &'a Json, schema: &'a Json) -> &'a Json {
    match schema.get("$ref").and_then(Json::as_str) {
        Some(reference) => {
            let path: Vec<&str> = reference.trim_start_matches("#/").split('/').collect();
            target(document, at(document, &path).unwrap())
        }
        None => schema,
    }
}

/// Returns the object or array schema among the alternatives of a schema.
fn structure<'a>(document: &'a Json, schema: &'a Json) -> &'a Json {
    let schema = target(document, schema);
    match schema.get("oneOf") {
        Some(Json::Array(alternatives)) => {
            let alternatives = alternatives.iter().map(|alternative| structure(document, alternative));
            alternatives.into_iter().find(|found| found.get("properties").is_some()).unwrap_or(schema)
        }
        _ => schema,
    }
}

/// Compares the order of the members of `value` with the order of the properties of `schema`; returns how many objects
/// were compared.
fn compare_order(document: &Json, schema: &Json, value: &Json, place: &str) -> usize {
    let schema = structure(document, schema);
    match value {
        Json::Array(items) => {
            let of = schema.get("items").unwrap_or(&Json::Null);
            items.iter().map(|item| compare_order(document, of, item, place)).sum()
        }
        Json::Object(members) => match (schema.get("properties"), schema.get("additionalProperties")) {
            (Some(Json::Object(properties)), _) => {
                let expected: Vec<&String> = properties.keys().filter(|name| members.contains_key(*name)).collect();
                assert_eq!(members.keys().collect::<Vec<_>>(), expected, "{place}");
                let below = members.iter().map(|(name, member)| {
                    compare_order(document, &properties[name], member, &format!("{place}/{name}"))
                });
                1 + below.sum::<usize>()
            }
            (_, Some(of)) => members.values().map(|member| compare_order(document, of, member, place)).sum(),
            _ => 0,
        },
        _ => 0,
    }
}

#[test]
fn examples_are_in_the_order_of_their_schema() {
    let mut document = ordered();
    let whole = document.clone();
    let mut compared = 0;
    for (path, item) in document.get_mut(&["paths"]).unwrap().members_mut() {
        for (method, operation) in item.members_mut() {
            for content in [&["requestBody", "content"][..], &["responses", "200", "content"]] {
                let media_types = at(operation, content).into_iter().flat_map(|content| match content {
                    Json::Object(members) => members.iter().collect::<Vec<_>>(),
                    _ => Vec::new(),
                });
                for (media_type, content) in media_types.filter(|(media_type, _)| *media_type == "application/json") {
                    let example = content.get("example").unwrap();
                    let place = format!("{method} {path}: {media_type}: ");
                    compared += compare_order(&whole, content.get("schema").unwrap(), example, &place);
                }
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn stream_example_is_in_the_order_of_the_schema() {
    let document = ordered();
    let stream =
        at(&document, &["paths", "/v1/customers", "get", "responses", "200", "content", "application/x-ndjson"]);
    let text = stream.unwrap().get("example").and_then(Json::as_str).unwrap();
    let customer = at(&document, &["components", "schemas", "Customer"]).unwrap();
    let lines: Vec<Json> = text.lines().map(|line| Json::parse(line).unwrap()).collect();
    let (end, customers) = lines.split_last().unwrap();
    assert!(end.get("end").is_some());
    assert!(!customers.is_empty());
    for line in customers {
        assert!(compare_order(&document, customer, line, "stream") > 0);
    }
}

/// Every example of a problem is what the service would write: it has all members of the schema and no others, in its
/// order.
#[test]
fn problem_examples_have_the_members_of_the_schema() {
    let mut document = ordered();
    let whole = document.clone();
    let schema = at(&whole, &["components", "schemas", "Problem"]).unwrap();
    let Some(Json::Object(properties)) = schema.get("properties") else { panic!("{schema:?}") };
    for (component, response) in document.get_mut(&["components", "responses"]).unwrap().members_mut() {
        let examples = response.get_mut(&["content", "application/problem+json", "examples"]).unwrap();
        for (code, example) in examples.members_mut() {
            let problem = example.get("value").unwrap();
            let Json::Object(members) = problem else { panic!("{component}: {code}: {problem:?}") };
            assert!(members.keys().eq(properties.keys()), "{component}: {code}: {problem:?}");
            assert_eq!(problem.get("code").and_then(Json::as_str), Some(code), "{component}");
            compare_order(&whole, schema, problem, component);
        }
    }
}

/// The problems that an operation shows: its status, its code, and the example.
fn problems<'a>(document: &'a Value, operation: &'a Value) -> Vec<(&'a str, &'a str, &'a Value)> {
    let responses = operation["responses"].as_object().unwrap();
    let errors = responses.iter().filter(|(status, _)| status.starts_with(['4', '5']));
    errors
        .flat_map(|(status, response)| {
            let content = &resolved(document, response)["content"]["application/problem+json"];
            let examples = content["examples"].as_object().unwrap();
            examples.iter().map(move |(code, example)| (status.as_str(), code.as_str(), &example["value"]))
        })
        .collect()
}

#[test]
fn problem_examples_have_the_status_of_their_response() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        for (status, code, problem) in problems(&document, operation) {
            assert_eq!(problem["status"].to_string(), status, "{method} {path}: {code}");
        }
    }
}

#[test]
fn forbidden_example_names_a_scope_of_the_operation() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        for (_, _, problem) in problems(&document, operation).into_iter().filter(|(status, ..)| *status == "403") {
            let scopes = operation["security"][0]["bearer"].as_array().unwrap();
            let detail = problem["detail"].as_str().unwrap();
            let named = scopes.iter().any(|scope| detail.contains(scope.as_str().unwrap()));
            assert!(named, "{method} {path}: {detail}");
        }
    }
}

#[test]
fn invalid_request_examples_name_parameters_of_the_operation() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        let parameters = operation["parameters"].as_array().unwrap();
        let parameters: HashSet<&str> = parameters.iter().filter_map(|parameter| parameter["name"].as_str()).collect();
        for (_, _, problem) in problems(&document, operation).into_iter().filter(|(status, ..)| *status == "400") {
            for error in problem["errors"].as_array().unwrap() {
                let named = error["parameter"].as_str().unwrap();
                assert!(parameters.contains(named) || error["code"] == "unknown", "{method} {path}: {error}");
            }
        }
    }
}

/// An operation without a body does not write of one, and an error in a body is at a property of that body.
#[test]
fn problems_concern_the_body_only_where_there_is_one() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        let name = format!("{method} {path}");
        let body = operation["requestBody"]["content"]["application/json"]["schema"].clone();
        for (status, code, problem) in problems(&document, operation) {
            let response = resolved(&document, &operation["responses"][status]);
            if body.is_null() {
                assert!(!response["description"].as_str().unwrap().contains("body"), "{name}: {status}");
                assert!(!problem["detail"].as_str().unwrap().contains("body"), "{name}: {code}");
            }
            for pointer in problem["errors"].as_array().unwrap().iter().filter_map(|error| error["pointer"].as_str()) {
                let mut schema = resolved(&document, &body);
                for part in pointer.split('/').skip(1) {
                    let below = if schema["items"].is_null() { &schema["properties"][part] } else { &schema["items"] };
                    schema = resolved(&document, below);
                }
                assert!(schema.is_object(), "{name}: {code}: {pointer}");
            }
        }
    }
}
