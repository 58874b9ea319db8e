//! Every schema and every property has a description.

use serde_json::Value;

use super::{document, is_said};

#[test]
fn schemas_and_properties_are_described() {
    let document = document();
    let mut missing = Vec::new();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        if !is_said(&schema["description"]) {
            missing.push(name.clone());
        }
        for (property, of) in schema["properties"].as_object().into_iter().flatten() {
            if !is_said(&of["description"]) {
                missing.push(format!("{name}.{property}"));
            }
        }
        // An object inside a property has properties that the loop above does not see.
        let properties = schema["properties"].as_object().into_iter().flatten();
        let nested = properties.filter(|(_, of)| of["properties"].is_object() || of["items"]["properties"].is_object());
        missing.extend(nested.map(|(property, _)| format!("{name}.{property}: make its object a schema of its own")));
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn customer_answers_use_the_source_record_schema() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["Customer"]["properties"]["records"]["items"]["$ref"], "#/components/schemas/SourceRecord");
    // TypeScript has a `Record` of its own.
    assert_eq!(schemas["Record"], Value::Null);
}
