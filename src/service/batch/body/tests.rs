use super::*;

fn problem(body: &[u8]) -> Problem {
    remarks(body).expect_err("the body is refused")
}

/// The pointers of the validation errors with this code.
fn places(body: &str, code: &str) -> Vec<String> {
    let problem = problem(body.as_bytes());
    assert_eq!(problem.code, ProblemCode::ValidationFailed, "{problem:?}");
    problem.errors.into_iter().filter(|fault| fault.code == code).filter_map(|fault| fault.pointer).collect()
}

fn not_json(body: &str) -> String {
    let problem = problem(body.as_bytes());
    assert_eq!(problem.code, ProblemCode::InvalidRequest, "{problem:?}");
    problem.detail
}

#[test]
fn repeated_keys_are_reported_by_pointer() {
    let body = r#"{"items":[{"a":1,"a":2},{"b/c":1,"b/c":2},{"remark":{"x":[{"y":1,"y":2}]}}]}"#;
    assert_eq!(places(body, "duplicate"), ["/items/0/a", "/items/1/b~1c", "/items/2/remark/x/0/y"]);
}

#[test]
fn last_of_repeated_fields_counts() {
    let body = r#"{"items":[{"staff_id":7,"staff_id":"s","union_id":"","union_id":8,"remark":"x"}], "items":[{}],
        "items":[{"staff_id":7,"staff_id":"s","union_id":"","union_id":8,"remark":"x"}]}"#;
    assert_eq!(places(body, "wrong_type"), ["/items/0/union_id"]);
    assert_eq!(places(body, "empty"), [""; 0]);
    assert_eq!(places(body, "missing"), [""; 0], "the list before is not reported");
}

#[test]
fn errors_keep_the_order_of_duplicates_keys_and_items() {
    let body = r#"{"items":[{"z":1,"b":1,"union_id":"o o","staff_id":1,"remark":"x","remark":"y"},7],"x":1}"#;
    let errors: Vec<_> = problem(body.as_bytes()).errors;
    let errors: Vec<_> = errors.iter().map(|fault| (fault.pointer.as_deref().unwrap(), fault.code)).collect();
    let expected = [
        ("/items/0/remark", "duplicate"),
        ("/x", "unknown"),
        ("/items/0/b", "unknown"),
        ("/items/0/z", "unknown"),
        ("/items/0/staff_id", "wrong_type"),
        ("/items/0/union_id", "malformed"),
        ("/items/1", "wrong_type"),
    ];
    assert_eq!(errors, expected);
}

#[test]
fn body_that_is_not_json_is_refused_with_its_position() {
    for text in ["", "{", "[1,]", "{\"a\":1} x", "nul", "\"\u{1}\"", "{\"items\":[{\"remark\":\"x}]}"] {
        assert!(not_json(text).starts_with("the body is no JSON, at line 1, column"), "{text}");
    }
    assert_eq!(problem(b"\"\xff\"").code, ProblemCode::InvalidRequest);
}

#[test]
fn valid_json_beyond_a_limit_is_reported_as_such() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let at = |place: &str, value: &str| match place {
        "" => value.to_owned(),
        "item" => format!("{{\"items\": [{value}]}}"),
        _ => format!("{{\"items\": [{{\"{place}\": {value}}}]}}"),
    };
    assert_eq!(problem(deep(127).as_bytes()).code, ProblemCode::ValidationFailed);
    for place in ["", "item", "remark", "unknown"] {
        for levels in [128, 100_000] {
            assert!(not_json(&at(place, &deep(levels))).starts_with("the body has more than 127 levels"), "{levels}");
        }
        for number in ["1e400", "-1e999999", &"9".repeat(400)] {
            assert!(not_json(&at(place, number)).starts_with("the body holds a number that is too large"), "{place}");
        }
    }
}

