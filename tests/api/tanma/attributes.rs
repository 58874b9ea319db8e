//! `fields[]`: attributes by their keys, and what is taken from them.

use serde_json::{Value, json};

use super::{listed, row};

fn field(key: &str, kind: impl Into<Value>, value: impl Into<Value>) -> Value {
    json!({"field": key, "type": kind.into(), "valueAsText": value.into()})
}

/// The answer for one row with these fields.
async fn with_fields(fields: &[Value]) -> Value {
    listed(&[row(&json!({"fields": fields, "wechatNickname": "nick"}))]).await
}

fn attributes(body: &Value) -> &Value {
    &body["data"][0]["records"][0]["attributes"]
}

#[tokio::test]
async fn every_type_has_its_word_and_an_unknown_one_keeps_its_number() {
    let body = with_fields(&[
        field("a", 1, "x"),
        field("b", 2, "4"),
        field("c", 3, "2021-03-06"),
        field("d", 4, "12.50"),
        field("e", 5, "x\ny"),
        field("f", 6, "[\"1\",\"2\"]"),
        field("g", 7, "2021-03-06 16:22:17"),
        field("h", 8, "[\"110\"]"),
        field("i", 99, "x"),
        field("j", Value::Null, "x"),
        field("k", "3", "x"),
    ])
    .await;
    assert_eq!(
        *attributes(&body),
        json!({
            "a": {"type": "text", "type_code": 1, "value": "x"},
            "b": {"type": "single_choice", "type_code": 2, "value": "4"},
            "c": {"type": "date", "type_code": 3, "value": "2021-03-06"},
            "d": {"type": "number", "type_code": 4, "value": "12.50"},
            "e": {"type": "multiline_text", "type_code": 5, "value": "x\ny"},
            "f": {"type": "multi_choice", "type_code": 6, "value": ["1", "2"]},
            "g": {"type": "datetime", "type_code": 7, "value": "2021-03-06 16:22:17"},
            "h": {"type": "phone", "type_code": 8, "value": ["110"]},
            "i": {"type": "unknown", "type_code": 99, "value": "x"},
            "j": {"type": "unknown", "type_code": null, "value": "x"},
            "k": {"type": "date", "type_code": 3, "value": "x"},
        })
    );
    assert_eq!(body["meta"]["warnings"], json!([]));
}

#[tokio::test]
async fn a_value_of_many_is_an_array_however_it_was_sent() {
    for kind in [6, 8] {
        let body = with_fields(&[
            field("array", kind, "[\"1\", \"2\", \"1\"]"),
            field("numbers", kind, "[1, 398792098304064]"),
            field("empty_array", kind, "[]"),
            field("plain", kind, "18910515284"),
            field("unreadable", kind, "[\"1\", "),
            field("objects", kind, "[{\"id\": 1}]"),
            field("null", kind, Value::Null),
            field("empty", kind, ""),
        ])
        .await;
        let expected = [
            ("array", json!(["1", "2"])),
            ("numbers", json!(["1", "398792098304064"])),
            ("empty_array", json!([])),
            ("plain", json!(["18910515284"])),
            ("unreadable", json!(["[\"1\", "])),
            ("objects", json!(["[{\"id\": 1}]"])),
            ("null", json!(null)),
            ("empty", json!(null)),
        ];
        for (key, value) in expected {
            assert_eq!(attributes(&body)[key]["value"], value, "{key} of type {kind}");
        }
    }
}

#[tokio::test]
async fn mobiles_come_from_an_array_in_a_text_or_from_a_plain_text() {
    for (text, mobiles) in [
        (json!("[\"1\",\"2\",\"1\",\"\"]"), json!(["1", "2"])),
        (json!("18910515284"), json!(["18910515284"])),
        (json!("[]"), json!([])),
        (json!(""), json!([])),
        (json!(null), json!([])),
    ] {
        let body = with_fields(&[field("mobile", 8, text.clone())]).await;
        assert_eq!(body["data"][0]["mobiles"], mobiles, "{text}");
        assert_eq!(body["data"][0]["relations"][0]["mobiles"], mobiles, "{text}");
        assert_eq!(body["meta"]["warnings"], json!([]), "{text}");
    }
}

#[tokio::test]
async fn mobiles_that_start_like_an_array_and_are_none_are_left_out_with_a_warning() {
    let unreadable = row(&json!({"fields": [field("mobile", 8, "[\"189")]}));
    let body = listed(&[row(&json!({})), unreadable]).await;
    assert_eq!(body["data"][1]["mobiles"], json!([]));
    assert_eq!(body["data"][1]["relations"][0]["mobiles"], json!([]));
    let warnings = body["meta"]["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0]["code"], "unreadable_value");
    assert_eq!(warnings[0]["source"], "tanma");
    let pointer = warnings[0]["pointer"].as_str().unwrap();
    assert_eq!(pointer, "/data/1/records/0/attributes/mobile/value");
    assert_eq!(body.pointer(pointer), Some(&json!(["[\"189"])));
}

#[tokio::test]
async fn of_a_key_sent_more_than_once_the_first_counts_with_one_warning() {
    let body = with_fields(&[
        field("name", 1, "first"),
        field("a/b~c", 1, "x"),
        field("name", 1, "second"),
        field("a/b~c", 2, "y"),
        field("name", 1, "third"),
    ])
    .await;
    assert_eq!(body["data"][0]["name"], "first");
    assert_eq!(
        *attributes(&body),
        json!({
            "name": {"type": "text", "type_code": 1, "value": "first"},
            "a/b~c": {"type": "text", "type_code": 1, "value": "x"},
        })
    );
    let warnings = body["meta"]["warnings"].as_array().unwrap();
    let places: Vec<_> = warnings.iter().map(|warning| warning["pointer"].as_str().unwrap()).collect();
    assert_eq!(places, ["/data/0/records/0/attributes/name", "/data/0/records/0/attributes/a~1b~0c"]);
    for warning in warnings {
        assert_eq!(warning["code"], "duplicate_key");
        assert!(body.pointer(warning["pointer"].as_str().unwrap()).is_some());
    }
}

#[tokio::test]
async fn a_field_without_a_key_is_left_out_with_a_warning() {
    let body = with_fields(&[json!({"type": 1, "valueAsText": "x"})]).await;
    assert_eq!(*attributes(&body), json!({}));
    let warning = &body["meta"]["warnings"][0];
    assert_eq!(warning["code"], "unreadable_value");
    assert!(body.pointer(warning["pointer"].as_str().unwrap()).is_some(), "{warning}");
}

#[tokio::test]
async fn the_name_is_the_field_or_else_the_nickname() {
    assert_eq!(with_fields(&[field("name", 1, "field")]).await["data"][0]["name"], "field");
    for none in [json!(null), json!("")] {
        let body = with_fields(&[field("name", 1, none)]).await;
        assert_eq!(body["data"][0]["name"], "nick");
        assert_eq!(body["data"][0]["nickname"], "nick");
    }
}

#[tokio::test]
async fn a_gender_is_a_word_and_an_unknown_code_is_unknown() {
    for (code, word) in [
        (json!("0"), json!("unknown")),
        (json!("1"), json!("male")),
        (json!("2"), json!("female")),
        (json!("7"), json!("unknown")),
        (json!(null), json!(null)),
        (json!(""), json!(null)),
    ] {
        let body = with_fields(&[field("gender", 2, code.clone())]).await;
        assert_eq!(body["data"][0]["gender"], word, "{code}");
    }
}
