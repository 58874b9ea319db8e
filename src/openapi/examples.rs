//! The examples of the document: real answers, which `tests/api/examples` records and holds against the service.

use std::collections::BTreeSet;

use serde_json::Value;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::{OpenApi, RefOr};

use crate::model::{CATALOGUE, Problem, ProblemKind};

/// A file of `openapi/examples`.
macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../../openapi/examples/", $name))
    };
}

/// The success of each operation, by its media type.
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

/// The bodies that two of them answer.
const REQUESTS: [(&str, &str); 2] =
    [("setRemarks", recorded!("remarks.request.json")), ("addFollowUps", recorded!("follow-ups.request.json"))];

/// Every problem that can be provoked.
const PROBLEMS: &str = recorded!("problems.json");

/// Adds the examples to the operations, and those that several operations refer to.
pub(super) fn add_to(document: &mut OpenApi) {
    let items = document.paths.paths.values_mut();
    let operations = items.flat_map(|item| [&mut item.get, &mut item.post]).flatten();
    let mut statuses = BTreeSet::new();
    for operation in operations {
        statuses.extend(operation.responses.responses.keys().cloned());
        let id = operation.operation_id.clone().unwrap_or_default();
        for (_, media_type, text) in ANSWERS.iter().filter(|(operation, ..)| *operation == id) {
            if let Some(RefOr::T(response)) = operation.responses.responses.get_mut("200")
                && let Some(RefOr::T(content)) = response.content.get_mut(*media_type)
            {
                // A stream is no JSON value; its example is its text.
                content.example = Some(serde_json::from_str(text).unwrap_or_else(|_| Value::from(*text)));
            }
        }
        for (_, text) in REQUESTS.iter().filter(|(operation, _)| *operation == id) {
            if let Some(RefOr::T(body)) = &mut operation.request_body
                && let Some(RefOr::T(content)) = body.content.get_mut("application/json")
            {
                content.example = Some(json(text));
            }
        }
    }
    let recorded = json(PROBLEMS);
    let components = document.components.get_or_insert_default();
    for row in CATALOGUE.iter().filter(|row| statuses.contains(&row.status.to_string())) {
        let code = row.code.as_str();
        let problem = recorded.get(code).cloned().unwrap_or_else(|| unprovoked(row));
        let example = ExampleBuilder::new().summary(row.title).value(Some(problem)).build();
        components.examples.insert(code.to_owned(), RefOr::T(example));
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("a recorded example is JSON; `make openapi` records them")
}

/// A problem that is not recorded, as a caller would see it: a fault of ours, which nobody can provoke.
fn unprovoked(row: &ProblemKind) -> Value {
    let mut problem = Problem::new(row.code, row.description);
    problem.request_id = Some("01M82NBR6CHAHB5EBWEBYGFJ92".to_owned());
    serde_json::to_value(&problem).expect("a problem has a JSON form")
}