#[test]
fn every_value_counts_wherever_it_is() {
    let skipped = |count: usize| format!("{{\"x\": [{}]}}", vec!["0"; count].join(","));
    let items = |count: usize| format!("{{\"items\": [{}]}}", vec!["{\"remark\":0}"; count].join(","));
    for (fits, exceeds) in [(skipped(19_998), skipped(19_999)), (items(9_999), items(10_000))] {
        assert_eq!(problem(fits.as_bytes()).code, ProblemCode::ValidationFailed);
        assert_eq!(problem(exceeds.as_bytes()).code, ProblemCode::PayloadTooLarge);
    }
}

#[test]
fn errors_of_the_largest_batch_are_all_reported() {
    // Each field is wrong in each way in which it can be.
    let (id, text) = ("é".repeat(10), "\\u0001".repeat(151));
    let item = format!(r#"{{"staff_id":"{id}","union_id":"{id}","remark":"{text}","description":"{text}"}}"#);
    let problem = problem(format!(r#"{{"items":[{}]}}"#, vec![item; 1_000].join(",")).as_bytes());
    // The first item repeats none before it.
    assert_eq!(problem.errors.len(), 7 * 1_000 - 1);
    assert!(serde_json::to_vec(&problem).unwrap().len() < MAX_FAULT_BYTES);
}

#[test]
fn errors_are_limited_in_bytes() {
    let keys = |item: usize| {
        (0..10).map(|key| format!("\"{}{item:03}{key}\":0", "é".repeat(46))).collect::<Vec<_>>().join(",")
    };
    let items: Vec<_> = (0..1_000).map(|item| format!("{{{}}}", keys(item))).collect();
    let problem = problem(format!(r#"{{"items":[{}],"x":1}}"#, items.join(",")).as_bytes());
    let length = serde_json::to_vec(&problem).unwrap().len();
    assert!((1_250_000..MAX_FAULT_BYTES + 1_000).contains(&length), "{length}");
    let errors = &problem.errors;
    assert_eq!(errors[0].pointer.as_deref(), Some("/x"));
    assert!(errors.len() > 2_000 && errors.last().unwrap().pointer.as_deref() > Some("/items/2"), "{}", errors.len());
}

#[test]
fn long_keys_stay_unknown_and_distinct() {
    let (whole, long) = ("k".repeat(50), "k".repeat(1_000_000));
    let body = format!("{{\"{whole}\": 1, \"{long}\": 2, \"{long}k\": 3}}");
    assert_eq!(places(&body, "unknown"), [format!("/{whole}"), format!("/{whole}…")]);
    assert_eq!(places(&body, "duplicate"), [""; 0], "two keys with the same beginning are not the same key");
}

#[test]
fn pointers_are_short_however_deep_the_place_is() {
    let deep = format!("{}{{\"x\":1,\"x\":2}}{}", "{\"keys of a body\":".repeat(120), "}".repeat(120));
    let duplicates = places(&deep, "duplicate");
    assert_eq!(duplicates.len(), 1);
    assert!(duplicates[0].starts_with("/keys of a body/keys") && duplicates[0].len() <= 256);
}

#[test]
fn content_is_limited_in_characters() {
    let body = |content: &str| format!(r#"{{"items":[{{"staff_id":"s","union_id":"o","content":"{content}"}}]}}"#);
    for character in ["x", "字", "😀", "\\ud83d\\ude00", "\\n"] {
        assert_eq!(follow_ups(body(&character.repeat(10_000)).as_bytes()).map(|items| items.len()), Ok(1));
        let errors = follow_ups(body(&character.repeat(10_001)).as_bytes()).unwrap_err().errors;
        assert_eq!((errors.len(), errors[0].code), (1, "too_long"), "{character}");
        assert_eq!(errors[0].detail, "is 10001 characters long, at most 10000 are taken");
    }
}

#[test]
fn too_long_id_is_reported_and_not_compared() {
    let id = "a".repeat(129);
    let item = format!(r#"{{"staff_id":"{id}","union_id":"o","remark":"r"}}"#);
    let body = format!(r#"{{"items":[{item},{item}]}}"#);
    assert_eq!(places(&body, "too_long"), ["/items/0/staff_id", "/items/1/staff_id"]);
    assert_eq!(places(&body, "duplicate"), [""; 0]);
    assert!(fields::id(&id).value.is_none() && fields::id(&id[..128]).value.is_some());
}
