//! Ways out that lead nowhere: a proxy that wants another password or is none, and hosts of issuers' keys that are down or talk
//! nonsense. What is wrong with them is in causes of causes, and may hold a password, an address or an answer.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::requests::of_all_operations;
use super::scan::{Canary, Scanner};
use super::seeds::{self, HOST_KEY, PROXY_PASSWORD};
use super::service::{Asked, Service};
use super::settings::Patience;
use crate::auth::publisher::Pair;
use crate::support::{Behaviour, RawSource};

/// Does the same to every request, or what the request tells it to, and keeps what it was sent.
async fn hearing(
    behaviour: impl Fn(&str) -> Behaviour + Send + Sync + 'static,
) -> (RawSource, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let source = RawSource::deciding({
        let heard = heard.clone();
        move |request| {
            heard.lock().unwrap().push(request.to_owned());
            behaviour(request)
        }
    });
    (source.await, heard)
}

/// An issuer whose keys are to be there.
fn issuer(name: &str, host: &RawSource) -> String {
    format!(
        "[auth.issuers.{name}]\nissuer = \"https://{name}.test\"\naudience = [\"scrm-gateway\"]\nalgorithms = [\"ES256\"]\n\
         jwks_url = \"{}/keys?key={HOST_KEY}\"\njwks_refresh = \"1s\"\njwks_cool_down = \"1s\"\n",
        host.url
    )
}

/// The token of a caller of this issuer; its keys are wanted for it.
fn bearer(issuer: &str) -> String {
    Pair::named(HOST_KEY).bearer(issuer)
}

/// All secrets, and these tokens.
fn secrets_and<'a>(bearers: impl IntoIterator<Item = &'a String>) -> Vec<Canary> {
    let token = |bearer: &'a String| Canary::new("a caller's token", bearer.split_once('.').unwrap().1);
    seeds::secrets().into_iter().chain(bearers.into_iter().map(token)).collect()
}

