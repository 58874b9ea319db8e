//! For the fuzzer: answers as a source, or who stands in its place, may send them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::model::{AttributeValue, CustomerId, Operation, SourcedCustomer};

use super::codes::{CodeAdditions, CodeTable, KnownCode};
use super::envelope::{MAX_VALUES, Opener};
use super::filled::assert_well_made;
use super::http::Reply;
use super::identity::Asked;
use super::lenient::MAX_ELEMENTS;
use super::redact::Redactor;
use super::rows::MIN_UNREADABLE_PAGE;
use super::{Failure, ListPage, Position, UpstreamError, WriteReply, juzibot as j, tanma as t};

/// What the source echoes in vain.
const SECRET: &str = "CANARY-secret";
/// Each body comes with each of these: a success, and what has other meanings.
const STATUSES: [u16; 4] = [200, 302, 403, 500];
/// The position of a page, so that what it says of the next one is held against it.
const CURSOR: &str = "cursor";
const PAGE_SIZE: u32 = 2;

/// Answers of JuziBot: a page, a detail, what became of a write.
pub fn juzibot(data: &[u8]) {
    static OPENER: LazyLock<Opener> = LazyLock::new(|| opener("juzibot", j::CODES, &[]));
    for status in STATUSES {
        let reply = reply(status, data);
        for current in [1, 7] {
            let place =
                j::decode::Place { page: current, size: PAGE_SIZE, rows_before: (current - 1) * u64::from(PAGE_SIZE) };
            let list = |raw| j::decode::list(&OPENER, &reply, place, raw);
            if let Some(page) = decoded(status, list, without_raw_page) {
                check_rows(&page);
                let next = (!page.rows.is_empty()).then_some(Position::Page(current + 1));
                assert!(page.next.is_none() || page.next == next, "{:?} after {current}", page.next);
                assert!(page.rows.len() < PAGE_SIZE as usize || page.next == next, "a full page is followed");
                assert!(!page.repeats, "pages have numbers");
            }
        }
        for asked in asked() {
            let operation = Operation::GetByUnionId;
            let detail = |raw| j::decode::detail(&OPENER, &reply, operation, &asked, raw);
            decoded(status, detail, without_raw).flatten().iter().for_each(|read| check_detail(&asked, read));
        }
        match j::decode::written(&OPENER, &reply, Operation::SetRemarks) {
            Ok(written) => check_write(status, &written),
            Err(error) => check_error(status, &error),
        }
    }
}

/// Answers of Tanma: a page and a detail.
pub fn tanma(data: &[u8]) {
    static OPENER: LazyLock<Opener> = LazyLock::new(|| opener("tanma", t::CODES, t::CLOCK_CODES));
    for status in STATUSES {
        let reply = reply(status, data);
        for cursor in [None, Some(CURSOR)] {
            if let Some(page) = decoded(status, |raw| t::decode::list(&OPENER, &reply, cursor, raw), without_raw_page) {
                check_rows(&page);
                if let Some(Position::Token(next)) = &page.next {
                    assert!(!next.is_empty() && next.len() <= t::decode::MAX_CURSOR_BYTES);
                    assert_ne!(Some(next.as_str()), cursor, "it goes on");
                }
            }
        }
        for asked in asked() {
            let detail = |raw| t::decode::detail(&OPENER, &reply, &asked, raw);
            decoded(status, detail, without_raw).flatten().iter().for_each(|read| check_detail(&asked, read));
        }
    }
}

/// The requests of the details: by either id, with and without translated ids.
fn asked() -> [Asked<'static>; 3] {
    static IDS: LazyLock<[CustomerId; 2]> =
        LazyLock::new(|| [CustomerId::ExternalUserId("wm-one".to_owned()), CustomerId::UnionId("o-one".to_owned())]);
    let [external, union] = &*IDS;
    [(external, false), (union, false), (external, true)].map(|(id, accept_translated)| Asked { id, accept_translated })
}

/// An answer is about the customer who was asked for, or has another kind of id only.
fn check_detail(asked: &Asked<'_>, read: &SourcedCustomer) {
    check_customer(read);
    let customer = &read.customer;
    let id = match asked.id {
        CustomerId::ExternalUserId(_) => &customer.external_user_id,
        CustomerId::UnionId(_) => &customer.union_id,
    };
    assert!(asked.accept_translated || id.as_deref().is_none_or(|id| id == asked.id.as_str()), "{id:?}");
    assert!(customer.external_user_id.is_some() || customer.union_id.is_some() || customer.records[0].id.is_some());
}

