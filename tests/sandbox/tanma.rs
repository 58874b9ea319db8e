//! Tanma's rules.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use scrm_gateway::sandbox::people::STAFF;
use scrm_gateway::sandbox::tanma::{NextCursor, Rules, UnknownCustomer, sign};
use scrm_gateway::sandbox::{Endpoint, Options, Sandbox, Source};
use serde_json::{Value, json};

use crate::clients::{APP_KEY, DETAILS, LIST, Signed, body, http, sandbox, small, tanma};

async fn with(rules: Rules) -> Sandbox {
    sandbox(Options { customers: 60, tanma: rules, ..Options::default() }).await
}

async fn walk(sandbox: &Sandbox, staff: &str, size: usize) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut request = json!({"qwUserId": staff, "size": size, "type": 2});
    loop {
        let answer = tanma(sandbox, LIST, &request).await;
        assert_eq!(answer["code"], 0);
        let page = answer["data"]["list"].as_array().expect("rows");
        assert!(page.len() <= size);
        rows.extend(page.iter().cloned());
        match &answer["data"]["nextCursor"] {
            Value::Null => return rows,
            cursor => request["cursor"] = cursor.clone(),
        }
    }
}

#[test]
fn the_published_sign_vectors_are_met() {
    let vectors: Value = serde_json::from_str(include_str!("../fixtures/tanma/sign-vectors.json")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let vectors_of = vectors["vectors"].as_array().unwrap();
    assert_eq!(vectors_of.len(), 3);
    for vector in vectors_of {
        let key = text(&vectors["appKey"]).into();
        let made = sign(&text(&vectors["appId"]), &text(&vectors["timestamp"]), text(&vector["body"]).as_bytes(), &key);
        assert_eq!(made, text(&vector["sign"]));
    }
}

#[tokio::test]
async fn a_walk_of_a_staff_members_pages_meets_each_customer_once_in_order_of_creation() {
    let sandbox = sandbox(Options { customers: 600, ..Options::default() }).await;
    let mut customers = BTreeSet::new();
    for staff in &STAFF {
        let rows = walk(&sandbox, staff.id, 9).await;
        let ids: BTreeSet<i64> = rows.iter().map(|row| row["customerId"].as_i64().unwrap()).collect();
        assert_eq!((ids.len(), rows.len()), (rows.len(), sandbox.state().people().tanma_total(staff.id)));
        assert!(rows.is_sorted_by_key(|row| row["createTime"].as_str().unwrap()));
        assert_eq!(rows, walk(&sandbox, staff.id, 100).await);
        customers.extend(ids);
    }
    let known = (0..600).filter(|index| sandbox.state().people().person(*index).unwrap().tanma.is_some());
    assert_eq!(customers.len(), known.count());
}

#[tokio::test]
async fn arrivals_do_not_disturb_a_walk_by_cursor() {
    let sandbox = small().await;
    let before = walk(&sandbox, "rocky", 100).await;
    let first = tanma(&sandbox, LIST, &json!({"qwUserId": "rocky", "size": 2})).await;
    sandbox.state().insert_customers(50);
    let rest = json!({"qwUserId": "rocky", "size": 100, "cursor": first["data"]["nextCursor"]});
    let rest = tanma(&sandbox, LIST, &rest).await;
    assert_eq!(rest["data"]["list"].as_array().unwrap()[..before.len() - 2], before[2..]);
}

#[tokio::test]
async fn rows_vary_as_the_vendors_do() {
    let sandbox = sandbox(Options::default()).await;
    let rows = walk(&sandbox, "rocky", 100).await;
    let sample: Value = serde_json::from_str(include_str!("../fixtures/tanma/list-by-qw-user-id.ok.json")).unwrap();
    let sample = &sample["data"]["list"][0];
    let keys = |row: &Value| row.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let fields = |row: &Value| {
        let fields = row["fields"].as_array().unwrap().iter();
        fields.map(|one| (one["field"].as_str().unwrap().to_owned(), one["type"].as_i64().unwrap())).collect::<Vec<_>>()
    };
    assert!(rows.iter().all(|row| keys(row) == keys(sample)));
    assert!(rows.iter().all(|row| fields(row)[..10] == fields(sample)[..]));
    let kinds: BTreeSet<i64> = rows.iter().flat_map(fields).map(|(_, kind)| kind).collect();
    assert_eq!(kinds, (1..=8).collect());
    assert!(
        rows.iter().any(|row| row["externalUserId"].is_null())
            && rows.iter().any(|row| row["externalUserId"].is_string())
    );
    assert!(rows.iter().any(|row| {
        let tags = row["tagIds"].as_array().unwrap();
        tags.len() > tags.iter().map(|tag| tag.as_str().unwrap()).collect::<BTreeSet<_>>().len()
    }));
    for row in &rows {
        if let Some(mobiles) = row["fields"][2]["valueAsText"].as_str() {
            assert!(serde_json::from_str::<Vec<String>>(mobiles).is_ok());
        }
        assert!(row["customerId"].as_i64().unwrap() < 1 << 53);
    }
}

#[tokio::test]
async fn both_sources_mean_the_same_person_by_an_id() {
    let sandbox = small().await;
    let featured = sandbox.state().people().featured();
    let detail = tanma(&sandbox, DETAILS, &json!({"externalUserId": featured.external_user_id})).await;
    assert_eq!(detail["message"], "success");
    let rows = detail["data"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| &row["qwUserId"]).collect::<Vec<_>>(), ["rocky", "dowen", "ZhuShanPeng"]);
    assert!(
        rows.iter()
            .all(|row| row["unionId"] == featured.union_id && row["externalUserId"] == featured.external_user_id)
    );
    let juzibot = crate::clients::juzibot_get(&sandbox, "detail", &format!("unionId={}", featured.union_id)).await;
    assert_eq!(juzibot["data"]["externalUserId"], featured.external_user_id);

    let request = json!({"externalUserId": featured.external_user_id, "qwUserId": "dowen"});
    assert_eq!(tanma(&sandbox, DETAILS, &request).await["data"], json!([rows[1]]));
    let request = json!({"externalUserId": featured.external_user_id, "qwUserId": "lisi"});
    assert_eq!(tanma(&sandbox, DETAILS, &request).await["data"], json!([]));
}

