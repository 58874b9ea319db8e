//! Totals that are wrong, and pages that repeat.

use serde_json::{Value, json};
use wiremock::matchers::{any, body_partial_json, query_param};
use wiremock::{Mock, ResponseTemplate};

use super::{Damaged, JUZIBOT, TANMA, warnings};

fn rows(from: usize, count: usize) -> Vec<Value> {
    (from..from + count).map(|row| json!({"externalUserId": format!("wm{row}"), "customerId": row})).collect()
}

fn page(rows: Vec<Value>, total: impl Into<Value>) -> Value {
    JUZIBOT.envelope(0, "ok", &json!({"data": Value::from(rows), "total": total.into()}))
}

/// Pages of JuziBot by their numbers; any further one is empty.
async fn paged(pages: &[Value]) -> Damaged {
    let stage = Damaged::answering(JUZIBOT, page(Vec::new(), json!(null)).to_string()).await;
    for (index, page) in pages.iter().enumerate() {
        let answer = ResponseTemplate::new(200).set_body_json(page);
        Mock::given(query_param("current", (index + 1).to_string()))
            .respond_with(answer)
            .with_priority(1)
            .mount(&stage.source)
            .await;
    }
    stage
}

/// All customers by pages of 10, and the warnings.
async fn walk(stage: &Damaged) -> (Vec<String>, Vec<String>) {
    let (mut ids, mut warned, mut cursor) = (Vec::new(), Vec::new(), String::new());
    for _ in 0..20 {
        let page = stage.gateway.get(&format!("{}&limit=10{cursor}", stage.vendor.list_path())).await.ok();
        ids.extend(
            page["data"].as_array().unwrap().iter().map(|row| row["external_user_id"].as_str().unwrap().to_owned()),
        );
        warned.extend(warnings(&page).into_iter().map(|(code, _)| code));
        match page["page"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (ids, warned),
        }
    }
    panic!("the walk does not end: {ids:?}");
}

#[tokio::test]
async fn capped_or_understated_total_does_not_end_a_walk() {
    for total in [json!(10), json!(20), json!(7), json!(1), json!(0), json!(-1), json!(null), json!("many")] {
        let stage = paged(&[
            page(rows(0, 10), total.clone()),
            page(rows(10, 10), total.clone()),
            page(rows(20, 3), total.clone()),
        ])
        .await;
        let (ids, _) = walk(&stage).await;
        assert_eq!(ids.len(), 23, "{total}");
    }
}

#[tokio::test]
async fn page_size_that_the_source_caps_does_not_end_a_walk() {
    let pages: Vec<Value> = (0..5).map(|n| page(rows(n * 5, 5), 25)).collect();
    let stage = paged(&pages).await;
    assert_eq!(walk(&stage).await.0.len(), 25);
    assert_eq!(stage.calls().await, 5, "the total is reached");
    let stage = paged(&pages[..3]).await;
    let (ids, warned) = walk(&stage).await;
    assert_eq!((ids.len(), warned), (15, vec!["drift".to_owned()]), "the list ends before its total");
}

#[tokio::test]
async fn full_last_page_is_followed_by_an_empty_one() {
    let stage = paged(&[page(rows(0, 10), json!(10))]).await;
    assert_eq!(
        walk(&stage).await,
        (rows(0, 10).iter().map(|row| row["externalUserId"].as_str().unwrap().to_owned()).collect(), Vec::new())
    );
    assert_eq!(stage.calls().await, 2);
}

#[tokio::test]
async fn repeated_page_ends_the_walk_with_drift() {
    for total in [json!(null), json!(50)] {
        let stage = Damaged::answering(JUZIBOT, page(rows(0, 10), total.clone()).to_string()).await;
        let (ids, warned) = walk(&stage).await;
        assert_eq!((ids.len(), warned), (10, vec!["drift".to_owned()]), "{total}");
        assert_eq!(stage.calls().await, 2, "{total}");
    }
    let full = Damaged::answering(JUZIBOT, page(rows(0, 1_000), json!(null)).to_string()).await;
    let lines = full.stream().await;
    assert_eq!(lines.len(), 1_001);
    assert_eq!(lines[1_000]["end"]["count"], 1_000);
    assert_eq!(lines[1_000]["end"]["warnings"][0]["code"], "drift");
}

