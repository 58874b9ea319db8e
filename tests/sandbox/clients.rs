//! Plain clients of the two sources, independent of the gateway's own.

use std::collections::BTreeMap;

use reqwest::{Response, StatusCode};
use scrm_gateway::sandbox::{Options, Sandbox, start};
use serde_json::{Value, json};

pub(crate) const TOKEN: &str = "sandbox-token";
pub(crate) const APP_ID: &str = "sandbox_app";
pub(crate) const APP_KEY: &str = "sandbox-app-key";

pub(crate) async fn sandbox(options: Options) -> Sandbox {
    start(options).await.expect("the sandbox starts")
}

pub(crate) async fn small() -> Sandbox {
    sandbox(Options { customers: 60, ..Options::default() }).await
}

pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

pub(crate) async fn body(response: Response) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.expect("a JSON body")
}

/// GET at `JuziBot` with the good token and this further query.
pub(crate) async fn juzibot_get(sandbox: &Sandbox, path: &str, query: &str) -> Value {
    let url = format!("{}/api/v1/customer/{path}?token={TOKEN}&{query}", sandbox.juzibot_url());
    body(http().get(url).send().await.expect("an answer")).await
}

pub(crate) async fn juzibot_post(sandbox: &Sandbox, path: &str, request: &Value) -> Value {
    let url = format!("{}/api/v1/customer/{path}?token={TOKEN}", sandbox.juzibot_url());
    body(http().post(url).json(request).send().await.expect("an answer")).await
}

pub(crate) async fn remark(sandbox: &Sandbox, staff: &str, union_id: &str, remark: &str) -> Value {
    let item = json!({"userId": staff, "unionId": union_id, "remark": remark});
    juzibot_post(sandbox, "set_remark", &json!({"remark_list": [item]})).await
}

/// A signed request to Tanma whose parts a test may falsify.
pub(crate) struct Signed {
    pub(crate) path: &'static str,
    pub(crate) body: String,
    pub(crate) timestamp: String,
    pub(crate) headers: BTreeMap<&'static str, String>,
}

impl Signed {
    pub(crate) fn new(path: &'static str, body: &Value) -> Self {
        Self::at(path, body, jiff::Timestamp::now().as_millisecond())
    }

    pub(crate) fn at(path: &'static str, body: &Value, milliseconds: i64) -> Self {
        let (body, timestamp) = (body.to_string(), milliseconds.to_string());
        let sign = scrm_gateway::sandbox::tanma::sign(APP_ID, &timestamp, body.as_bytes(), &APP_KEY.into());
        let headers = [("appId", APP_ID.to_owned()), ("timestamp", timestamp.clone()), ("sign", sign)];
        let content_type = ("Content-Type", "application/json".to_owned());
        Self { path, body, timestamp, headers: headers.into_iter().chain([content_type]).collect() }
    }

    pub(crate) fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.insert(header, value.into());
        self
    }

    pub(crate) async fn send(self, sandbox: &Sandbox) -> Response {
        let request = http().post(format!("{}{}", sandbox.tanma_url(), self.path)).body(self.body);
        self.headers
            .into_iter()
            .fold(request, |request, (name, value)| request.header(name, value))
            .send()
            .await
            .expect("an answer")
    }

    pub(crate) async fn code(self, sandbox: &Sandbox) -> i64 {
        body(self.send(sandbox).await).await["code"].as_i64().expect("a code")
    }
}

pub(crate) const LIST: &str = "/api/v3/customer-relation/list-by-qw-user-id";
pub(crate) const DETAILS: &str = "/api/v2/customer/qw-details";

pub(crate) async fn tanma(sandbox: &Sandbox, path: &'static str, request: &Value) -> Value {
    body(Signed::new(path, request).send(sandbox).await).await
}
