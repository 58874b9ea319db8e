//! Answers that are larger than they look, or hold more than they weigh.

use std::io::Write;

use flate2::write::GzEncoder;
use flate2::{Compress, Compression, FlushCompress};
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::{ALONE, Bytes, VENDORS};
use crate::support::failures::check_discretion;
use crate::support::{Behaviour, RawSource, Reply, Vendor};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzipped(bytes: &[u8]) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(gzip(bytes), "application/json").insert_header("content-encoding", "gzip")
}

/// A success of both kinds, with blanks after it.
fn padded(vendor: Vendor, length: usize) -> Vec<u8> {
    let data = match vendor {
        Vendor::Juzibot => json!([]),
        Vendor::Tanma => json!({"list": []}),
    };
    let mut body = vendor.ok(data).to_string().into_bytes();
    body.resize(length, b' ');
    body
}

#[track_caller]
fn too_large(reply: &Reply) {
    let problem = reply.problem(502, "source_bad_payload");
    assert!(problem["detail"].as_str().unwrap().ends_with("larger than max_response"), "{problem}");
}

#[tokio::test]
async fn a_compressed_answer_is_measured_as_it_is_after_decompression() {
    for vendor in VENDORS {
        let stage = Bytes::of(vendor, "max_response = \"1MiB\"").await;
        stage.answer(gzipped(&padded(vendor, 1 << 20))).await;
        stage.list().await.ok();
        stage.answer(gzipped(&padded(vendor, (1 << 20) + 1))).await;
        too_large(&stage.list().await);
        stage.answer(gzipped(&padded(vendor, 64 << 20))).await;
        too_large(&stage.list().await);
        too_large(&stage.detail().await);
        stage.gateway.stop().await;
    }
}

