//! Making a struck answer out of the true one.

use std::convert::Infallible;
use std::future::pending;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::super::exchange::{Answer, Call};
use super::super::serve::Cut;
use super::super::{Source, State, juzibot, tanma};
use super::rule::{Effect, WrongTypes};

/// How much padding is sent at a time.
static BLANKS: [u8; 64 << 10] = [b' '; 64 << 10];

/// The answer of a request struck by `call.fault`; never returns where there is none.
pub(in super::super) async fn spoilt(state: &State, call: &Call, answer: Answer, cut: &Cut) -> Response<Body> {
    let Some(effect) = &call.fault else {
        return answer.into_response();
    };
    match effect {
        Effect::Delay { .. }
        | Effect::DuplicatePage
        | Effect::InsertRows(_)
        | Effect::ClockSkew(_)
        | Effect::TokenRevoked
        | Effect::FailItems { .. } => answer.into_response(),
        Effect::Reset { .. } | Effect::RefuseConnections => cut.reset().await,
        Effect::NeverAnswer { .. } => pending().await,
        Effect::Code { code, message, .. } => {
            let refused = match call.endpoint.source() {
                Source::Juzibot => juzibot::refused(state, *code, message),
                Source::Tanma => tanma::refused(*code, message),
            };
            refused.into_response()
        }
        Effect::Status { status, retry_after, body, .. } => status_answer(*status, retry_after.as_deref(), body),
        Effect::Html { .. } => {
            let page = "<!DOCTYPE html><html><head><title>登录</title></head><body>请先登录</body></html>";
            Answer { content_type: "text/html; charset=utf-8", ..Answer::text(StatusCode::OK, page) }.into_response()
        }
        Effect::WrongTypes(wrong) => edited(answer, |body| wrong_types(*wrong, &mut body["data"])).into_response(),
        Effect::DamagedText => damaged_text(answer).into_response(),
        Effect::RowWithoutId => {
            edited(answer, |body| first_row(body, |row| set_ids(row, &Value::Null))).into_response()
        }
        Effect::OtherCustomer => {
            edited(answer, |body| each_row(body, |row| set_ids(row, &json!("wmSandboxSomebodyElse")))).into_response()
        }
        Effect::WrongTotal(total) => edited(answer, |body| body["total"] = json!(total)).into_response(),
        Effect::RepeatCursor => edited(answer, |body| repeat_cursor(&call.body, body)).into_response(),
        Effect::StrayFailure => edited(answer, |body| stray_failure(&call.body, body)).into_response(),
        Effect::Truncate { keep } => truncated(answer, *keep, cut.clone()),
        Effect::Drip { bytes, every } => {
            let (bytes, every) = (*bytes, *every);
            streamed(answer, 0, false, move |body| {
                stream::unfold((body, false), move |(mut rest, begun)| async move {
                    if begun {
                        sleep(every).await;
                    }
                    let count = bytes.min(rest.len());
                    (count > 0).then(|| (rest.split_to(count), (rest, true)))
                })
            })
        }
        Effect::Oversized { mib, chunked } => {
            let blocks = *mib as usize * 16;
            streamed(answer, blocks * BLANKS.len(), *chunked, move |body| {
                stream::iter(std::iter::once(body).chain(std::iter::repeat_n(Bytes::from_static(&BLANKS), blocks)))
            })
        }
    }
}

fn status_answer(status: u16, retry_after: Option<&str>, body: &str) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Answer::text(status, body.to_owned()).into_response();
    if let Some(value) = retry_after.and_then(|text| HeaderValue::from_str(text).ok()) {
        response.headers_mut().insert(RETRY_AFTER, value);
    }
    response
}

