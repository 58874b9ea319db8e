//! The OpenAPI document: its references, descriptions and routes.

mod enumerations;
mod examples;
mod schemas;

use std::collections::HashSet;

use reqwest::Method;
use scrm_gateway::openapi;
use serde_json::Value;

use crate::support::Gateway;

fn document() -> Value {
    serde_json::from_str(&openapi::to_json(&openapi::spec(None))).unwrap()
}

/// Every operation: its method, its path, and what the document says of it.
fn operations(document: &Value) -> Vec<(Method, &str, &Value)> {
    let methods =
        [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS];
    let items = document["paths"].as_object().unwrap();
    let found: Vec<_> = items
        .iter()
        .flat_map(|(path, item)| {
            methods.iter().filter_map(move |method| {
                let operation = item.get(method.as_str().to_ascii_lowercase())?;
                Some((method.clone(), path.as_str(), operation))
            })
        })
        .collect();
    assert!(found.len() >= 4, "{found:?}");
    found
}

/// Calls `visit` with every value of the document, outermost first, and its place.
fn walk(value: &Value, place: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(place, value);
    let below = |key: &str| format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(members) => members.iter().for_each(|(key, member)| walk(member, &below(key), visit)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| walk(item, &below(&index.to_string()), visit));
        }
        _ => {}
    }
}

/// What a reference leads to; anything else is itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

fn is_said(text: &Value) -> bool {
    text.as_str().is_some_and(|text| !text.trim().is_empty())
}

#[test]
fn the_committed_document_is_what_the_program_prints() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let printed = openapi::to_json(&openapi::spec(None));
    let differs = committed.lines().zip(printed.lines()).position(|(a, b)| a != b);
    assert!(
        committed == printed,
        "openapi/openapi.json is not of these sources (line {}): run `make openapi` and commit it",
        differs.map_or_else(|| "past the end".to_owned(), |line| (line + 1).to_string()),
    );
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut references = 0;
    walk(&document, "", &mut |place, value| {
        if let Some(reference) = value.get("$ref") {
            references += 1;
            let target = reference.as_str().and_then(|text| text.strip_prefix('#')).unwrap();
            assert!(document.pointer(target).is_some(), "{place} leads to {target}, which is not there");
        }
    });
    assert!(references > 0);
}

#[test]
fn every_operation_parameter_and_response_is_described() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        let name = format!("{method} {path}");
        assert!(is_said(&operation["summary"]), "{name} has no summary");
        assert!(is_said(&operation["description"]), "{name} has no description");
        assert!(!operation["tags"].as_array().unwrap().is_empty(), "{name} is in no group");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(is_said(&parameter["description"]), "{name}: {parameter}");
        }
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{name}");
        for (status, response) in responses {
            let response = resolved(&document, response);
            assert!(is_said(&response["description"]), "{name}: {status} has no description");
            for (header, said) in response["headers"].as_object().into_iter().flatten() {
                let said = resolved(&document, said);
                assert!(is_said(&said["description"]), "{name}: {status}: {header} has no description");
                assert!(!said["example"].is_null(), "{name}: {status}: {header} has no example");
            }
        }
    }
}

#[test]
fn every_group_of_operations_is_described() {
    let document = document();
    let described: HashSet<&str> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|tag| is_said(&tag["description"]))
        .filter_map(|tag| tag["name"].as_str())
        .collect();
    for (method, path, operation) in operations(&document) {
        for tag in operation["tags"].as_array().unwrap() {
            assert!(described.contains(tag.as_str().unwrap()), "{method} {path}: {tag}");
        }
    }
}

#[test]
fn every_operation_has_an_id_of_its_own() {
    let document = document();
    let mut ids = HashSet::new();
    for (method, path, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{method} {path}: {id} is taken");
    }
}

/// Viewers turn an identifier into a link to SPDX's page of it, and there is none of a choice of two licences.
#[test]
fn licence_links_to_the_text_of_one_of_the_two() {
    let document = document();
    let license = &document["info"]["license"];
    assert_eq!(license["name"], "MIT OR Apache-2.0");
    assert_eq!(license["url"], "https://spdx.org/licenses/MIT.html");
    assert!(license["identifier"].is_null(), "it excludes the URL: {license}");
}

