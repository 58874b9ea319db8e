//! The examples of the document are answers that the service gave here, to the last field.
//!
//! `make openapi` records them; every other run compares. What is different each time stands in them as a fixed value:
//! see [`normal`].

mod problems;

use std::path::{Path, PathBuf};

use reqwest::Method;
use scrm_gateway::model::{FollowUp, FollowUpBatch, Remark, RemarkBatch};
use scrm_gateway::openapi::Json;
use scrm_gateway::{openapi, sandbox};
use serde_json::json;

use crate::support::{Gateway, GatewayOptions, Reply};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Set where the files are to be written rather than compared.
const RECORD: &str = "RECORD_EXAMPLES";

/// Replaces the values that differ between runs: the request's id, cursors, and times at which this process did something.
/// All others are of the simulated sources, which send the same data from the same seed.
fn normal(answer: Json) -> Json {
    match answer {
        Json::Object(members) => {
            let members = members.into_iter().map(|(name, value)| {
                let fixed = match name.as_str() {
                    "request_id" => "01M82NBR6CHAHB5EBWEBYGFJ92",
                    "next_cursor" | "resume_cursor" => "AXJ0a3Vyc29yLXNlYWxlZC1ieS10aGUtZ2F0ZXdheQ",
                    "fetched_at" | "last_success_at" | "at" => "2026-11-22T13:00:00Z",
                    _ => return (name, normal(value)),
                };
                let value = if value == Json::Null { value } else { Json::String(fixed.to_owned()) };
                (name, value)
            });
            Json::Object(members.collect())
        }
        Json::Array(values) => Json::Array(values.into_iter().map(normal).collect()),
        other => other,
    }
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

/// Records or compares a JSON text, whose members keep their order.
#[track_caller]
fn json_example(name: &str, text: &str) {
    let answer = normal(Json::parse(text).unwrap());
    example(name, &format!("{}\n", serde_json::to_string_pretty(&answer).unwrap()));
}

/// The body of a success.
#[track_caller]
fn success(reply: &Reply) -> &str {
    assert_eq!(reply.status, 200, "{}", reply.body);
    &reply.body
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
    assert_eq!(normal(Json::of(&answer)), Json::of(&expected));
}

#[test]
fn every_file_of_the_folder_is_in_the_document() {
    let source = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/openapi/examples.rs")).unwrap();
    for file in std::fs::read_dir(folder()).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(source.contains(&format!("recorded!(\"{name}\")")), "{name}");
    }
}

async fn post(gateway: &Gateway, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    gateway.send(Method::POST, path, headers, Some(body.as_bytes().to_vec())).await
}

/// Quotas as a service has them.
fn usual() -> GatewayOptions {
    GatewayOptions { rate_limit: String::new(), ..GatewayOptions::default() }
}

#[tokio::test]
async fn the_examples_of_reads_are_answers() {
    let gateway = Gateway::with(usual()).await;
    json_example("me.json", success(&gateway.get("/v1/me").await));
    let featured = gateway.sandbox.state().people().featured();
    let example =
        openapi::to_json(&openapi::spec(None)).contains(&format!("\"example\": \"{}\"", featured.external_user_id));
    assert!(example, "the example of the id is of the customer whom the demo knows: {}", featured.external_user_id);
    let customer = gateway.get(&format!("/v1/customers/{}", featured.external_user_id)).await;
    json_example("customer.json", success(&customer));
    json_example("customers.json", success(&gateway.get("/v1/customers?source=juzibot&limit=2").await));
    json_example("sources.json", success(&gateway.get("/v1/sources").await));
    json_example("errors.json", success(&gateway.get_with("/v1/errors", &[("authorization", "")]).await));
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
    let lines = stream.body.lines().map(|line| serde_json::to_string(&normal(Json::parse(line).unwrap())).unwrap());
    example("customers.ndjson", &lines.map(|line| format!("{line}\n")).collect::<Vec<_>>().concat());
    gateway.stop().await;
}

#[tokio::test]
async fn the_examples_of_writes_are_requests_and_their_answers() {
    let gateway = Gateway::with(usual()).await;
    let featured = gateway.sandbox.state().people().featured();
    let (staff_id, union_id) = (featured.juzibot_staff[0].to_owned(), featured.union_id);
    let remark = |union_id: &str, remark: &str, description: Option<&str>| Remark {
        staff_id: staff_id.clone(),
        union_id: union_id.to_owned(),
        remark: Some(remark.to_owned()),
        description: description.map(str::to_owned),
    };
    let remarks = RemarkBatch {
        items: vec![
            remark(&union_id, "罗总", Some("met at the fair")),
            remark("ozNobodyKnowsThisCustomer000", "who?", None),
        ],
    };
    let note = FollowUp {
        staff_id: staff_id.clone(),
        union_id: union_id.clone(),
        content: "asked for the price list".to_owned(),
        occurred_at: Some("2026-11-22T05:00:00Z".parse().unwrap()),
    };
    let follow_ups = FollowUpBatch { items: vec![note] };
    let bodies = [("remarks", Json::of(&remarks)), ("follow-ups", Json::of(&follow_ups))];
    for (name, body) in bodies {
        let body = serde_json::to_string(&body).unwrap();
        json_example(&format!("{name}.request.json"), &body);
        // As a viewer sends it, with the example of `source`.
        let path = format!("/v1/{name}?source=juzibot");
        json_example(&format!("{name}.json"), success(&post(&gateway, &path, &[JSON], &body).await));
    }
    gateway.stop().await;
}