/// Tanma's `valueAsText`: a text, or a list written in one.
pub fn value_as_text(data: &[u8]) {
    static OPENER: LazyLock<Opener> = LazyLock::new(|| opener("tanma", t::CODES, t::CLOCK_CODES));
    let text = String::from_utf8_lossy(data);
    let field = |key: String, kind: i64| json!({"field": key, "type": kind, "valueAsText": text});
    let mut fields: Vec<Value> = (0..10).map(|kind| field(kind.to_string(), kind)).collect();
    fields.extend(["mobile", "gender", "name"].map(|key| field(key.to_owned(), 1)));
    let body =
        json!({"code": 0, "data": {"list": [{"customerId": 1, "qwUserId": "dowen", "fields": fields}]}}).to_string();
    let page = t::decode::list(&OPENER, &reply(200, body.as_bytes()), None, false).expect("a text is a text");
    let row = page.rows[0].as_ref().expect("it has an id");
    check_customer(row);

    let trimmed = text.trim();
    // What it holds by another reader.
    let list = if trimmed.is_empty() { Some(Vec::new()) } else { list_in(trimmed) };
    let held = |list: &[String]| list.iter().filter(|text| !text.is_empty()).cloned().collect::<BTreeSet<_>>();
    let attributes = &row.customer.records[0].attributes;
    assert_eq!(attributes.len(), 13);
    for (key, attribute) in attributes {
        let Some(value) = &attribute.value else {
            assert!(text.is_empty(), "{key}: what was sent is there");
            continue;
        };
        match (value, &list, key.as_str()) {
            (AttributeValue::List(texts), Some(list), "6" | "8") => {
                assert_eq!(texts.iter().cloned().collect::<BTreeSet<_>>(), held(list), "{key}");
            }
            (AttributeValue::List(texts), None, "6" | "8") => assert_eq!(texts[..], [text.to_string()], "{key}"),
            (AttributeValue::Text(same), _, key) if !["6", "8"].contains(&key) => assert_eq!(*same, text),
            _ => panic!("{key}: {value:?}"),
        }
    }
    let mobiles: BTreeSet<String> = row.customer.mobiles.iter().cloned().collect();
    let warned = row.warnings.iter().any(|warning| warning.pointer.as_deref().is_some_and(|at| at.contains("mobile")));
    match &list {
        Some(list) => assert!(mobiles == held(list) && !warned),
        None if trimmed.starts_with('[') => assert!(mobiles.is_empty() && warned),
        None => assert!(mobiles == BTreeSet::from([trimmed.to_owned()]) && !warned),
    }
}

/// The elements of a list of texts and whole numbers.
fn list_in(text: &str) -> Option<Vec<String>> {
    let elements: Vec<Value> = serde_json::from_str(text).ok()?;
    (elements.len() <= MAX_ELEMENTS).then_some(())?;
    elements.iter().filter(|element| !element.is_null()).map(text_of).collect()
}

fn text_of(element: &Value) -> Option<String> {
    match element {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        Value::Number(number) => {
            let float = number.as_f64().filter(|float| float.fract() != 0.0 || float.abs() < 9e15)?;
            // Rust writes a whole float without a fraction.
            Some(if float == 0.0 { "0".to_owned() } else { float.to_string() })
        }
        _ => None,
    }
}

fn opener(name: &str, codes: &[KnownCode], clock_codes: &'static [&'static str]) -> Opener {
    let additions = CodeAdditions {
        not_found: vec!["404".to_owned()],
        rate_limited: vec!["429".to_owned()],
        retryable: vec!["503".to_owned()],
        ..CodeAdditions::default()
    };
    let redactor = Redactor::default();
    redactor.hide(&SECRET.into());
    let name = name.parse().expect("it is a name");
    Opener { name, codes: CodeTable::new(codes, &additions), redactor, clock_codes }
}

fn reply(status: u16, data: &[u8]) -> Reply {
    let status = StatusCode::from_u16(status).expect("it is a status");
    Reply { status, retry_after: None, clock_ahead: None, body: data.to_vec().into() }
}

