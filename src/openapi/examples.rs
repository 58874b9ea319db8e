//! The examples of the document: real responses, which `tests/api/examples` records and compares with the service.
//!
//! They are inserted into the JSON form of the document, in which members keep their order.

use crate::model::{CATALOGUE, Problem, ProblemKind};

use super::json::Json;

/// A file of `openapi/examples`.
macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../../openapi/examples/", $name))
    };
}

/// Success of each operation, by media type.
const ANSWERS: [(&str, &str, &str); 8] = [
    ("listCustomers", "application/json", recorded!("customers.json")),
    ("listCustomers", "application/x-ndjson", recorded!("customers.ndjson")),
    ("getCustomer", "application/json", recorded!("customer.json")),
    ("setRemarks", "application/json", recorded!("remarks.json")),
    ("addFollowUps", "application/json", recorded!("follow-ups.json")),
    ("listSources", "application/json", recorded!("sources.json")),
    ("listErrors", "application/json", recorded!("errors.json")),
    ("getMe", "application/json", recorded!("me.json")),
];

/// Request bodies that two of the successes belong to.
const REQUESTS: [(&str, &str); 2] =
    [("setRemarks", recorded!("remarks.request.json")), ("addFollowUps", recorded!("follow-ups.request.json"))];

/// Problems by response component and code.
const PROBLEMS: &str = recorded!("problems.json");

/// Adds the examples of successes, request bodies and problems.
pub(super) fn add_to(document: &mut Json) {
    if let Some(paths) = document.get_mut(&["paths"]) {
        for operation in paths.members_mut().flat_map(|(_, item)| item.members_mut()).map(|(_, operation)| operation) {
            add_to_operation(operation);
        }
    }
    let mut recorded = parsed(PROBLEMS);
    if let Some(responses) = document.get_mut(&["components", "responses"]) {
        for (name, response) in responses.members_mut() {
            let examples = response.get_mut(&["content", "application/problem+json", "examples"]);
            if let Some(Json::Object(examples)) = examples {
                // A viewer shows the first one.
                examples.sort_by_key(|code, _| CATALOGUE.iter().position(|row| row.code.as_str() == code));
                for (code, example) in examples {
                    let problem = recorded.get_mut(&[name, code]).map(|problem| problem.clone());
                    example.set("value", problem.unwrap_or_else(|| unprovoked(code)));
                }
            }
        }
    }
}

fn add_to_operation(operation: &mut Json) {
    let id = operation.get_mut(&["operationId"]).and_then(|id| id.as_str().map(str::to_owned)).unwrap_or_default();
    for (_, media_type, text) in ANSWERS.iter().filter(|(operation, ..)| *operation == id) {
        if let Some(content) = operation.get_mut(&["responses", "200", "content", media_type]) {
            // A stream is not one JSON value; its example is its text.
            content.set("example", Json::parse(text).unwrap_or_else(|_| Json::String((*text).to_owned())));
        }
    }
    for (_, text) in REQUESTS.iter().filter(|(operation, _)| *operation == id) {
        if let Some(content) = operation.get_mut(&["requestBody", "content", "application/json"]) {
            content.set("example", parsed(text));
        }
    }
}

fn parsed(text: &str) -> Json {
    Json::parse(text).expect("a recorded example is JSON; `make openapi` records them")
}

/// Builds the example of a problem that no test can provoke.
fn unprovoked(code: &str) -> Json {
    let row = CATALOGUE.iter().find(|row| row.code.as_str() == code).expect("examples are named by codes");
    let ProblemKind { code, description, .. } = row;
    let mut problem = Problem::new(*code, *description);
    problem.request_id = Some("01M82NBR6CHAHB5EBWEBYGFJ92".to_owned());
    Json::of(&problem)
}
