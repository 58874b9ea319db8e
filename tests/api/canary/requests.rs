//! Every operation of the document, and requests that are refused for every reason.

use std::net::SocketAddr;

use jsonwebtoken::Algorithm;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use scrm_gateway::sandbox::State;
use serde_json::{Value, json};

use super::seeds::{self, DESCRIPTION, JWT_SECRET, MOBILE, NAME, NOTE, REMARK, TOKEN};
use super::service::{Asked, Service};
use crate::support::people::writable;
use crate::support::{Token, exchange};

const DOCUMENT: &str = include_str!("../../../openapi/openapi.json");

/// The ids of all operations.
pub fn operation_ids() -> Vec<String> {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let items = document["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    operations.filter_map(|operation| Some(operation["operationId"].as_str()?.to_owned())).collect()
}

/// Requests of an operation that a sound source answers. One that is not listed here would be left out.
pub fn of_operation(id: &str, state: &State) -> Vec<Asked> {
    let person = state.people().featured();
    let (staff_id, union_id) = writable(state).next().unwrap();
    let item = |more: Value| {
        let mut item = json!({"staff_id": staff_id, "union_id": union_id});
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"items": [item]})
    };
    let writes = |path: &str, body: &Value| {
        vec![
            Asked::post(path, body),
            Asked::post(format!("{path}?source=juzibot"), body)
                .with("idempotency-key", format!("canary-key{}", path.replace('/', "-"))),
            Asked::post(format!("{path}?source=juzibot"), body)
                .with("idempotency-key", format!("canary-key{}", path.replace('/', "-"))),
        ]
    };
    match id {
        "listCustomers" => ["source=juzibot", "source=tanma&staff_id=dowen"]
            .into_iter()
            .flat_map(|source| {
                let path = format!("/v1/customers?{source}");
                [
                    Asked::get(format!("{path}&limit=20")).customers(),
                    Asked::get(format!("{path}&limit=20&include=raw")).customers(),
                    Asked::get(path).customers().with("accept", "application/x-ndjson"),
                ]
            })
            .collect(),
        "getCustomer" => {
            let (id, union_id) = (person.external_user_id, person.union_id);
            vec![
                Asked::get(format!("/v1/customers/{id}")).customers(),
                Asked::get(format!("/v1/customers/{id}?source=tanma")).customers().with("cache-control", "no-cache"),
                Asked::get(format!("/v1/customers/{id}?include=raw")).customers(),
                Asked::get(format!("/v1/customers/{union_id}?id_type=union_id&on_partial=fail")).customers(),
            ]
        }
        "setRemarks" => writes("/v1/remarks", &item(json!({"remark": REMARK, "description": DESCRIPTION}))),
        "addFollowUps" => writes("/v1/follow-ups", &item(json!({"content": NOTE}))),
        "listSources" => vec![Asked::get("/v1/sources")],
        "getMe" => vec![Asked::get("/v1/me")],
        "listErrors" => vec![Asked::get("/v1/errors")],
        other => panic!("the operation {other} is left out"),
    }
}

/// The same of all operations, so that a source is asked for each: not from the cache, and not what was written before.
pub fn of_all_operations(state: &State) -> Vec<Asked> {
    let mut requests: Vec<Asked> = operation_ids().iter().flat_map(|id| of_operation(id, state)).collect();
    for request in &mut requests {
        request.headers.retain(|(name, _)| *name != "idempotency-key");
        request.headers.push(("cache-control", "no-cache".to_owned()));
    }
    requests
}

/// Every operation, twice, so that what was written is read and what was cached is served.
pub async fn operations(service: &mut Service) {
    for _ in 0..2 {
        for id in operation_ids() {
            let requests = of_operation(&id, service.sandbox.state());
            let statuses = service.ask(&id, requests).await;
            // The second of two requests under one key may come while the first runs.
            assert!(statuses.iter().all(|status| matches!(status, 200 | 409)), "{id}: {statuses:?}");
            assert!(statuses.contains(&200), "{id}: {statuses:?}");
        }
    }
    let written = service.sandbox.state().applied_remarks();
    assert!(written.iter().any(|remark| remark.remark.as_deref() == Some(REMARK)), "the remark was sent");
    // The document has examples, of customers who are made up of the same names.
    let pages = ["/docs/", "/docs", "/openapi.json", "/docs/swagger-ui.css"].map(|page| Asked::get(page).customers());
    service.ask("pages", pages.to_vec()).await;
}

/// Tokens that are no good, each near to a good one.
fn forged() -> Vec<String> {
    let good = seeds::bearer();
    let of = |token: Token| token.bearer();
    let token = good.sign();
    let parts: Vec<&str> = token.split('.').collect();
    vec![
        of(Token { secret: format!("{JWT_SECRET}x"), ..seeds::bearer() }),
        of(Token { algorithm: Algorithm::HS512, ..seeds::bearer() }),
        of(Token { secret: JWT_SECRET.to_owned(), ..Token::with(&json!({"exp": 1})) }),
        of(Token { secret: JWT_SECRET.to_owned(), ..Token::with(&json!({"iss": format!("https://{NAME}.test")})) }),
        of(Token { secret: JWT_SECRET.to_owned(), ..Token::with(&json!({"aud": MOBILE})) }),
        of(Token { secret: JWT_SECRET.to_owned(), ..Token::with(&json!({"sub": null})) }),
        format!("Bearer {}.{}.", parts[0], parts[1]),
        format!("Bearer {token}{token}"),
        format!("Bearer {token} {token}"),
        format!("Bearer {}", &token[..token.len() - 2]),
        format!("Bearer {}", token.repeat(60)),
        format!("Basic {token}"),
        format!("{TOKEN} {token}"),
        format!("Bearer {TOKEN}"),
        format!("Bearer {JWT_SECRET}"),
    ]
}