/// What is made of an answer with its raw form is what is made of it without, or nothing: not all that can be passed over can be
/// given on. Gives the first of them.
fn decoded<T>(
    status: u16,
    decode: impl Fn(bool) -> Result<T, UpstreamError>,
    without_raw: impl Fn(&T) -> Value,
) -> Option<T> {
    let (plain, raw) = (decode(false), decode(true));
    for error in [plain.as_ref().err(), raw.as_ref().err()].into_iter().flatten() {
        check_error(status, error);
    }
    match (&plain, &raw) {
        (Ok(plain), Ok(raw)) => assert_eq!(without_raw(plain), without_raw(raw)),
        // There may be more than one thing that cannot be read.
        (Err(plain), Err(raw)) => assert!(
            plain.failure == raw.failure || [plain, raw].iter().all(|error| is_unreadable(error)),
            "{plain}, {raw}"
        ),
        (Ok(_), Err(raw)) => assert!(is_unreadable(raw), "{raw}"),
        (Err(plain), Ok(_)) => panic!("read whole, and not in part: {plain}"),
    }
    raw.or(plain).ok()
}

fn is_unreadable(error: &UpstreamError) -> bool {
    matches!(error.failure, Failure::BadPayload(_) | Failure::TooLarge(_) | Failure::BadData(_))
}

fn without_raw_page(page: &ListPage) -> Value {
    let rows: Vec<Value> =
        page.rows.iter().map(|row| row.as_ref().map_or_else(|skipped| json!(skipped), stripped)).collect();
    json!([rows, page.total, page.repeats, page.next, page.fingerprint])
}

#[expect(clippy::ref_option, reason = "it is what a detail gives")]
fn without_raw(told: &Option<SourcedCustomer>) -> Value {
    told.as_ref().map(stripped).into()
}

fn stripped(told: &SourcedCustomer) -> Value {
    let mut told = told.clone();
    told.customer.records.iter_mut().for_each(|record| record.raw = None);
    // JSON that is nested deeply is ignored, but has no raw form.
    told.warnings.retain(|warning| warning.pointer.as_deref() != Some("/records/0/raw"));
    json!([told.customer, told.warnings])
}

fn check_rows(page: &ListPage) {
    assert!(page.rows.len() <= MAX_ELEMENTS);
    page.rows.iter().flatten().for_each(check_customer);
    assert!(page.rows.len() < MIN_UNREADABLE_PAGE || page.rows.iter().any(Result::is_ok));
}

fn check_customer(told: &SourcedCustomer) {
    assert_well_made(told);
    let customer = &told.customer;
    assert_eq!(customer.records.len(), 1);
    let tags: usize = customer.relations.iter().map(|relation| relation.tags.len() + relation.mobiles.len()).sum();
    assert!(customer.relations.len() + tags + customer.records[0].attributes.len() <= MAX_VALUES);
    let texts = [&customer.external_user_id, &customer.union_id, &customer.name, &customer.records[0].id];
    assert!(texts.into_iter().flatten().all(|text| !text.is_empty()), "what is not told is null");
    for warning in &told.warnings {
        assert!(warning.detail.len() <= 100, "a warning says what, and never gives the value");
    }
}

fn check_write(status: u16, written: &WriteReply) {
    assert!(written.failed.len() <= MAX_ELEMENTS);
    assert!(written.refusal.is_some() || status == 200, "a refusal by its status is one");
    if let Some(refusal) = &written.refusal {
        check_error(status, refusal);
    }
    for entry in &written.failed {
        let texts = [&entry.staff_id, &entry.union_id];
        assert!(texts.into_iter().flatten().all(|text| !text.is_empty()));
        if let Some(reply) = &entry.reply {
            check_words(&reply.code);
            check_words(&reply.message);
        }
    }
}

/// It says where, and never what; a source's own words are fit to be shown.
fn check_error(status: u16, error: &UpstreamError) {
    match &error.failure {
        Failure::Refused { status: told, reply, .. } => {
            assert_eq!(*told, status);
            if let Some(reply) = reply {
                check_words(&reply.code);
                check_words(&reply.message);
            }
        }
        Failure::BadPayload(text) | Failure::TooLarge(text) | Failure::BadData(text) => {
            // A refusal by its status stays one; what did not fail of a write may be told all the same.
            assert!(status == 200 || text.contains("fail_list"), "{status}: {text}");
            let ours = |byte: u8| byte.is_ascii_alphanumeric() || b" ,._[]-'".contains(&byte);
            assert!(text.len() <= 120 && text.bytes().all(ours), "{text}");
        }
        other => panic!("nothing else can be told of an answer: {other}"),
    }
    assert!(!format!("{error:?}").contains(SECRET));
}

fn check_words(text: &str) {
    assert!(text.chars().count() <= 200 && !text.contains(char::is_control) && !text.contains(SECRET), "{text:?}");
}
