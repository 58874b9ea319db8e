//! The examples of the document are answers that the service gave here, to the last field.
//!
//! `make openapi` records them; every other run compares. What is different each time stands in them as a fixed value:
//! see [`normal`].

mod problems;

use std::path::{Path, PathBuf};

use scrm_gateway::{openapi, sandbox};
use serde_json::{Value, json};

use crate::support::{Gateway, GatewayOptions};

/// Set where the files are to be written rather than compared.
const RECORD: &str = "RECORD_EXAMPLES";

/// Takes what is different each time out of an answer: the request's id, cursors, and the times at which this process
/// did something. All else is of the simulated sources, which say the same from the same seed.
fn normal(mut answer: Value) -> Value {
    match &mut answer {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                let fixed = match name.as_str() {
                    "request_id" => "01M82NBR6CHAHB5EBWEBYGFJ92",
                    "next_cursor" | "resume_cursor" => "AXJ0a3Vyc29yLXNlYWxlZC1ieS10aGUtZ2F0ZXdheQ",
                    "fetched_at" | "last_success_at" | "at" => "2026-11-22T13:00:00Z",
                    _ => {
                        *value = normal(value.take());
                        continue;
                    }
                };
                if !value.is_null() {
                    *value = fixed.into();
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| *value = normal(value.take())),
        _ => {}
    }
    answer
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/examples")
}

/// Records an example, or holds what was recorded against it.
#[track_caller]
fn example(name: &str, text: &str) {
    assert!(!text.contains("127.0.0.1"), "{name} tells of this run: {text}");
    let path = folder().join(name);
    if std::env::var_os(RECORD).is_some() {
        return std::fs::write(path, text).unwrap();
    }
    let recorded = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        text, recorded,
        "openapi/examples/{name} is not what the service says: run `make openapi` and commit it"
    );
}

#[track_caller]
fn json_example(name: &str, answer: Value) {
    example(name, &format!("{:#}\n", normal(answer)));
}

#[test]
fn what_is_different_each_time_is_taken_out() {
    let answer = json!({
        "request_id": "01J", "fetched_at": null, "next_cursor": null, "name": "at",
        "deep": [{"at": "now", "resume_cursor": "AQ", "request_id": "x"}],
    });
    let expected = json!({
        "request_id": "01M82NBR6CHAHB5EBWEBYGFJ92", "fetched_at": null, "next_cursor": null, "name": "at",
        "deep": [{
            "at": "2026-11-22T13:00:00Z",
            "resume_cursor": "AXJ0a3Vyc29yLXNlYWxlZC1ieS10aGUtZ2F0ZXdheQ",
            "request_id": "01M82NBR6CHAHB5EBWEBYGFJ92",
        }],
    });
    assert_eq!(normal(answer), expected);
}

#[test]
fn every_file_of_the_folder_is_in_the_document() {
    let source = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/openapi/examples.rs")).unwrap();
    for file in std::fs::read_dir(folder()).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(source.contains(&format!("recorded!(\"{name}\")")), "{name}");
    }
}

/// Quotas as a service has them.
fn usual() -> GatewayOptions {
    GatewayOptions { rate_limit: String::new(), ..GatewayOptions::default() }
}

#[tokio::test]
async fn the_examples_of_reads_are_answers() {
    let gateway = Gateway::with(usual()).await;
    json_example("me.json", gateway.get("/v1/me").await.ok());
    let featured = gateway.sandbox.state().people().featured();
    let example =
        openapi::to_json(&openapi::spec(None)).contains(&format!("\"example\": \"{}\"", featured.external_user_id));
    assert!(example, "the example of the id is of the customer whom the demo knows: {}", featured.external_user_id);
    json_example("customer.json", gateway.get(&format!("/v1/customers/{}", featured.external_user_id)).await.ok());
    json_example("customers.json", gateway.get("/v1/customers?source=juzibot&limit=2").await.ok());
    json_example("sources.json", gateway.get("/v1/sources").await.ok());
    json_example("errors.json", gateway.get_with("/v1/errors", &[("authorization", "")]).await.ok());
    gateway.stop().await;
}

#[tokio::test]
async fn the_example_of_a_stream_is_one() {
    let mut options = usual();
    // The first of the usual ones; one of them is of Tanma alone.
    options.sandbox = sandbox::Options { customers: 3, ..options.sandbox };
    let gateway = Gateway::with(options).await;
    let stream = gateway.get_with("/v1/customers?source=juzibot", &[("accept", "application/x-ndjson")]).await;
    assert_eq!(stream.status, 200);
    let lines = stream.body.lines().map(|line| normal(serde_json::from_str(line).unwrap()));
    example("customers.ndjson", &lines.map(|line| format!("{line}\n")).collect::<Vec<_>>().concat());
    gateway.stop().await;
}

#[tokio::test]
async fn the_examples_of_writes_are_requests_and_their_answers() {
    let gateway = Gateway::with(usual()).await;
    let featured = gateway.sandbox.state().people().featured();
    let (staff_id, union_id) = (featured.juzibot_staff[0], featured.union_id);
    let remarks = json!({"items": [
        {"staff_id": staff_id, "union_id": union_id, "remark": "罗总", "description": "met at the fair"},
        {"staff_id": staff_id, "union_id": "ozNobodyKnowsThisCustomer000", "remark": "who?"},
    ]});
    let follow_ups = json!({"items": [{
        "staff_id": staff_id, "union_id": union_id,
        "content": "asked for the price list", "occurred_at": "2026-11-22T13:00:00+08:00",
    }]});
    for (name, body) in [("remarks", remarks), ("follow-ups", follow_ups)] {
        json_example(&format!("{name}.request.json"), body.clone());
        // As a viewer sends it, with the example of `source`.
        json_example(&format!("{name}.json"), gateway.post(&format!("/v1/{name}?source=juzibot"), &body).await.ok());
    }
    gateway.stop().await;
}