#[tokio::test]
async fn a_wrong_signature_is_1002() {
    let sandbox = small().await;
    let request = json!({"qwUserId": "rocky", "size": 1});
    let signed = || Signed::new(LIST, &request);
    assert_eq!(signed().code(&sandbox).await, 0);
    let mut changed = signed();
    changed.body.push(' ');
    let answer = body(changed.send(&sandbox).await).await;
    assert_eq!(answer, serde_json::from_str::<Value>(include_str!("../fixtures/tanma/bad-sign.json")).unwrap());
    let upper = signed();
    let sign = upper.headers["sign"].to_uppercase();
    assert_eq!(upper.with("sign", sign).code(&sandbox).await, 1_002);
    assert_eq!(signed().with("appId", "other").code(&sandbox).await, 1_002);
    let later = signed();
    let moved = (later.timestamp.parse::<i64>().unwrap() + 1).to_string();
    assert_eq!(later.with("timestamp", moved).code(&sandbox).await, 1_002);
    let mut missing = signed();
    missing.headers.remove("sign");
    assert_eq!(missing.code(&sandbox).await, 1_002);

    sandbox.state().revoke_token(Source::Tanma);
    assert_eq!(signed().code(&sandbox).await, 1_002);
    sandbox.state().restore_token(Source::Tanma);
    assert_eq!(signed().code(&sandbox).await, 0);
    assert_eq!(sandbox.state().calls_to(Endpoint::TanmaList), 8);
}

#[tokio::test]
async fn a_time_too_far_from_the_sources_clock_is_1003() {
    let sandbox = with(Rules { clock_skew: Duration::from_mins(1), ..Rules::default() }).await;
    let request = json!({"qwUserId": "rocky", "size": 1});
    let now = Timestamp::now().as_millisecond();
    assert_eq!(Signed::at(LIST, &request, now - 30_000).code(&sandbox).await, 0);
    assert_eq!(Signed::at(LIST, &request, now - 90_000).code(&sandbox).await, 1_003);
    assert_eq!(Signed::at(LIST, &request, now + 90_000).code(&sandbox).await, 1_003);
    assert_eq!(Signed::at(LIST, &request, now / 1_000).code(&sandbox).await, 1_003);

    sandbox.state().set_clock_offset(Source::Tanma, SignedDuration::from_mins(10));
    let response = Signed::at(LIST, &request, now).send(&sandbox).await;
    let date = httpdate::parse_http_date(response.headers()["date"].to_str().unwrap()).unwrap();
    let ahead = Timestamp::try_from(date).unwrap().as_millisecond() - now;
    assert!((590_000..660_000).contains(&ahead), "{ahead}");
    assert_eq!(body(response).await["code"], 1_003);
    assert_eq!(Signed::at(LIST, &request, now + 600_000).code(&sandbox).await, 0);
}

