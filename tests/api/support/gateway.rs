//! One gateway of a test, over the simulated sources unless the test brings its own.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use scrm_gateway::app;
use scrm_gateway::config::Config;
use scrm_gateway::sandbox::faults::Rule;
use scrm_gateway::sandbox::{self, Endpoint, Sandbox};
use serde_json::{Value, json};

use super::canary;

pub const JUZIBOT_TOKEN: &str = "CANARY-juzibot-token-7f3a";
pub const APP_KEY: &str = "CANARY-tanma-app-key-91c2";
pub const JWT_SECRET: &str = "CANARY-jwt-secret-0123456789abcdef0123456789";
pub const SECRETS: [&str; 3] = [JUZIBOT_TOKEN, APP_KEY, JWT_SECRET];

/// How a test's gateway differs from the usual one.
pub struct GatewayOptions {
    /// `source_order`.
    pub order: String,
    /// TOML after the usual configuration; a section of it must not be there yet.
    pub extra: String,
    /// Whether there is a `[sources.tanma]` at all.
    pub with_tanma: bool,
    /// Keys of `[sources.juzibot]` and `[sources.tanma]`.
    pub juzibot: String,
    pub tanma: String,
    /// How these sections give the secret.
    pub juzibot_secret: String,
    pub tanma_secret: String,
    /// Further keys of `[sources.juzibot.codes]`, beside `credentials` and `invalid`.
    pub juzibot_codes: String,
    /// Addresses of sources in place of the simulated ones.
    pub juzibot_url: Option<String>,
    pub tanma_url: Option<String>,
    pub sandbox: sandbox::Options,
    /// Keys of `[auth]`.
    pub auth: String,
    /// Keys of `[rate_limit]`.
    pub rate_limit: String,
    /// Keys of `[server]`.
    pub server: String,
    /// Keys of `[cache]`.
    pub cache: String,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        let mut sandbox = sandbox::Options::default();
        sandbox.juzibot.token = JUZIBOT_TOKEN.to_owned().into();
        sandbox.tanma.app_key = APP_KEY.to_owned().into();
        let unlimited = "{ requests = 6000000, window = \"1m\", burst = 1000000 }";
        Self {
            order: r#"["juzibot", "tanma"]"#.to_owned(),
            extra: String::new(),
            with_tanma: true,
            juzibot: String::new(),
            tanma: String::new(),
            juzibot_secret: format!("token = \"{JUZIBOT_TOKEN}\""),
            tanma_secret: format!("app_key = \"{APP_KEY}\""),
            juzibot_codes: String::new(),
            juzibot_url: None,
            tanma_url: None,
            sandbox,
            auth: String::new(),
            rate_limit: format!("default = {unlimited}\nper_address = {unlimited}"),
            server: String::new(),
            cache: String::new(),
        }
    }
}

/// Waits until an endpoint of simulated sources was asked so often.
pub async fn asked(sandbox: &Sandbox, endpoint: Endpoint, times: u64) {
    let called = tokio::time::timeout(Duration::from_secs(20), sandbox.state().called(endpoint, times)).await;
    called.unwrap_or_else(|_| panic!("{} was not asked {times} times", endpoint.name()));
}

/// A running gateway and its simulated sources.
pub struct Gateway {
    pub sandbox: Sandbox,
    pub url: String,
    client: reqwest::Client,
    token: String,
    gateway: app::Gateway,
}

impl Gateway {
    pub async fn start() -> Self {
        Self::with(GatewayOptions::default()).await
    }

