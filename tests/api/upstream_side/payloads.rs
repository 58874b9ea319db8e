//! JSON at the edges of what JSON is. Each answer is read, or is a bad payload: never a fault of ours.

use serde_json::json;

use super::{Bytes, VENDORS};
use crate::support::failures::check_discretion;
use crate::support::{APP_KEY, JUZIBOT_TOKEN, Reply, Vendor};

/// Far deeper than any stack that reads it by calling itself.
const DEEP: usize = 50_000;

fn nested(open: &str, close: &str) -> String {
    format!("{}0{}", open.repeat(DEEP), close.repeat(DEEP))
}

/// Arrays, and arrays of more than one element.
fn deep_lists() -> [String; 2] {
    [nested("[", "]"), nested("[0,", "]")]
}

/// What is nested deeply in every way.
fn depths() -> [String; 3] {
    let [one, two] = deep_lists();
    [one, two, nested("{\"a\":", "}")]
}

/// Members of a customer: a text, a number, a list, and one that nobody knows.
struct Places {
    text: &'static str,
    number: &'static str,
    list: &'static str,
    unknown: &'static str,
}

fn places(vendor: Vendor) -> Places {
    match vendor {
        Vendor::Juzibot => Places { text: "name", number: "gender", list: "followUser", unknown: "corp" },
        Vendor::Tanma => Places { text: "wechatNickname", number: "customerId", list: "tagIds", unknown: "corp" },
    }
}

/// One row of a list with this member.
fn page(vendor: Vendor, member: &str, json: &str) -> Vec<u8> {
    let row = format!("{{\"qwUserId\": \"dowen\", \"externalUserId\": \"wm-one\", \"{member}\": {json}}}");
    let data = match vendor {
        Vendor::Juzibot => format!("[{row}]"),
        Vendor::Tanma => format!("{{\"list\": [{row}]}}"),
    };
    envelope(&format!("\"data\": {data}"))
}

fn envelope(members: &str) -> Vec<u8> {
    format!("{{\"code\": 0, \"errcode\": 0, {members}}}").into_bytes()
}

#[track_caller]
fn bad(reply: &Reply, what: &str) {
    assert_eq!(reply.status, 502, "{what}: {}", reply.body);
    reply.problem(502, "source_bad_payload");
    check_discretion(what, &reply.body);
}

/// The one row of the page, whose damaged field is null, empty or absent with a warning.
#[track_caller]
fn row_with_warning(reply: &Reply, what: &str) {
    let body = reply.ok();
    assert_eq!(body["data"].as_array().unwrap().len(), 1, "{what}: {body}");
    assert_eq!(body["meta"]["warnings"][0]["code"], "unreadable_value", "{what}: {body}");
    check_discretion(what, &body["meta"].to_string());
}

#[tokio::test]
async fn depth_costs_the_field_or_the_row() {
    for vendor in VENDORS {
        let stage = Bytes::of(vendor, "").await;
        let places = places(vendor);
        for deep in depths() {
            // An object may be the only element of a list.
            let list = (!deep.starts_with('{')).then_some(places.list);
            for member in [places.text, places.number].into_iter().chain(list) {
                stage.are(page(vendor, member, &deep)).await;
                row_with_warning(&stage.list().await, member);
            }
            for member in ["errcode", "code"] {
                stage.are(format!("{{\"{member}\": {deep}}}")).await;
                bad(&stage.list().await, member);
            }
            stage.are(deep).await;
            bad(&stage.list().await, "the whole");
        }
        for deep in deep_lists() {
            stage.are(envelope(&format!("\"data\": {deep}"))).await;
            let detail = stage.detail().await;
            detail.problem(502, "source_bad_data");
            check_discretion("data of a detail", &detail.body);
        }
        stage.gateway.stop().await;
    }
}

#[tokio::test]
async fn depth_in_an_unknown_field_costs_the_raw_form_alone() {
    for vendor in VENDORS {
        let stage = Bytes::of(vendor, "").await;
        for deep in depths() {
            let body = String::from_utf8(page(vendor, places(vendor).unknown, &deep)).unwrap();
            stage.are(body.clone()).await;
            stage.list().await.ok();
            let raw = stage.raw_list().await.ok();
            assert_eq!(raw["data"][0]["records"][0]["raw"], json!(null));
            assert_eq!(raw["meta"]["warnings"][0]["pointer"], "/data/0/records/0/raw");
            // Only a text is a message, and only writes have a list of failures.
            let rest = body.strip_prefix('{').unwrap();
            for member in ["errmsg", "message", "fail_list"] {
                stage.are(format!("{{\"{member}\": {deep}, {rest}")).await;
                stage.list().await.ok();
            }
        }
        stage.gateway.stop().await;
    }
}