/// The answer with a body of its own making; `further` bytes follow those of the answer.
fn streamed<S>(answer: Answer, further: usize, chunked: bool, body: impl FnOnce(Bytes) -> S) -> Response<Body>
where
    S: stream::Stream<Item = Bytes> + Send + 'static,
{
    let bytes = answer.body.clone();
    let length = HeaderValue::from(bytes.len() + further);
    let mut response = answer.into_response();
    *response.body_mut() = Body::from_stream(stream::StreamExt::map(body(bytes), Ok::<_, Infallible>));
    if !chunked {
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
    response
}

fn truncated(answer: Answer, keep: Option<usize>, cut: Cut) -> Response<Body> {
    let length = answer.body.len();
    let keep = keep.unwrap_or(length / 2).min(length.saturating_sub(1));
    streamed(answer, 0, false, move |body| {
        stream::unfold(Some(body.slice(..keep)), move |kept| {
            let cut = cut.clone();
            async move {
                match kept {
                    Some(kept) if !kept.is_empty() => Some((kept, None)),
                    _ => {
                        // The connection writes what it holds whenever the body has nothing ready: only then is it closed.
                        tokio::task::yield_now().await;
                        cut.close();
                        pending().await
                    }
                }
            }
        })
    })
}

/// The answer with its JSON changed; one that is no JSON (a refused media type) stays.
fn edited(answer: Answer, edit: impl FnOnce(&mut Value)) -> Answer {
    match serde_json::from_slice::<Value>(&answer.body) {
        Ok(mut body) if body.is_object() => {
            edit(&mut body);
            Answer { body: body.to_string().into(), ..answer }
        }
        _ => answer,
    }
}

fn wrong_types(wrong: WrongTypes, value: &mut Value) {
    match (wrong, value) {
        (WrongTypes::DataIsText, value) => *value = json!("系统繁忙"),
        (WrongTypes::NumbersAreObjects, Value::Array(items)) => {
            for item in items {
                wrong_types(wrong, item);
            }
        }
        (WrongTypes::NumbersAreObjects, Value::Object(fields)) => {
            for field in fields.values_mut() {
                wrong_types(wrong, field);
            }
        }
        (WrongTypes::NumbersAreObjects, number @ Value::Number(_)) => *number = json!({"value": number.take()}),
        (WrongTypes::NumbersAreObjects, _) => {}
    }
}

/// The rows of an answer: of a list, of Tanma's detail, or the one customer of JuziBot's.
fn each_row(body: &mut Value, edit: impl FnMut(&mut Value)) {
    let data = &mut body["data"];
    let rows = if data["list"].is_array() { &mut data["list"] } else { data };
    match rows {
        Value::Array(rows) => rows.iter_mut().for_each(edit),
        Value::Object(_) => std::iter::once(rows).for_each(edit),
        _ => {}
    }
}

fn first_row(body: &mut Value, edit: impl FnOnce(&mut Value)) {
    let mut edit = Some(edit);
    each_row(body, |row| {
        if let Some(edit) = edit.take() {
            edit(row);
        }
    });
}

fn set_ids(row: &mut Value, id: &Value) {
    for name in ["externalUserId", "unionId", "customerId"] {
        if let Some(member) = row.get_mut(name) {
            *member = id.clone();
        }
    }
}

/// Stands for [`DAMAGE`] until the JSON is written.
const PLACEHOLDER: &str = "\u{e000}";
const DAMAGE: &[u8] = b"\x01\\ud83d\xf0\x9f";

/// The answer with damage behind a text of its first customer.
fn damaged_text(answer: Answer) -> Answer {
    let marked = edited(answer, |body| {
        first_row(body, |row| {
            let names = ["wechatNickname", "name", "qwRemark"];
            let text = names.into_iter().find_map(|name| row.get(name)?.as_str().map(|text| (name, text.to_owned())));
            if let Some((name, text)) = text {
                row[name] = Value::from(text + PLACEHOLDER);
            }
        });
    });
    let body = std::str::from_utf8(&marked.body).ok().and_then(|text| text.split_once(PLACEHOLDER));
    match body.map(|(before, after)| [before.as_bytes(), DAMAGE, after.as_bytes()].concat()) {
        Some(body) => Answer { body: body.into(), ..marked },
        None => marked,
    }
}

fn repeat_cursor(request: &[u8], answer: &mut Value) {
    let request = serde_json::from_slice::<Value>(request).unwrap_or_default();
    if let (Some(cursor), Some(data)) = (request.get("cursor"), answer["data"].as_object_mut()) {
        data.insert("nextCursor".to_owned(), cursor.clone());
    }
}

/// Like an item that was sent, but for somebody else.
fn stray_failure(request: &[u8], answer: &mut Value) {
    let request = serde_json::from_slice::<Value>(request).unwrap_or_default();
    let items = request.as_object().and_then(|fields| fields.values().next());
    let Some(mut stray) = items.and_then(|items| items.get(0)).filter(|item| item.is_object()).cloned() else {
        return;
    };
    stray["userId"] = json!("nobody");
    stray["unionId"] = json!("ozSandboxMatchesNothing00000");
    let fail_list = &mut answer["fail_list"];
    if let Some(list) = fail_list.as_array_mut() {
        list.push(stray);
    } else {
        *fail_list = json!([stray]);
    }
}