    pub async fn with(options: GatewayOptions) -> Self {
        canary::install();
        let tokens = (options.sandbox.juzibot.token_refused, options.sandbox.juzibot.bad_parameter);
        let app_id = options.sandbox.tanma.app_id.clone();
        let sandbox = sandbox::start(options.sandbox).await.unwrap();
        let tanma = format!(
            "[sources.tanma]\nkind = \"tanma\"\nbase_url = \"{url}\"\napp_id = \"{app_id}\"\n{secret}\n{keys}",
            url = options.tanma_url.unwrap_or_else(|| sandbox.tanma_url()),
            secret = options.tanma_secret,
            keys = options.tanma,
        );
        let config = format!(
            r#"
source_order = {order}
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
drain_timeout = "2s"
{server}
[auth]
{auth}
[auth.issuers.test]
issuer = "https://login.test"
audience = ["scrm-gateway"]
algorithms = ["HS256"]
secret = "{JWT_SECRET}"
[rate_limit]
{rate_limit}
[cache]
{cache}
[sources.juzibot]
kind = "juzibot"
base_url = "{juzibot_url}"
{juzibot_secret}
{juzibot}
[sources.juzibot.codes]
credentials = [{}]
invalid = [{}]
{juzibot_codes}
{tanma}
{extra}
"#,
            tokens.0,
            tokens.1,
            order = options.order,
            server = options.server,
            auth = options.auth,
            rate_limit = options.rate_limit,
            cache = options.cache,
            juzibot_url = options.juzibot_url.unwrap_or_else(|| sandbox.juzibot_url()),
            juzibot = options.juzibot,
            juzibot_secret = options.juzibot_secret,
            juzibot_codes = options.juzibot_codes,
            tanma = if options.with_tanma { tanma } else { String::new() },
            extra = options.extra,
        );
        let config = Config::from_toml(&config).unwrap();
        let gateway = app::start(&config).await.unwrap();
        let url = format!("http://{}", gateway.address);
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        Self { sandbox, url, client, token: Token::default().sign(), gateway }
    }

    /// Where probes and numbers are.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.gateway.admin_address)
    }

    /// GET as a caller with all scopes.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], None).await
    }

    /// GET with further headers; an `authorization` among them stands in for the usual token.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(Method::GET, path, headers, None).await
    }

    /// POST a JSON body as a caller with all scopes.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        let body = body.to_string().into_bytes();
        self.send(Method::POST, path, &[("content-type", "application/json")], Some(body)).await
    }

    /// Any request. Without an `authorization` of its own it carries the usual token; an empty one sends none.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Reply {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        match map.get("authorization").map(HeaderValue::is_empty) {
            None => request = request.bearer_auth(&self.token),
            Some(true) => {
                map.remove("authorization");
            }
            Some(false) => {}
        }
        request = request.headers(map);
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.unwrap();
        Reply {
            status: response.status(),
            headers: response.headers().clone(),
            body: String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap(),
        }
    }

    /// GET whose body is left to the test to read.
    pub async fn open(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let request = self.client.get(format!("{}{path}", self.url)).bearer_auth(&self.token);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
    }

    /// Adds a fault to the simulated sources' script.
    pub async fn fault(&self, rule: Rule) {
        self.sandbox.state().add_fault(rule).await.unwrap();
    }

    /// How often an endpoint of the simulated sources was asked.
    pub fn calls_to(&self, endpoint: Endpoint) -> u64 {
        self.sandbox.state().calls_to(endpoint)
    }

    /// Waits until an endpoint was asked so often: the request that asks it is then in flight.
    pub async fn asked(&self, endpoint: Endpoint, times: u64) {
        asked(&self.sandbox, endpoint, times).await;
    }

    pub async fn stop(self) {
        self.gateway.stop().await;
        self.sandbox.stop().await;
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.json()
    }

    /// The body of a problem with this status and code, its fixed parts checked.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!((self.status.as_u16(), body["code"].as_str()), (status, Some(code)), "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], format!("/v1/errors#{code}"));
        assert_eq!(body["request_id"], self.header("x-request-id"));
        if matches!(status, 429 | 503 | 504) {
            assert!(self.header("retry-after").parse::<u64>().unwrap() >= 1, "{:?}", self.headers);
        }
        if status == 504 {
            assert_eq!(self.header("retry-after"), "1");
        }
        body
    }
}

/// A token to be signed; the default one may do everything.
pub struct Token {
    pub claims: Value,
    pub secret: String,
    pub algorithm: jsonwebtoken::Algorithm,
}

impl Default for Token {
    fn default() -> Self {
        let claims = json!({
            "iss": "https://login.test",
            "aud": "scrm-gateway",
            "sub": "tester",
            "exp": 4_102_444_800_i64,
            "scope": "customers:read customers:write customers:raw",
        });
        Self { claims, secret: JWT_SECRET.to_owned(), algorithm: jsonwebtoken::Algorithm::HS256 }
    }
}

impl Token {
    /// The default token with some claims set; `null` takes one away.
    pub fn with(changes: &Value) -> Self {
        let mut token = Self::default();
        let claims = token.claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.remove(name);
            } else {
                claims.insert(name.clone(), value.clone());
            }
        }
        token
    }

    pub fn sign(&self) -> String {
        let key = jsonwebtoken::EncodingKey::from_secret(self.secret.as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::new(self.algorithm), &self.claims, &key).unwrap()
    }

    /// The value of an `authorization` header.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.sign())
    }
}
