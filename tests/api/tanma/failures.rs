//! What a caller is told where Tanma fails.

use super::TANMA;
use crate::support::Stage;
use crate::support::failures::{WORDS, check_reads};
use serde_json::json;

#[tokio::test]
async fn every_failure_of_a_read_is_told_for_what_it_is() {
    check_reads(TANMA).await;
}

#[tokio::test]
async fn the_codes_that_public_clients_know_have_classes_without_configuration() {
    for (code, status, problem) in
        [(1002, 502, "source_credentials"), (1003, 502, "source_credentials"), (40417, 422, "validation_failed")]
    {
        let stage = Stage::answering(TANMA, &TANMA.envelope(code, WORDS, &json!({"data": null}))).await;
        for reply in [stage.list().await, stage.detail().await] {
            let upstream = reply.problem(status, problem)["upstream"].clone();
            assert_eq!(upstream, json!({"code": code.to_string(), "message": WORDS}));
        }
    }
}
