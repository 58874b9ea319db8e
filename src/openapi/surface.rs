//! Headers and methods of the operations, taken from the document for the edge, so that the two cannot differ.

use std::collections::{BTreeSet, HashMap};

use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName};
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr};

/// Request headers that a document does not list as parameters (`OpenAPI` 3.1, "Parameter Object").
const IMPLIED: [HeaderName; 3] = [ACCEPT, AUTHORIZATION, CONTENT_TYPE];

/// The documented headers and methods.
#[derive(Debug, Clone)]
pub struct Surface {
    pub request_headers: Vec<HeaderName>,
    pub response_headers: Vec<HeaderName>,
    /// The methods of each path template, as `Allow` lists them.
    pub methods: HashMap<String, String>,
}

impl Surface {
    pub fn of(document: &OpenApi) -> Self {
        let all = document.paths.paths.values().flat_map(operations);
        let parameters = all.flat_map(|(_, operation)| operation.parameters.iter().flatten());
        let sent = parameters.filter_map(|parameter| match parameter {
            RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Header => Some(parameter.name.as_str()),
            _ => None,
        });
        let answered = document.components.iter().flat_map(|components| components.headers.keys());
        let methods = |item| operations(item).map(|(methods, _)| methods).collect::<Vec<_>>().join(", ");
        Self {
            request_headers: names(sent, IMPLIED),
            response_headers: names(answered.map(String::as_str), []),
            methods: document.paths.paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect(),
        }
    }
}

/// The operations of a path, each with the methods that reach it.
fn operations(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    let operations = [
        ("GET, HEAD", &item.get),
        ("POST", &item.post),
        ("PUT", &item.put),
        ("PATCH", &item.patch),
        ("DELETE", &item.delete),
    ];
    operations.into_iter().filter_map(|(methods, operation)| Some((methods, operation.as_ref()?)))
}

fn names<'a>(documented: impl Iterator<Item = &'a str>, more: impl IntoIterator<Item = HeaderName>) -> Vec<HeaderName> {
    let documented = documented.filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
    let distinct: BTreeSet<String> = documented.chain(more).map(|name| name.as_str().to_owned()).collect();
    distinct.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect()
}