#[tokio::test]
async fn depth_without_a_way_back_is_a_bad_payload_everywhere() {
    for vendor in VENDORS {
        let stage = Bytes::of(vendor, "").await;
        for open in ["[", "{\"a\":", "[{\"a\":"] {
            let open = open.repeat(DEEP);
            for member in ["data", "message", "total", "nobody"] {
                stage.are(format!("{{\"code\": 0, \"{member}\": {open}")).await;
                bad(&stage.list().await, member);
            }
        }
        stage.gateway.stop().await;
    }
}

#[tokio::test]
async fn depth_within_a_text_is_a_text() {
    let stage = Bytes::of(Vendor::Tanma, "").await;
    for deep in depths() {
        let fields = json!([
            {"field": "mobile", "type": 8, "valueAsText": deep},
            {"field": "tags", "type": 6, "valueAsText": deep},
            {"field": "note", "type": 1, "valueAsText": deep},
        ]);
        stage.are(page(Vendor::Tanma, "fields", &fields.to_string())).await;
        let body = stage.list().await.ok();
        let attributes = &body["data"][0]["records"][0]["attributes"];
        assert_eq!(attributes["note"]["value"], deep);
        assert_eq!(attributes["tags"]["value"], json!([deep]));
        if deep.starts_with('[') {
            assert_eq!(body["data"][0]["mobiles"], json!([]));
            assert_eq!(body["meta"]["warnings"][0]["pointer"], "/data/0/records/0/attributes/mobile/value");
        }
    }
    stage.gateway.stop().await;
}

#[tokio::test]
async fn number_that_fits_nowhere_costs_its_field() {
    let huge = "9".repeat(1 << 16);
    let ten_to_thirty = format!("1{}", "0".repeat(30));
    for vendor in VENDORS {
        let stage = Bytes::of(vendor, "").await;
        let places = places(vendor);
        for number in ["1e30", "-1e300", &ten_to_thirty] {
            stage.are(page(vendor, places.number, number)).await;
            row_with_warning(&stage.list().await, number);
        }
        for number in ["1e400", &huge] {
            stage.are(page(vendor, places.number, number)).await;
            let body = stage.list().await.ok();
            assert_eq!(body["data"].as_array().unwrap().len(), 1);
            let codes: Vec<_> =
                body["meta"]["warnings"].as_array().unwrap().iter().map(|warning| &warning["code"]).collect();
            assert!(codes.contains(&&json!("repaired_text")), "{codes:?}");
            stage.are(page(vendor, places.unknown, number)).await;
            assert_eq!(stage.list().await.ok()["meta"]["warnings"], json!([]), "nobody reads it");
        }
        for member in ["errcode", "code"] {
            for number in ["1e30", "0.1", &ten_to_thirty] {
                stage.are(format!("{{\"{member}\": {number}}}")).await;
                bad(&stage.list().await, number);
            }
            let data = if vendor == Vendor::Tanma { "{\"list\": []}" } else { "[]" };
            stage.are(format!("{{\"{member}\": -0.0, \"data\": {data}}}")).await;
            stage.list().await.ok();
        }
        // An id that is a text may be a number of any length.
        stage
            .are(page(
                vendor,
                if vendor == Vendor::Tanma { "customerId" } else { "unionId" },
                &format!("\"{ten_to_thirty}\""),
            ))
            .await;
        let customer = stage.list().await.ok()["data"][0].clone();
        let id = if vendor == Vendor::Tanma { &customer["records"][0]["id"] } else { &customer["union_id"] };
        assert_eq!(*id, ten_to_thirty);
        stage.gateway.stop().await;
    }
}