/// Each of its pieces becomes a megabyte, and it has no end: who wanted to have it whole would never answer.
#[tokio::test]
async fn of_a_bomb_no_more_is_taken_than_fits() {
    let begin = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    let mut again = Vec::with_capacity(1 << 20);
    let piece = vec![b' '; 1 << 20];
    Compress::new(Compression::best(), false).compress_vec(&piece, &mut again, FlushCompress::Sync).unwrap();
    assert!(again.len() < 4096, "{} bytes", again.len());
    let source = RawSource::that(Behaviour::Forever { begin, again }).await;
    for vendor in VENDORS {
        let gateway = vendor.gateway(&source.url, ALONE, "").await;
        let reply = gateway.get(vendor.list_path()).await;
        too_large(&reply);
        check_discretion("a bomb", &reply.body);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_read_to_its_end() {
    let blanks = vec![b' '; 1 << 16];
    let chunk = [b"10000\r\n", &blanks[..], b"\r\n"].concat();
    for (head, again) in
        [("", blanks), ("Transfer-Encoding: chunked\r\n", chunk), ("Content-Length: 1099511627776\r\n", Vec::new())]
    {
        let begin = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{head}\r\n").into_bytes();
        let source = match again.len() {
            // Its length alone tells: nothing is waited for.
            0 => RawSource::deciding(move |_| Behaviour::Answer(begin.clone())).await,
            _ => RawSource::that(Behaviour::Forever { begin, again }).await,
        };
        for vendor in VENDORS {
            let gateway = vendor.gateway(&source.url, &format!("{ALONE}\nmax_response = \"1MiB\""), "").await;
            too_large(&gateway.get(vendor.list_path()).await);
            too_large(&gateway.get(vendor.detail_path()).await);
            gateway.stop().await;
        }
    }
}

#[tokio::test]
async fn a_chunk_without_an_end_or_a_size_is_a_bad_payload() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let table = [
        (
            "an extension without an end",
            Behaviour::Forever { begin: format!("{head}2;").into(), again: vec![b'a'; 4096] },
        ),
        (
            "trailers without an end",
            Behaviour::Forever { begin: format!("{head}2\r\n{{}}\r\n0\r\n").into(), again: "X-T: a\r\n".into() },
        ),
        ("a size that is none", Behaviour::Answer(format!("{head}zz\r\n{{}}\r\n0\r\n\r\n").into())),
        ("a size beyond all numbers", Behaviour::Answer(format!("{head}ffffffffffffffffff\r\n{{}}").into())),
        ("a chunk that is shorter", Behaviour::Answer(format!("{head}ff\r\n{{}}").into())),
    ];
    for (what, behaviour) in table {
        let source = RawSource::that(behaviour).await;
        for vendor in VENDORS {
            let gateway = vendor.gateway(&source.url, ALONE, "").await;
            let reply = gateway.get(vendor.list_path()).await;
            assert_eq!(reply.status, 502, "{what}: {}", reply.body);
            reply.problem(502, "source_bad_payload");
            check_discretion(what, &reply.body);
            gateway.stop().await;
        }
    }
}

#[tokio::test]
async fn what_is_compressed_and_broken_or_compressed_in_another_way_is_a_bad_payload() {
    for vendor in VENDORS {
        let stage = Bytes::of(vendor, "").await;
        let whole = gzip(&padded(vendor, 10_000));
        for (encoding, body) in [
            ("gzip", whole[..whole.len() / 2].to_vec()),
            ("gzip", [&whole[..20], b"nonsense"].concat()),
            ("gzip", padded(vendor, 100)),
            ("br", whole.clone()),
            ("gzip, gzip", whole.clone()),
        ] {
            let answer = ResponseTemplate::new(200).set_body_raw(body, "application/json");
            stage.answer(answer.insert_header("content-encoding", encoding)).await;
            stage.list().await.problem(502, "source_bad_payload");
        }
        stage.gateway.stop().await;
    }
}

/// A list with this element in it so many times.
fn times(element: &str, times: usize) -> String {
    format!("[{}{element}]", format!("{element},").repeat(times - 1))
}

/// A list of so many texts that are all different.
fn texts(texts: usize) -> String {
    let texts: Vec<String> = (0..texts).map(|n| format!("\"{n}\"")).collect();
    format!("[{}]", texts.join(","))
}

fn envelope(members: &str) -> String {
    format!("{{\"code\": 0, \"errcode\": 0, {members}}}")
}

#[track_caller]
fn too_many(reply: &Reply) {
    let problem = reply.problem(502, "source_bad_payload");
    assert!(problem["detail"].as_str().unwrap().ends_with("too many rows"), "{problem}");
}

/// A list within a record that is longer is read up to its bound.
#[track_caller]
fn truncated(reply: &Reply, place: &str) {
    let warning = &reply.ok()["meta"]["warnings"][0];
    assert_eq!((&warning["code"], &warning["pointer"]), (&json!("unreadable_value"), &json!(place)));
}

#[tokio::test]
async fn lists_have_a_bound_of_elements() {
    let rows = times("{}", 10_001);
    let stage = Bytes::of(Vendor::Juzibot, "").await;
    stage.are(envelope(&format!("\"data\": {rows}"))).await;
    too_many(&stage.list().await);
    too_many(&stage.raw_list().await);
    stage.are(envelope(&format!("\"data\": [{{\"unionId\": \"o\", \"followUser\": {rows}}}]"))).await;
    truncated(&stage.list().await, "/data/0/relations");
    stage.are(envelope(&format!("\"data\": [{{\"unionId\": \"o\", \"followUser\": [{{\"tags\": {rows}}}]}}]"))).await;
    truncated(&stage.list().await, "/data/0/relations/0/tags");
    stage.are(envelope(&format!("\"fail_list\": {rows}"))).await;
    let item = json!({"staff_id": "rocky", "union_id": "o-one", "remark": "r"});
    let written = stage.gateway.post("/v1/remarks", &json!({"items": [item]})).await.ok();
    assert_eq!(written["data"]["results"][0]["status"], "unconfirmed");
    assert_eq!(written["data"]["results"][0]["problem"]["code"], "source_bad_payload");
    stage.gateway.stop().await;

    let stage = Bytes::of(Vendor::Tanma, "").await;
    stage.are(envelope(&format!("\"data\": {rows}"))).await;
    too_many(&stage.detail().await);
    stage.are(envelope(&format!("\"data\": {{\"list\": {rows}}}"))).await;
    too_many(&stage.list().await);
    too_many(&stage.raw_list().await);
    stage.are(envelope(&format!("\"data\": {{\"list\": [{{\"customerId\": 1, \"fields\": {rows}}}]}}"))).await;
    truncated(&stage.list().await, "/data/0/records/0/attributes");
    stage.gateway.stop().await;
}

/// Rows like a vendor's, each with so many relations of so many tags.
fn full_rows(rows: usize, relations: usize, tags: usize) -> Value {
    let tag =
        |n: usize| json!({"groupName": "group", "tagName": format!("tag {n}"), "type": "1", "tagId": format!("et{n}")});
    let tags: Vec<Value> = (0..tags).map(tag).collect();
    let relation = |n: usize| {
        json!({"userId": format!("staff-{n}"), "name": "n", "avatar": null, "remark": "r", "createTimestamp": 1_604_048_292_000_u64,
               "state": null, "remarkMobiles": [], "tags": tags})
    };
    let relations: Vec<Value> = (0..relations).map(relation).collect();
    let row = |n: usize| {
        json!({"externalUserId": format!("wm-{n}"), "unionId": "o", "name": "n", "avatar": null, "gender": 1, "type": 1,
               "followUser": relations})
    };
    (0..rows).map(row).collect()
}

#[tokio::test]
async fn the_largest_page_is_read_whole_and_one_of_a_million_values_is_not() {
    // One caller's share holds them: their number is the limit here.
    let stage = Bytes::with_memory(Vendor::Juzibot, "", "8GiB").await;
    // Of the most rows that are asked for, each with more than anybody has.
    stage.are(Vendor::Juzibot.ok(full_rows(1_000, 10, 5)).to_string()).await;
    let page = stage.gateway.get("/v1/customers?source=juzibot&limit=1000").await.ok();
    assert_eq!(page["data"].as_array().unwrap().len(), 1_000);
    // No list is too long, and all of it is small enough.
    let relations = times("{}", 10_000);
    let rows = times(&format!("{{\"followUser\": {relations}}}"), 100);
    for body in [
        envelope(&format!("\"data\": {rows}")),
        envelope(&format!("\"data\": [], \"unknown\": {}", times("{\"a\": 1}", 500_000))),
    ] {
        stage.are(body).await;
        for reply in [stage.list().await, stage.raw_list().await, stage.detail().await] {
            let problem = reply.problem(502, "source_bad_payload");
            assert!(problem["detail"].as_str().unwrap().ends_with("too many values"), "{problem}");
        }
    }
    // What a status says is not lost by that.
    let body = format!("<html>{}</html>", ",".repeat(1_000_000));
    for (status, answered, code) in [(401, 502, "source_credentials"), (500, 503, "source_unavailable")] {
        stage.answer(ResponseTemplate::new(status).set_body_raw(body.clone(), "text/html")).await;
        stage.list().await.problem(answered, code);
    }
    stage.gateway.stop().await;
}

#[tokio::test]
async fn page_larger_than_a_share_is_refused_for_its_memory() {
    let stage = Bytes::of(Vendor::Juzibot, "").await;
    stage.are(envelope(&format!("\"data\": [], \"unknown\": {}", times("{\"a\": 1}", 200_000)))).await;
    stage.list().await.ok();
    let problem = stage.raw_list().await.problem(502, "source_bad_payload");
    assert!(
        problem["detail"].as_str().unwrap().ends_with("it needs more memory than one request may use"),
        "{problem}"
    );
    stage.gateway.stop().await;
}

#[tokio::test]
async fn a_list_within_a_text_has_its_bound_too() {
    let stage = Bytes::of(Vendor::Tanma, "").await;
    let field = |text: &str| json!({"field": "mobile", "type": 8, "valueAsText": text});
    let page = |text: &str| json!({"code": 0, "data": {"list": [{"customerId": 1, "qwUserId": "dowen", "fields": [field(text)]}]}});
    stage.are(page(&texts(10_000)).to_string()).await;
    let body = stage.list().await.ok();
    assert_eq!(body["data"][0]["mobiles"].as_array().unwrap().len(), 10_000);
    stage.are(page(&texts(10_001)).to_string()).await;
    let body = stage.list().await.ok();
    assert_eq!(body["data"][0]["mobiles"], json!([]));
    assert_eq!(body["meta"]["warnings"][0]["code"], "unreadable_value");
    stage.gateway.stop().await;
}

#[tokio::test]
async fn more_rows_than_were_asked_for_are_given_out_page_by_page() {
    let row = |n: usize| json!({"externalUserId": format!("wm-{n}")});
    let rows: Vec<Value> = (0..10_000).map(row).collect();
    let stage = Bytes::of(Vendor::Juzibot, "").await;
    stage.are(Vendor::Juzibot.envelope(0, "ok", &json!({"data": rows, "total": 10_000})).to_string()).await;
    let page = stage.list().await.ok();
    assert_eq!(page["data"].as_array().unwrap().len(), 100);
    let cursor = page["page"]["next_cursor"].as_str().unwrap();
    let page = stage.gateway.get(&format!("{}&cursor={cursor}", Vendor::Juzibot.list_path())).await.ok();
    assert_eq!(page["data"][0]["external_user_id"], "wm-100");
    stage.gateway.stop().await;
}

#[tokio::test]
async fn source_cursor_has_a_bound() {
    let stage = Bytes::of(Vendor::Tanma, "").await;
    let page = |cursor: &str| Vendor::Tanma.ok(json!({"list": [], "nextCursor": cursor})).to_string();
    // In ours it stands as JSON, which takes six bytes for some characters and two for others.
    for (text, most) in [("c", 1_024), ("\u{1}", 170), ("\"", 512), ("长", 341)] {
        for times in [most + 1, 1 << 20] {
            stage.are(page(&text.repeat(times))).await;
            let problem = stage.list().await.problem(502, "source_bad_data");
            assert!(problem["detail"].as_str().unwrap().ends_with("data.nextCursor is too long"), "{problem}");
        }
        stage.are(page(&text.repeat(most))).await;
        let ours = stage.list().await.ok()["page"]["next_cursor"].as_str().unwrap().to_owned();
        stage.are(page("another")).await;
        stage.gateway.get(&format!("{}&cursor={ours}", Vendor::Tanma.list_path())).await.ok();
    }
    stage.gateway.stop().await;
}
