//! What the tests of the two adapters share: a gateway before one source that the test plays itself.

use std::path::Path;

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::{Gateway, GatewayOptions, Reply};

/// The kind of source under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    Juzibot,
    Tanma,
}

/// How an envelope names its code and message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    Errcode,
    Code,
}

impl Spelling {
    pub const BOTH: [Self; 2] = [Self::Errcode, Self::Code];

    /// An envelope with the members of `rest`.
    pub fn envelope(self, code: impl Into<Value>, message: &str, rest: &Value) -> Value {
        let (code_name, message_name) = match self {
            Self::Errcode => ("errcode", "errmsg"),
            Self::Code => ("code", "message"),
        };
        let mut envelope = rest.clone();
        envelope[code_name] = code.into();
        envelope[message_name] = message.into();
        envelope
    }
}

impl Vendor {
    pub fn name(self) -> &'static str {
        match self {
            Self::Juzibot => "juzibot",
            Self::Tanma => "tanma",
        }
    }

    pub fn list_path(self) -> &'static str {
        match self {
            Self::Juzibot => "/v1/customers?source=juzibot",
            Self::Tanma => "/v1/customers?source=tanma&staff_id=dowen",
        }
    }

    pub fn detail_path(self) -> &'static str {
        match self {
            Self::Juzibot => "/v1/customers/wm-one?source=juzibot",
            Self::Tanma => "/v1/customers/wm-one?source=tanma",
        }
    }

    /// An envelope as the vendor itself spells it.
    pub fn envelope(self, code: impl Into<Value>, message: &str, rest: &Value) -> Value {
        let spelling = match self {
            Self::Juzibot => Spelling::Errcode,
            Self::Tanma => Spelling::Code,
        };
        spelling.envelope(code, message, rest)
    }

    /// A success with this `data`.
    pub fn ok(self, data: impl Into<Value>) -> Value {
        self.envelope(0, "ok", &json!({"data": data.into()}))
    }

    /// A gateway whose source of this kind is at `url`, with these keys of its section, and classes of codes, a line
    /// each.
    pub async fn gateway(self, url: &str, keys: &str, codes: &str) -> Gateway {
        self.gateway_with(GatewayOptions::default(), url, keys, codes).await
    }

    /// As [`Self::gateway`], with further options.
    pub async fn gateway_with(self, mut options: GatewayOptions, url: &str, keys: &str, codes: &str) -> Gateway {
        let url = Some(url.to_owned());
        match self {
            Self::Juzibot => {
                options.juzibot_url = url;
                keys.clone_into(&mut options.juzibot);
                codes.clone_into(&mut options.juzibot_codes);
            }
            Self::Tanma => {
                options.tanma_url = url;
                options.tanma = format!("{keys}{}", Self::tanma_codes(codes));
            }
        }
        Gateway::with(options).await
    }

    /// Classes of codes as keys of `[sources.tanma]`, which has no section of its own for them.
    pub fn tanma_codes(codes: &str) -> String {
        codes.lines().flat_map(|line| ["\ncodes.", line]).collect()
    }
}

/// A gateway before a source that answers every call with the same JSON.
pub struct Stage {
    pub vendor: Vendor,
    pub gateway: Gateway,
    pub source: MockServer,
}

impl Stage {
    pub async fn answering(vendor: Vendor, body: &Value) -> Self {
        Self::with(vendor, "", body).await
    }

    /// With these keys in the source's section.
    pub async fn with(vendor: Vendor, keys: &str, body: &Value) -> Self {
        let source = MockServer::start().await;
        let stage = Self { vendor, gateway: vendor.gateway(&source.uri(), keys, "").await, source };
        stage.now_answer(body).await;
        stage
    }

    /// From now on the source answers this, and its calls are counted anew.
    pub async fn now_answer(&self, body: &Value) {
        self.source.reset().await;
        let answer = ResponseTemplate::new(200).set_body_json(body);
        Mock::given(any()).respond_with(answer).mount(&self.source).await;
    }

    pub async fn list(&self) -> Reply {
        self.gateway.get(self.vendor.list_path()).await
    }

    pub async fn detail(&self) -> Reply {
        self.gateway.get(self.vendor.detail_path()).await
    }

    /// A detail by another external user id than the usual one.
    pub async fn detail_of(&self, external_user_id: &str) -> Reply {
        self.gateway.get(&format!("/v1/customers/{external_user_id}?source={}", self.vendor.name())).await
    }

    /// The calls that reached the source.
    pub async fn calls(&self) -> Vec<Request> {
        self.source.received_requests().await.unwrap()
    }

    /// The only call that reached the source.
    pub async fn call(&self) -> Request {
        let [call] = <[Request; 1]>::try_from(self.calls().await).unwrap();
        call
    }
}

/// A file of `tests/fixtures`.
pub fn fixture(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}