#[tokio::test]
async fn bad_parameters_are_refused_inside_http_200() {
    let sandbox = small().await;
    let rocky = tanma(&sandbox, LIST, &json!({"qwUserId": "rocky", "size": 1})).await["data"]["nextCursor"].clone();
    for request in [
        json!({}),
        json!([]),
        json!({"qwUserId": "rocky"}),
        json!({"size": 1}),
        json!({"qwUserId": "", "size": 1}),
        json!({"qwUserId": "rocky", "size": 0}),
        json!({"qwUserId": "rocky", "size": 101}),
        json!({"qwUserId": "rocky", "size": "1"}),
        json!({"qwUserId": "rocky", "size": 1, "type": "1"}),
        json!({"qwUserId": "rocky", "size": 1, "cursor": null}),
        json!({"qwUserId": "rocky", "size": 1, "cursor": ""}),
        json!({"qwUserId": "rocky", "size": 1, "cursor": "AAAAAGBDPMsAAAAACC5MoAAAAAADfxpa"}),
        json!({"qwUserId": "dowen", "size": 1, "cursor": rocky}),
        json!({"qwUserId": "rocky", "size": 1, "pageNo": 1}),
    ] {
        let answer = tanma(&sandbox, LIST, &request).await;
        assert_eq!((&answer["code"], &answer["data"]), (&json!(40_417), &Value::Null), "{request}");
    }
    for request in [
        json!({}),
        json!({"externalUserId": ""}),
        json!({"externalUserId": "x", "qwUserId": 1}),
        json!({"unionId": "x"}),
    ] {
        assert_eq!(tanma(&sandbox, DETAILS, &request).await["code"], 40_417, "{request}");
    }
    let wide = with(Rules { max_size: 500, ..Rules::default() }).await;
    assert_eq!(tanma(&wide, LIST, &json!({"qwUserId": "rocky", "size": 500})).await["code"], 0);
}

#[tokio::test]
async fn other_paths_methods_and_media_types_are_http_errors() {
    let sandbox = small().await;
    let get = http().get(format!("{}{LIST}", sandbox.tanma_url())).send().await.unwrap();
    assert_eq!((get.status(), get.headers()["allow"].to_str().unwrap()), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    assert_eq!(Signed::new("/api/v3/echo", &json!({})).send(&sandbox).await.status(), StatusCode::NOT_FOUND);
    let plain = Signed::new(LIST, &json!({})).with("Content-Type", "text/plain").send(&sandbox).await;
    assert_eq!(plain.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn the_app_key_header_is_ignored_unless_it_is_required() {
    let request = json!({"qwUserId": "rocky", "size": 1});
    let ignoring = small().await;
    assert_eq!(Signed::new(LIST, &request).with("appKey", "anything").code(&ignoring).await, 0);
    let requiring = with(Rules { require_app_key_header: true, ..Rules::default() }).await;
    assert_eq!(Signed::new(LIST, &request).code(&requiring).await, 1_002);
    assert_eq!(Signed::new(LIST, &request).with("appKey", "anything").code(&requiring).await, 1_002);
    assert_eq!(Signed::new(LIST, &request).with("appKey", APP_KEY).code(&requiring).await, 0);
}

#[tokio::test]
async fn the_end_of_a_list_takes_the_form_it_is_switched_to() {
    let request = json!({"qwUserId": "rocky", "size": 100});
    for (form, expected) in
        [(NextCursor::Null, Some(json!(null))), (NextCursor::Empty, Some(json!(""))), (NextCursor::Absent, None)]
    {
        let sandbox = with(Rules { next_cursor: form, ..Rules::default() }).await;
        assert_eq!(tanma(&sandbox, LIST, &request).await["data"].get("nextCursor"), expected.as_ref());
    }
}

#[tokio::test]
async fn an_unknown_customer_takes_the_form_it_is_switched_to() {
    let sandbox = small().await;
    assert_eq!(tanma(&sandbox, DETAILS, &json!({"externalUserId": "wm-nobody"})).await["data"], json!([]));
    let coded = with(Rules { unknown_customer: UnknownCustomer::Code(50_001), ..Rules::default() }).await;
    assert_eq!(tanma(&coded, DETAILS, &json!({"externalUserId": "wm-nobody"})).await["code"], 50_001);
    let stranger = sandbox.state().people();
    let stranger = (0..60).filter_map(|index| stranger.person(index)).find(|person| person.tanma.is_none()).unwrap();
    assert_eq!(
        tanma(&sandbox, DETAILS, &json!({"externalUserId": stranger.external_user_id})).await["data"],
        json!([])
    );
}
