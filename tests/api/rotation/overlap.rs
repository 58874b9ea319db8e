//! A source that takes both secrets for a while: the change is seen by looking at the file, and no call fails at all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use serde_json::json;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::{SOON, SecretFile, first_secret, until, with_file};
use crate::support::{Gateway, Vendor};

const NEW: &str = "CANARY-a-new-secret-8b20";
/// Callers that never stop asking.
const CALLERS: usize = 4;

/// A source that takes the secrets it is told to take and counts the calls with each.
#[derive(Clone)]
struct Door(Arc<Inner>);

struct Inner {
    vendor: Vendor,
    taken: Mutex<Vec<&'static str>>,
    calls: Mutex<HashMap<String, u64>>,
}

impl Door {
    fn of(vendor: Vendor) -> Self {
        Self(Arc::new(Inner { vendor, taken: Mutex::new(vec![first_secret(vendor)]), calls: Mutex::default() }))
    }

    fn take(&self, secrets: &[&'static str]) {
        *self.0.taken.lock().unwrap() = secrets.to_vec();
    }

    fn calls_with(&self, secret: &str) -> u64 {
        self.0.calls.lock().unwrap().get(secret).copied().unwrap_or_default()
    }
}

impl Respond for Door {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let secret = match self.0.vendor {
            Vendor::Juzibot => request.url.query_pairs().find(|pair| pair.0 == "token").map(|pair| pair.1.into_owned()),
            Vendor::Tanma => request.headers.get("appkey").map(|key| key.to_str().unwrap().to_owned()),
        };
        let secret = secret.unwrap_or_default();
        let taken = self.0.taken.lock().unwrap().contains(&secret.as_str());
        *self.0.calls.lock().unwrap().entry(secret).or_default() += 1;
        let data = match self.0.vendor {
            Vendor::Juzibot => json!([]),
            Vendor::Tanma => json!({"list": []}),
        };
        let (code, data) = if taken { (0, data) } else { (40001, json!(null)) };
        let envelope = self.0.vendor.envelope(code, "", &json!({"data": data}));
        ResponseTemplate::new(200).set_body_json(envelope)
    }
}

/// One caller: reads, and where the source has writes those too, which would show a single refused call.
async fn call(gateway: &Gateway, vendor: Vendor) {
    gateway.get(vendor.list_path()).await.ok();
    if vendor == Vendor::Juzibot {
        let batch = json!({"items": [{"staff_id": "rocky", "union_id": "o-one", "remark": "r"}]});
        let body = gateway.post("/v1/remarks", &batch).await.ok();
        assert_eq!(body["data"]["summary"]["succeeded"], 1);
    }
}

#[tokio::test]
async fn under_steady_load_nothing_fails_where_the_source_takes_both_for_a_while() {
    for vendor in [Vendor::Juzibot, Vendor::Tanma] {
        let (source, door) = (MockServer::start().await, Door::of(vendor));
        Mock::given(any()).respond_with(door.clone()).mount(&source).await;
        let old = first_secret(vendor);
        let file = SecretFile::holding(old);
        let mut options = with_file(vendor, &file, SOON);
        options.juzibot_url = (vendor == Vendor::Juzibot).then(|| source.uri());
        options.tanma_url = (vendor == Vendor::Tanma).then(|| source.uri());
        // So that the source sees which key it was.
        options.tanma = "send_app_key_header = true\ncodes.credentials = [40001]".to_owned();
        let gateway = Gateway::with(options).await;

        let (over, rounds) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; CALLERS]);
        let callers = join_all(rounds.iter().map(async |rounds| {
            while !over.load(Ordering::SeqCst) {
                call(&gateway, vendor).await;
                rounds.fetch_add(1, Ordering::SeqCst);
            }
        }));
        // Two rounds more of each caller: no call of before is under way any longer.
        let a_while = async || {
            let wanted = rounds.each_ref().map(|rounds| rounds.load(Ordering::SeqCst) + 2);
            until(async || rounds.iter().zip(wanted).all(|(rounds, wanted)| rounds.load(Ordering::SeqCst) >= wanted))
                .await;
        };
        let operator = async {
            a_while().await;
            door.take(&[old, NEW]);
            file.change(NEW);
            until(async || door.calls_with(NEW) > 0).await;
            a_while().await;
            door.take(&[NEW]);
            let with_the_old = door.calls_with(old);
            a_while().await;
            assert_eq!(door.calls_with(old), with_the_old);
            over.store(true, Ordering::SeqCst);
        };
        tokio::join!(callers, operator);
        gateway.stop().await;
    }
}