#[tokio::test]
async fn repeated_page_of_unreadable_rows_ends_the_walk() {
    let stage = Damaged::answering(JUZIBOT, page(vec![json!({"name": "nobody"}); 10], json!(null)).to_string()).await;
    let (ids, warned) = walk(&stage).await;
    assert_eq!(ids, Vec::<String>::new());
    assert_eq!(warned.iter().filter(|code| *code == "skipped_row").count(), 10);
    assert_eq!(warned.last().unwrap(), "drift");
}

#[tokio::test]
async fn page_that_an_insertion_repeats_does_not_end_the_walk() {
    let first = page(rows(0, 10), json!(20));
    let shifted = page(rows(0, 10), json!(30));
    let stage = paged(&[first, shifted, page(rows(10, 10), json!(30))]).await;
    let (mut ids, warned) = walk(&stage).await;
    ids.dedup();
    assert!(ids.ends_with(&["wm19".to_owned()]), "{ids:?}");
    assert!(warned.contains(&"drift".to_owned()));
}

#[tokio::test]
async fn stream_goes_on_over_empty_pages() {
    let list = |rows: Vec<Value>, next: Option<String>| TANMA.ok(json!({"list": rows, "nextCursor": next}));
    let pages = move |request: &wiremock::Request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let at: usize = body["cursor"].as_str().map_or(0, |cursor| cursor.parse().unwrap());
        let rows = if at == 0 || at == 26 { rows(at, 5) } else { Vec::new() };
        ResponseTemplate::new(200).set_body_json(list(rows, (at < 26).then(|| (at + 1).to_string())))
    };
    let stage = Damaged::answering(TANMA, "").await;
    Mock::given(any()).respond_with(pages).with_priority(1).mount(&stage.source).await;
    let lines = stage.stream().await;
    assert_eq!(lines.last().unwrap()["end"]["count"], 10);
}

#[tokio::test]
async fn stream_sends_customers_that_only_look_alike() {
    let repaired = r#"{"errcode": 0, "data": [{"externalUserId": "w\ud83d"}, {"externalUserId": "w\ud83e"}, {"unionId": "5"},
        {"externalUserId": "5"}, {"externalUserId": "w1", "followUser": [{"userId": "a"}]},
        {"externalUserId": "w1", "followUser": [{"userId": "b"}]}]}"#;
    let lines = Damaged::answering(JUZIBOT, repaired).await.stream().await;
    assert_eq!(lines.last().unwrap()["end"]["count"], 6);
}

#[tokio::test]
async fn repaired_cursor_is_refused() {
    for cursor in [&b"a\xff"[..], br"a\ud83d"] {
        let body =
            [&b"{\"code\": 0, \"data\": {\"list\": [{\"customerId\": 1}], \"nextCursor\": \""[..], cursor, b"\"}}"]
                .concat();
        Damaged::answering(TANMA, body).await.list().await.problem(502, "source_bad_data");
    }
}

#[tokio::test]
async fn cursor_that_does_not_advance_ends_the_walk_with_drift() {
    let list = |rows: Vec<Value>| TANMA.ok(json!({"list": rows, "nextCursor": "c"}));
    let stage = Damaged::answering(TANMA, list(rows(0, 3)).to_string()).await;
    let answer = ResponseTemplate::new(200).set_body_json(list(rows(3, 3)));
    Mock::given(body_partial_json(json!({"cursor": "c"})))
        .respond_with(answer)
        .with_priority(1)
        .mount(&stage.source)
        .await;
    let (ids, warned) = walk(&stage).await;
    assert_eq!((ids.len(), warned), (6, vec!["drift".to_owned()]));
    assert_eq!(stage.calls().await, 2);
}