#[tokio::test]
async fn half_a_character_is_repaired_where_it_is_read() {
    for vendor in VENDORS {
        let stage = Bytes::of(vendor, "").await;
        let places = places(vendor);
        for half in [r#""\ud800""#, r#""\udc00""#, r#""a\ud83dz""#, r#""\ud83d\ud83d""#, r#""\u12""#] {
            stage.are(page(vendor, places.text, half)).await;
            assert_eq!(stage.list().await.ok()["meta"]["warnings"][0]["code"], "repaired_text", "{half}");
        }
        stage.are(page(vendor, places.unknown, r#""\ud800""#)).await;
        assert_eq!(stage.list().await.ok()["meta"]["warnings"], json!([]), "nobody reads it");
        assert_eq!(stage.raw_list().await.ok()["data"][0]["records"][0]["raw"][places.unknown], "\u{fffd}");
        // A code that is text is one that no table knows.
        stage.are(r#"{"code": "\ud800"}"#).await;
        stage.list().await.problem(502, "source_rejected");
        stage.gateway.stop().await;
    }
}

#[tokio::test]
async fn invalid_utf8_is_repaired_and_other_encodings_are_refused() {
    for vendor in VENDORS {
        let stage = Bytes::of(vendor, "").await;
        let places = places(vendor);
        for bytes in [&b"\xFF"[..], b"\xC3", b"\xED\xA0\x80", b"\xC0\x80", b"\xF4\x90\x80\x80", b"\x80"] {
            for member in [places.text, places.unknown] {
                let (begin, end) = split(&page(vendor, member, "\"HERE\""));
                stage.are([&begin, bytes, &end].concat()).await;
                let body = stage.list().await.ok();
                assert_eq!(body["meta"]["warnings"][0]["code"], "repaired_text", "{member}: {bytes:?}");
            }
        }
        // In UTF-16, as a file is saved by mistake.
        let utf_16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        stage.are(utf_16).await;
        bad(&stage.list().await, "UTF-16");
        stage.gateway.stop().await;
    }
}

/// Around the mark.
fn split(body: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let text = std::str::from_utf8(body).unwrap();
    let (begin, end) = text.split_once("HERE").unwrap();
    (begin.as_bytes().to_vec(), end.as_bytes().to_vec())
}

#[tokio::test]
async fn control_characters_in_texts_are_given_on_as_json_and_nowhere_else() {
    for vendor in VENDORS {
        let stage = Bytes::of(vendor, "").await;
        let text = "a\u{0}b\r\nX-Injected: yes\u{7f}\u{202e}";
        stage.are(page(vendor, places(vendor).text, &json!(text).to_string())).await;
        let reply = stage.list().await;
        assert_eq!(reply.ok()["data"][0]["name"], text);
        assert!(reply.headers.get("x-injected").is_none());
        // As they are they may not stand in JSON: they are repaired.
        stage.are(page(vendor, places(vendor).text, "\"a\u{0}b\"")).await;
        assert_eq!(stage.list().await.ok()["data"][0]["name"], "a\u{0}b");
        // In a code and a message, which go into problems, they are left out.
        stage.are(json!({"code": "1\u{0}\r\n2", "message": text}).to_string()).await;
        let problem = stage.list().await.problem(502, "source_rejected");
        assert_eq!(problem["upstream"]["code"], "12");
        assert_eq!(problem["upstream"]["message"], "abX-Injected: yes\u{202e}");
        stage.gateway.stop().await;
    }
}

#[tokio::test]
async fn a_credential_in_the_data_of_a_source_is_given_to_nobody() {
    for vendor in VENDORS {
        let secret = match vendor {
            Vendor::Juzibot => JUZIBOT_TOKEN,
            Vendor::Tanma => APP_KEY,
        };
        let stage = Bytes::of(vendor, "").await;
        let encoded = secret.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
        let escaped = secret.bytes().map(|byte| format!("\\u{byte:04x}")).collect::<Vec<_>>().concat();
        for spelled in [secret, &encoded, &escaped] {
            let place = places(vendor);
            let member = format!("\"http://hub.example/avatar?token={spelled}&size=0\", \"{spelled}\": \"{spelled}\"");
            for unknown in [place.text, place.unknown] {
                stage.are(page(vendor, unknown, &member)).await;
                for reply in [stage.list().await, stage.raw_list().await] {
                    assert_eq!(reply.ok()["data"].as_array().unwrap().len(), 1, "{spelled}");
                    assert!(!reply.body.contains(secret) && !reply.body.contains(&encoded), "{}", reply.body);
                }
            }
            let raw = stage.raw_list().await;
            assert!(raw.body.contains("http://hub.example/avatar?token=[redacted]&size=0"), "{}", raw.body);
            let row = format!("{{\"unionId\": \"o-one\", \"{}\": {member}}}", place.text);
            let data = if vendor == Vendor::Tanma { format!("[{row}]") } else { row };
            stage.are(envelope(&format!("\"data\": {data}"))).await;
            let reply = stage.detail().await;
            let name = if vendor == Vendor::Tanma { "nickname" } else { "name" };
            assert_eq!(reply.ok()["data"][name], "http://hub.example/avatar?token=[redacted]&size=0");
        }
        stage.gateway.stop().await;
    }
}

#[tokio::test]
async fn a_cursor_of_the_source_may_hold_anything_and_comes_back_as_it_was() {
    let stage = Bytes::of(Vendor::Tanma, "").await;
    let theirs = "a\u{0}b\r\n\u{1F600}\"&cursor=";
    stage.are(Vendor::Tanma.ok(json!({"list": [], "nextCursor": theirs})).to_string()).await;
    let ours = stage.list().await.ok()["page"]["next_cursor"].as_str().unwrap().to_owned();
    stage.gateway.get(&format!("{}&cursor={ours}", Vendor::Tanma.list_path())).await.ok();
    let calls = stage.source.received_requests().await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&calls[1].body).unwrap();
    assert_eq!(body["cursor"], theirs);
    stage.gateway.stop().await;
}

#[tokio::test]
async fn decisive_member_that_is_there_twice_is_bad_data() {
    for vendor in VENDORS {
        let stage = Bytes::of(vendor, "").await;
        for members in ["\"code\": 0", "\"errcode\": 40001", "\"data\": [], \"data\": null"] {
            stage.are(envelope(members)).await;
            let reply = stage.list().await;
            reply.problem(502, "source_bad_data");
            check_discretion(members, &reply.body);
        }
        stage.gateway.stop().await;
    }
}