#[test]
fn licence_files_are_the_standard_texts() {
    use sha2::{Digest, Sha256};
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mit = std::fs::read_to_string(root.join("LICENSE-MIT")).unwrap();
    assert!(
        mit.starts_with("MIT License\n\nCopyright (c) 2026 The scrm-gateway authors\n\nPermission is hereby granted")
    );
    // The text at apache.org/licenses/LICENSE-2.0.txt.
    let apache = Sha256::digest(std::fs::read(root.join("LICENSE-APACHE")).unwrap());
    let expected = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30";
    assert_eq!(base16ct::lower::encode_string(&apache), expected);
}

#[test]
fn error_responses_are_shared_problem_components() {
    let document = document();
    let mut used = HashSet::new();
    for (method, path, operation) in operations(&document) {
        let responses = operation["responses"].as_object().unwrap();
        let errors: Vec<_> = responses.iter().filter(|(status, _)| status.starts_with(['4', '5'])).collect();
        assert!(!errors.is_empty(), "{method} {path}");
        for (status, response) in errors {
            let reference = response["$ref"].as_str().unwrap_or_else(|| panic!("{method} {path}: {status} is inline"));
            used.insert(reference.strip_prefix("#/components/responses/").unwrap().to_owned());
            let content = resolved(&document, response)["content"].as_object().unwrap();
            let types: Vec<&String> = content.keys().collect();
            assert_eq!(types, ["application/problem+json"], "{method} {path}: {status}");
            assert_eq!(
                content["application/problem+json"]["schema"]["$ref"], "#/components/schemas/Problem",
                "{method} {path}: {status}"
            );
        }
    }
    let defined: HashSet<String> = document["components"]["responses"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(used, defined);
}

#[test]
fn error_responses_list_only_headers_of_their_own() {
    let document = document();
    for (name, response) in document["components"]["responses"].as_object().unwrap() {
        for header in response["headers"].as_object().into_iter().flatten().map(|(header, _)| header.as_str()) {
            assert!(["idempotent-replayed", "retry-after", "www-authenticate"].contains(&header), "{name}: {header}");
        }
    }
}

#[test]
fn every_success_and_every_body_has_an_example() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        let bodies = [("the request", &operation["requestBody"]), ("the answer", &operation["responses"]["200"])];
        for (of, body) in bodies.into_iter().filter(|(_, body)| !body.is_null()) {
            for (media_type, content) in body["content"].as_object().unwrap() {
                assert!(!content["example"].is_null(), "{method} {path}: {of}, as {media_type}, has no example");
            }
        }
    }
}

#[tokio::test]
async fn every_operation_of_the_document_has_a_route() {
    let gateway = Gateway::start().await;
    for (method, path, _) in operations(&document()) {
        let asked = path.replace("{id}", "nobody");
        assert!(!asked.contains('{'), "{path} has a parameter that this test does not fill");
        let reply = gateway.send(method.clone(), &asked, &[], None).await;
        let name = format!("{method} {path}");
        assert_ne!(reply.status, 405, "{name}: {}", reply.body);
        if reply.status == 404 {
            assert_ne!(reply.json()["detail"], "no such route", "{name}");
        }
    }
    // What the test above would see of a route that is not there.
    let reply = gateway.get("/v1/nothing").await;
    assert_eq!(reply.problem(404, "not_found")["detail"], "no such route");
    gateway.stop().await;
}

#[tokio::test]
async fn the_page_has_our_name_and_what_it_lacks_is_a_problem() {
    let gateway = Gateway::start().await;
    let nobody = [("authorization", "")];
    // A redirect that holds behind a prefix too is followed by the client.
    for path in ["/docs", "/docs/", "/docs/index.html"] {
        let page = gateway.get_with(path, &nobody).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.header("content-type"), "text/html", "{path}");
        assert!(page.body.contains("<title>scrm-gateway</title>"), "{path}: {}", page.body);
    }
    assert_eq!(gateway.get_with("/docs/swagger-ui.css", &nobody).await.header("content-type"), "text/css");
    for path in ["/docs/nothing", "/docs/../Cargo.toml", "/docs/%2e%2e/x"] {
        gateway.get_with(path, &nobody).await.problem(404, "not_found");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_service_serves_the_document() {
    let gateway = Gateway::start().await;
    let reply = gateway.send(Method::GET, "/openapi.json", &[("authorization", "")], None).await;
    assert_eq!(reply.ok(), document());
    assert_eq!(reply.header("content-type"), "application/json");
    gateway.stop().await;
}
