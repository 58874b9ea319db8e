//! The ways in which a source fails, one table for both adapters and all operations (contract §3.5, §4).

mod table;

use serde_json::{Value, json};

use super::{APP_KEY, Behaviour, Gateway, JUZIBOT_TOKEN, RawSource, Reply, Vendor};

pub use table::FAILURES;

/// What a source says when it refuses.
pub const WORDS: &str = "the source's own words";
/// Stands in what no caller may see.
pub const BODY_TEXT: &str = "BODYTEXT";
/// Beside these a test's gateway has the codes 40001 (credentials) and 40058 (invalid) for JuziBot.
const CODES: &str = "not_found = [84061]\nrate_limited = [\"45009\"]\nretryable = [50001]";
const TANMA_CODES: &str = "credentials = [40001]\ninvalid = [\"40058\"]";

/// One way to fail, and what a caller is told of it.
pub struct Failure {
    pub name: &'static str,
    behaviour: fn(Vendor) -> Behaviour,
    /// Keys of the source's section.
    keys: &'static str,
    pub status: u16,
    pub code: &'static str,
    /// The code that `upstream` shows, with [`WORDS`].
    upstream: Option<&'static str>,
    retry_after: &'static str,
    /// What becomes of the items of a batch.
    pub items: Items,
}

/// What an item of a chunk is said to be, by the table of contract §3.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Items {
    Failed,
    NotSent,
    Unconfirmed,
}

impl Items {
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::NotSent => "not_sent",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

impl Failure {
    const fn new(
        name: &'static str,
        behaviour: fn(Vendor) -> Behaviour,
        status: u16,
        code: &'static str,
        items: Items,
    ) -> Self {
        Self {
            name,
            behaviour,
            keys: "",
            status,
            code,
            upstream: None,
            retry_after: if matches!(status, 503 | 504) { "1" } else { "" },
            items,
        }
    }

    const fn saying(self, code: &'static str) -> Self {
        Self { upstream: Some(code), ..self }
    }

    const fn with_keys(self, keys: &'static str) -> Self {
        Self { keys, ..self }
    }

    const fn after(self, retry_after: &'static str) -> Self {
        Self { retry_after, ..self }
    }
}

/// A gateway whose source fails so.
pub struct Failing {
    pub gateway: Gateway,
    _source: RawSource,
}

impl Failure {
    pub async fn stage(&self, vendor: Vendor) -> Failing {
        let source = RawSource::that((self.behaviour)(vendor)).await;
        Failing { gateway: self.gateway(vendor, &source).await, _source: source }
    }

    /// A gateway whose source fails so for what holds `mark`, and says success to the rest.
    pub async fn stage_where(&self, vendor: Vendor, mark: &'static str) -> Failing {
        let failing = (self.behaviour)(vendor);
        let success = table::answer(&vendor.envelope(0, "ok", &json!({})));
        let decide = move |request: &str| if request.contains(mark) { &failing } else { &success }.clone();
        let source = RawSource::deciding(decide).await;
        Failing { gateway: self.gateway(vendor, &source).await, _source: source }
    }

    async fn gateway(&self, vendor: Vendor, source: &RawSource) -> Gateway {
        vendor.gateway(&source.url, self.keys, &codes(vendor)).await
    }

    /// The answer is this failure's problem, whole.
    #[track_caller]
    pub fn check(&self, vendor: Vendor, reply: &Reply) {
        let seen = (reply.status.as_u16(), reply.json()["code"].clone(), reply.header("retry-after").to_owned());
        let expected = (self.status, json!(self.code), self.retry_after.to_owned());
        assert_eq!(seen, expected, "{}: {}", self.name, reply.body);
        let problem = reply.problem(self.status, self.code);
        assert_eq!(problem["source"], vendor.name(), "{}", self.name);
        self.check_upstream(&problem);
        check_discretion(self.name, &reply.body);
    }

    /// What `upstream` holds, here or in a short problem.
    #[track_caller]
    pub fn check_upstream(&self, problem: &Value) {
        let expected = self.upstream.map(|code| json!({"code": code, "message": WORDS}));
        assert_eq!(problem["upstream"], json!(expected), "{}", self.name);
    }
}

/// One code of every class, a line each, for the section of the source's codes.
pub fn codes(vendor: Vendor) -> String {
    match vendor {
        Vendor::Juzibot => CODES.to_owned(),
        Vendor::Tanma => format!("{CODES}\n{TANMA_CODES}"),
    }
}

/// Every read of the vendor tells each failure for what it is.
pub async fn check_reads(vendor: Vendor) {
    for failure in FAILURES {
        let failing = failure.stage(vendor).await;
        for path in [vendor.list_path(), vendor.detail_path()] {
            failure.check(vendor, &failing.gateway.get(path).await);
        }
    }
}

/// An answer tells nothing of where the source is, of what we know it by, or of what it sent.
#[track_caller]
pub fn check_discretion(name: &str, answer: &str) {
    for secret in [JUZIBOT_TOKEN, APP_KEY, BODY_TEXT, "http://", "127.0.0.1", "/api/v", "token="] {
        assert!(!answer.contains(secret), "{name}: {secret} in {answer}");
    }
}
