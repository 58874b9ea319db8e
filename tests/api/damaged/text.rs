//! Invalid text is repaired, with one warning a record.

use serde_json::{Value, json};

use super::{Damaged, JUZIBOT, TANMA, case, expected, warnings};

/// A page of three rows whose second name is given as bytes.
fn page(name: &[u8]) -> Vec<u8> {
    let (begin, end) = (
        br#"{"errcode": 0, "data": [{"externalUserId": "wm1"}, {"externalUserId": "wm2", "name": ""#,
        br#""}, {"externalUserId": "wm3"}]}"#,
    );
    [begin, name, end].concat()
}

#[tokio::test]
async fn byte_order_mark_is_ignored() {
    let answer = Damaged::answering(JUZIBOT, case("juzibot-list-bom.json")).await.list().await.ok();
    let names: Vec<_> = answer["data"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
    assert_eq!((names, warnings(&answer)), (vec![json!("丙"), json!("戊"), json!("丁")], Vec::new()));
}

#[tokio::test]
async fn control_character_costs_no_row() {
    let answer = Damaged::answering(JUZIBOT, case("juzibot-list-control-char.json")).await.list().await.ok();
    let names: Vec<_> = answer["data"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
    let sent = String::from_utf8(case("juzibot-list-control-char.json")).unwrap();
    let control = sent.chars().find(|c| c.is_control() && *c != '\n').unwrap();
    assert_eq!(names[0], "丙");
    assert!(names[1].as_str().unwrap().contains(control), "{names:?}");
    assert_eq!(names[2], "丁");
    assert_eq!(warnings(&answer), expected(&[("repaired_text", "/data/1")]));
}

#[tokio::test]
async fn unpaired_surrogate_becomes_replacement_character() {
    let stage = Damaged::answering(JUZIBOT, case("juzibot-list-lone-surrogate.json")).await;
    let answer = stage.list().await.ok();
    assert_eq!(answer["data"][1]["name"], "花\u{fffd}");
    assert_eq!(answer["data"][2]["name"], "丁");
    assert_eq!(warnings(&answer), expected(&[("repaired_text", "/data/1")]));
    let lines = stage.stream().await;
    assert_eq!(lines[1]["name"], "花\u{fffd}");
    assert_eq!((&lines[3]["end"]["count"], &lines[3]["end"]["skipped"]), (&json!(3), &json!(0)));
    assert_eq!(lines[3]["end"]["warnings"][0]["pointer"], "/1");
    // The raw form is repaired too.
    let path = format!("{}&include=raw", JUZIBOT.list_path());
    let raw = stage.gateway.get(&path).await.ok();
    assert_eq!(raw["data"][1]["records"][0]["raw"]["name"], "花\u{fffd}");
}

#[tokio::test]
async fn invalid_utf8_is_repaired() {
    for (sent, read) in [
        (&b"a\xf0\x9f\x98"[..], "a\u{fffd}"),
        (b"\xff", "\u{fffd}"),
        (b"\xed\xa0\xbd\xed\xb8\x80", "😀"),
        (b"\xed\xa0\xbd", "\u{fffd}"),
        (b"tab\there\x00", "tab\there\u{0}"),
        (br"C:\path", r"C:\path"),
    ] {
        let answer = Damaged::answering(JUZIBOT, page(sent)).await.list().await.ok();
        assert_eq!(answer["data"][1]["name"], read);
        assert_eq!(answer["data"].as_array().unwrap().len(), 3);
        assert_eq!(warnings(&answer), expected(&[("repaired_text", "/data/1")]), "{sent:?}");
    }
}

#[tokio::test]
async fn record_with_several_repairs_has_one_warning() {
    let row = br#"{"externalUserId": "wm1", "name": "a\ud83d", "followUser": [{"userId": "r", "remark": "b"#;
    let body = [b"{\"errcode\": 0, \"data\": ", &row[..], b"\x01\xf0\x9f\"}]}}"].concat();
    let answer = Damaged::answering(JUZIBOT, body).await.detail("wm1").await.ok();
    assert_eq!(answer["data"]["name"], "a\u{fffd}");
    assert_eq!(answer["data"]["relations"][0]["remark"], "b\u{1}\u{fffd}");
    assert_eq!(warnings(&answer), expected(&[("repaired_text", "/data")]));
}

#[tokio::test]
async fn other_encoding_is_refused() {
    // 好, 甲, 乙 and 张三 as GBK encodes them.
    let body = b"{\"errcode\": 0, \"data\": {\"externalUserId\": \"wm9\", \"name\": \"\xba\xc3\", \"followUser\": [{\"name\": \"\xbc\xd7\", \"remark\": \"\xd2\xd2\xd5\xc5\xc8\xfd\"}]}}";
    let stage = Damaged::answering(JUZIBOT, body.to_vec()).await;
    let problem = stage.detail("wm9").await.problem(502, "source_bad_payload");
    assert_eq!(problem["retryable"], true);
    let utf_16: Vec<u8> = "{\"errcode\": 0}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    stage.now_answer(utf_16).await;
    stage.detail("wm9").await.problem(502, "source_bad_payload");
}

#[tokio::test]
async fn vendor_message_is_repaired_silently() {
    for message in [&br"busy \ud83d"[..], b"busy \xf0\x9f"] {
        let body = [b"{\"errcode\": 99999, \"errmsg\": \"", message, b"\"}"].concat();
        let problem = Damaged::answering(JUZIBOT, body).await.list().await.problem(502, "source_rejected");
        assert_eq!(problem["upstream"], json!({"code": "99999", "message": "busy \u{fffd}"}));
    }
}

#[tokio::test]
async fn number_beyond_doubles_is_unreadable_in_its_row() {
    for number in ["1e400", "NaN", "-Infinity"] {
        let body = format!(
            r#"{{"errcode": 0, "data": [{{"externalUserId": "wm1", "type": {number}}}, {{"externalUserId": "wm2"}}]}}"#
        );
        let answer = Damaged::answering(JUZIBOT, body).await.list().await.ok();
        assert_eq!(answer["data"].as_array().unwrap().len(), 2, "{number}");
        assert_eq!(answer["data"][0]["records"][0]["type_code"], Value::Null, "{number}");
    }
}

#[tokio::test]
async fn row_with_a_key_twice_is_read() {
    let body =
        r#"{"code": 0, "data": {"list": [{"customerId": 1, "qwRemark": "a", "qwRemark": "b"}, {"customerId": 2}]}}"#;
    let answer = Damaged::answering(TANMA, body).await.list().await.ok();
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
    assert_eq!(answer["data"][0]["relations"][0]["remark"], "b");
}

#[tokio::test]
async fn json_inside_text_is_repaired() {
    let rows = json!("[{\"externalUserId\": \"wm1\", \"name\": \"a\u{1}\"}]");
    let answer = Damaged::answering(JUZIBOT, JUZIBOT.ok(rows).to_string()).await.list().await.ok();
    assert_eq!(
        (&answer["data"][0]["name"], warnings(&answer)),
        (&json!("a\u{1}"), expected(&[("repaired_text", "/data/0")]))
    );
    let row = json!({"externalUserId": "wm1", "followUser": "[{\"userId\": \"a\u{1}\"}]"});
    let answer = Damaged::answering(JUZIBOT, JUZIBOT.ok([row]).to_string()).await.list().await.ok();
    assert_eq!(answer["data"][0]["relations"][0]["staff_id"], "a\u{1}");
}

#[tokio::test]
async fn raw_detail_that_needs_repair_has_a_warning() {
    let body = r#"{"errcode": 0, "data": {"externalUserId": "wm1", "corp": "x\ud83d"}}"#;
    let stage = Damaged::answering(JUZIBOT, body).await;
    assert_eq!(warnings(&stage.detail("wm1").await.ok()), [], "nobody reads the field");
    let raw = stage.gateway.get("/v1/customers/wm1?source=juzibot&include=raw").await.ok();
    assert_eq!(raw["data"]["records"][0]["raw"]["corp"], "x\u{fffd}");
    assert_eq!(warnings(&raw), expected(&[("repaired_text", "/data")]));
}

#[tokio::test]
async fn truncated_answer_is_not_repaired() {
    let body = case("juzibot-list-control-char.json");
    let stage = Damaged::answering(JUZIBOT, &body[..body.len() - 5]).await;
    stage.list().await.problem(502, "source_bad_payload");
}