/// Requests that are refused, with what is seeded wherever a caller may have put it.
pub async fn refusals(service: &mut Service) {
    let token = seeds::bearer().sign();
    let name = utf8_percent_encode(NAME, NON_ALPHANUMERIC).to_string();
    let mut requests: Vec<Asked> =
        forged().into_iter().map(|bearer| Asked::get("/v1/me").with("authorization", bearer)).collect();
    let scoped = Token { secret: JWT_SECRET.to_owned(), ..Token::with(&json!({"scope": "customers:read"})) }.bearer();
    for path in [
        format!("/v1/customers?access_token={token}"),
        format!("/v1/customers/{token}?source=nobody"),
        format!("/v1/customers/{MOBILE}"),
        format!("/v1/customers/{name}"),
        format!("/v1/customers?source={name}"),
        format!("/v1/customers?source=juzibot&staff_id={name}"),
        format!("/v1/customers?source=juzibot&staff_id={MOBILE}&limit={MOBILE}"),
        format!("/v1/customers?source=juzibot&cursor={token}"),
        format!("/v1/customers?source=juzibot&cursor={name}"),
        format!("/v1/customers?source=juzibot&include={name}"),
        format!("/v1/customers?id_type={token}"),
        format!("/nowhere/{MOBILE}/{token}?x={name}"),
        format!("/docs/{MOBILE}"),
    ] {
        requests.push(Asked::get(path.clone()));
        requests.push(Asked::get(path).with("authorization", scoped.clone()));
    }
    let item = |more: Value| {
        let mut item = json!({"staff_id": "rocky", "union_id": "oz1"});
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"items": [item]}).to_string()
    };
    for body in [
        item(json!({"remark": REMARK.repeat(9)})),
        item(json!({"remark": [REMARK], "description": {"x": DESCRIPTION}})),
        item(json!({"remark": format!("{REMARK}\u{1}")})),
        item(json!({"remark": 19_876_543_210_u64})),
        item(json!({"remark": REMARK, "mobile": MOBILE})),
        item(json!({"content": NOTE, "occurred_at": NAME})),
        item(json!({"content": format!("{NOTE}\u{0}"), "occurred_at": MOBILE})),
        format!("{{\"items\": [\"{REMARK}\", {MOBILE}, {NAME}"),
        format!("\"{REMARK}\""),
        REMARK.to_owned(),
    ] {
        for path in ["/v1/remarks", "/v1/follow-ups"] {
            requests.push(Asked::post(path, &body));
        }
    }
    let good = item(json!({"remark": REMARK}));
    for refused in [
        Asked::post("/v1/remarks", &good).with("authorization", scoped.clone()),
        Asked::post("/v1/remarks?source=tanma", &good),
        Asked::post("/v1/remarks", &good).with("idempotency-key", NAME),
        Asked::post("/v1/remarks", &good).with("content-encoding", TOKEN),
        Asked::post("/v1/remarks", &good).with("prefer", format!("wait={MOBILE}")),
        Asked { method: Method::DELETE, ..Asked::post("/v1/remarks", &good) },
        Asked::get("/v1/me").with("accept", format!("text/{MOBILE}")),
        Asked::get("/v1/me").with("cookie", format!("session={token}")).with("x-api-key", TOKEN),
        Asked::get("/v1/me").with("x-forwarded-for", MOBILE).with("tracestate", format!("x={MOBILE}")),
        Asked { headers: vec![("content-type", format!("text/{MOBILE}"))], ..Asked::post("/v1/remarks", &good) },
        Asked { method: Method::OPTIONS, ..Asked::get("/v1/me") }.with("origin", format!("https://{MOBILE}.example")),
    ] {
        requests.push(refused);
    }
    let statuses = service.ask("refusals", requests).await;
    assert!(statuses.iter().filter(|status| **status >= 400).count() > 60, "{statuses:?}");
    assert!(statuses.iter().all(|status| *status != 500), "{statuses:?}");
}

/// What is hardly HTTP.
pub async fn hostile(service: &mut Service) {
    let address: SocketAddr = service.url.trim_start_matches("http://").parse().unwrap();
    let token = seeds::bearer().sign();
    for bytes in [
        format!("GET /{token} HTTP/9.9\r\n\r\n"),
        format!("{TOKEN} {MOBILE}\r\n\r\n"),
        format!("GET /v1/me HTTP/1.1\r\nauthorization Bearer {token}\r\n\r\n"),
        format!("GET /v1/me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nx-{NAME}: 1\r\n\r\n"),
        format!("GET /v1/me HTTP/1.1\r\nhost: {TOKEN}@x\r\nauthorization: Bearer {token}\r\n\r\n"),
        format!("GET /v1/{NAME} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"),
        format!(
            "GET /v1/me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nx: {}\r\n\r\n",
            MOBILE.repeat(60_000)
        ),
        format!(
            "POST /v1/remarks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {MOBILE}\r\n\r\n{REMARK}"
        ),
        format!("POST /v1/remarks HTTP/1.1\r\nhost: x\r\ntransfer-encoding: {TOKEN}, chunked\r\n\r\n{REMARK}"),
        format!(
            "POST /v1/remarks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             transfer-encoding: chunked\r\n\r\n{REMARK}\r\n"
        ),
    ] {
        // What hyper takes for a head without an end, or a body that does not come, ends with the client's own patience.
        let answer = tokio::time::timeout(std::time::Duration::from_secs(2), exchange(address, bytes.as_bytes()));
        let answer = answer.await.unwrap_or_default();
        service.secrets.check("the answer to what is hardly HTTP", &answer);
        service.customer_data.check("the answer to what is hardly HTTP", &answer);
    }
}
