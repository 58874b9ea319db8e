//! Where a source may be: by TLS, or on this very machine.

use scrm_gateway::config::Config;

fn loaded(base_url: &str, more: &str) -> Result<Config, String> {
    let text = format!(
        "[sources.juzibot]\nkind = \"juzibot\"\nbase_url = {}\ntoken = \"CANARY-token\"\n{more}\n\
         [auth.issuers.login]\nissuer = \"i\"\naudience = [\"a\"]\nalgorithms = [\"HS256\"]\nsecret = \"{}\"\n",
        toml::Value::from(base_url),
        crate::support::JWT_SECRET
    );
    Config::from_toml(&text).map_err(|error| error.to_string())
}

/// Each is of this machine, however it is written.
const LOOPBACK: [&str; 10] = [
    "http://127.0.0.1:8000",
    "http://127.255.0.9",
    "http://localhost:8000/prefix",
    "http://LOCALHOST",
    "http://[::1]:8000",
    "http://[0:0:0:0:0:0:0:1]",
    // Other ways to write 127.0.0.1, which the parser of URLs knows.
    "http://127.1",
    "http://2130706433",
    "http://0x7f000001",
    "http://0177.0.0.1",
];

/// Each is of another machine, or nobody can be sure that it is not.
const ELSEWHERE: [&str; 19] = [
    "http://hub.example",
    "http://10.0.0.1",
    "http://0.0.0.0",
    "http://[::]",
    // Names that look like this machine's.
    "http://localhost.evil.example",
    "http://localhost.",
    "http://localhost6",
    "http://ip6-localhost",
    "http://127.0.0.1.nip.example",
    "http://127-0-0-1.example",
    "http://evil.example/127.0.0.1",
    // A fullwidth digit becomes a plain one: 10.0.0.1 again.
    "http://１0.0.0.1",
    // Addresses of version 4 within version 6.
    "http://[::ffff:127.0.0.1]",
    "http://[::127.0.0.1]",
    "http://[64:ff9b::127.0.0.1]",
    // 10.0.0.1 in other ways.
    "http://167772161",
    "http://0x0a000001",
    "http://012.0.0.1",
    "http://10.1",
];

#[test]
fn plain_http_is_taken_to_this_machine_and_elsewhere_only_where_it_is_allowed() {
    for url in LOOPBACK {
        loaded(url, "").unwrap_or_else(|error| panic!("{url}: {error}"));
    }
    for url in ELSEWHERE {
        let error = loaded(url, "").expect_err(url);
        assert!(error.starts_with("sources.juzibot.base_url") && error.contains("allow_http"), "{url}: {error}");
        loaded(url, "allow_http = false").expect_err(url);
        loaded(url, "allow_http = true").unwrap_or_else(|error| panic!("{url}: {error}"));
        loaded(&url.replace("http:", "https:"), "").unwrap_or_else(|error| panic!("{url}: {error}"));
    }
}

#[test]
fn no_other_scheme_is_taken_and_nothing_beside_host_and_path() {
    for url in [
        "",
        "hub.example",
        "//hub.example",
        "https://",
        "https://a b",
        "ftp://hub.example",
        "file:///etc/passwd",
        "unix:///run/hub",
        "data:text/plain,x",
        "https://CANARY-user@hub.example",
        "https://CANARY-user:CANARY-password@hub.example",
        "https://:CANARY-password@hub.example",
        "http://127.0.0.1@hub.example",
        "https://hub.example?CANARY=1",
        "https://hub.example/?",
        "https://hub.example/#CANARY",
        "https://hub.example/#",
    ] {
        for more in ["", "allow_http = true"] {
            let error = loaded(url, more).expect_err(url);
            assert!(error.starts_with("sources.juzibot.base_url"), "{url}: {error}");
            assert!(!error.contains("CANARY"), "{error}");
        }
    }
}