/// Asks with this token of an issuer, once its keys were fetched in vain.
async fn ask_as(service: &mut Service, issuer: &str, bearer: &str) {
    service.line(|line| line.contains("the keys of an issuer could not be fetched") && line.contains(issuer)).await;
    let asked = Asked::get("/v1/me").with("authorization", bearer);
    let statuses = service.ask(issuer, vec![asked.clone(), asked]).await;
    assert!(statuses.iter().all(|status| [401, 503].contains(status)), "{issuer}: {statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_no_good_leaves_no_trace_of_its_password() {
    let password = Scanner::new(&[Canary::new("the password", PROXY_PASSWORD)]);
    // Says again all that it was sent: its password, and the secrets of the sources.
    let echo = |request: &str| {
        let told = request.lines().find(|line| line.to_ascii_lowercase().starts_with("proxy-authorization"));
        let head = format!(
            "407 Proxy Authentication Required\nProxy-Authenticate: Basic realm=\"{PROXY_PASSWORD}\"\n{}",
            told.unwrap_or("X: y")
        );
        Behaviour::http(&head, request)
    };
    for (what, (proxy, heard)) in [
        ("wants another password", hearing(echo).await),
        ("resets", hearing(|_| Behaviour::Reset).await),
        ("is no proxy", hearing(|request| Behaviour::Answer(request.as_bytes().to_vec())).await),
        ("is closed", (RawSource::that(Behaviour::Refuse).await, Arc::default())),
    ] {
        let address = proxy.url.replace("http://", &format!("http://somebody:{PROXY_PASSWORD}@"));
        // Sources in clear, one over TLS, to which the proxy is to connect, and keys that are fetched through it. What lies on this
        // machine is asked without it.
        let more = format!(
            "[outbound]\nproxy = \"{address}\"\n{}\n\
             [sources.v1]\nkind = \"juzibot\"\nbase_url = \"http://hub.invalid\"\nallow_http = true\ntoken_file = \"token\"\n\
             breaker = {{ min_calls = 1000000 }}\nretry = {{ attempts = 1 }}\n\
             [sources.v3]\nkind = \"tanma\"\nbase_url = \"http://tanma.invalid\"\nallow_http = true\napp_id = \"an_app\"\n\
             app_key_file = \"app-key\"\nbreaker = {{ min_calls = 1000000 }}\nretry = {{ attempts = 1 }}\n\
             [sources.far]\nkind = \"tanma\"\nbase_url = \"https://tanma.example/apiServer\"\napp_id = \"an_app\"\n\
             app_key_file = \"app-key\"\nbreaker = {{ min_calls = 1000000 }}\nretry = {{ attempts = 1 }}\n",
            issuer("proxied", &proxy).replace(&proxy.url, "https://keys.example")
        );
        let mut service = Service::with("json", Patience::Long, &more).await;
        let bearer = bearer("proxied");
        service.secrets = Scanner::new(&secrets_and([&bearer]));
        ask_as(&mut service, "proxied", &bearer).await;
        let mut requests = of_all_operations(service.sandbox.state());
        for request in &mut requests {
            request.path = request.path.replace("=juzibot", "=v1").replace("=tanma", "=v3");
        }
        requests.push(Asked::get("/v1/customers?source=far&staff_id=dowen"));
        let statuses = service.ask(what, requests).await;
        assert!(statuses.iter().all(|status| *status != 500), "{what}: {statuses:?}");
        assert!(statuses.iter().filter(|status| [502, 503].contains(*status)).count() > 5, "{what}: {statuses:?}");
        service.numbers().await;
        service.end(20).await;
        let heard = heard.lock().unwrap();
        for begin in [
            "GET http://hub.invalid",
            "POST http://hub.invalid",
            "POST http://tanma.invalid",
            "CONNECT tanma.example:443",
            "CONNECT keys.example:443",
        ] {
            let sent = heard.iter().find(|request| request.starts_with(begin));
            assert!(what == "is closed" || sent.is_some_and(|sent| password.find(sent).is_some()), "{what}: {begin}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_of_keys_that_are_no_good_leave_no_trace_of_what_they_know() {
    let shared = json!({"keys": [{"kty": "oct", "kid": HOST_KEY, "alg": "HS256", "k": HOST_KEY}]}).to_string();
    let private =
        json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": HOST_KEY, "x": HOST_KEY, "y": 1, "d": HOST_KEY}]});
    let answers = [
        Behaviour::Refuse,
        Behaviour::Reset,
        Behaviour::Answer(format!("{HOST_KEY} is not HTTP\r\n\r\n").into_bytes()),
        Behaviour::http(&format!("500 {HOST_KEY}\nX-Key: {HOST_KEY}"), HOST_KEY),
        Behaviour::http(&format!("302 Found\nLocation: https://elsewhere.example/?key={HOST_KEY}"), ""),
        Behaviour::http("200 OK", &format!("<html>{HOST_KEY}</html>")),
        Behaviour::http("200 OK", &format!("{{\"keys\": \"{HOST_KEY}\"}}")),
        Behaviour::http("200 OK", &format!("{{\"keys\": [{{\"kty\": \"{HOST_KEY}\"}}]}}")),
        Behaviour::http("200 OK", &shared),
        Behaviour::http("200 OK", &private.to_string()),
        Behaviour::http_of_length(100_000, "200 OK", &shared),
        Behaviour::http("200 OK", &HOST_KEY.repeat(20_000)),
    ];
    let mut hosts = Vec::new();
    for behaviour in &answers {
        hosts.push(match behaviour.clone() {
            Behaviour::Refuse => (RawSource::that(Behaviour::Refuse).await, Arc::default()),
            behaviour => hearing(move |_| behaviour.clone()).await,
        });
    }
    let name = |at: usize| format!("host{at:02}");
    let issuers = hosts.iter().enumerate().map(|(at, (host, _))| issuer(&name(at), host));
    let mut service = Service::with("json", Patience::Long, &issuers.collect::<String>()).await;
    let bearers: Vec<String> = (0..hosts.len()).map(|at| bearer(&name(at))).collect();
    let mut canaries = secrets_and(&bearers);
    service.secrets = Scanner::new(&canaries);
    for (at, bearer) in bearers.iter().enumerate() {
        ask_as(&mut service, &name(at), bearer).await;
    }
    let asked = Asked::post("/v1/remarks?source=juzibot", &json!({"items": []}));
    service.ask("a write, for the trail", vec![asked]).await;
    service.end(hosts.len()).await;
    // Nor does a host of keys learn of tokens and secrets, save what its own address holds.
    canaries.retain(|canary| canary.text != HOST_KEY);
    let scanner = Scanner::new(&canaries);
    for (at, (_, heard)) in hosts.iter().enumerate() {
        let heard = heard.lock().unwrap();
        assert!(matches!(answers[at], Behaviour::Refuse) || heard.iter().any(|sent| sent.contains(HOST_KEY)), "{at}");
        heard.iter().for_each(|sent| scanner.check("what a host of keys is sent", sent));
    }
}
