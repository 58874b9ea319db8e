//! Helpers of the benches that run a gateway process: ports, tokens, memory.

use std::net::TcpListener;

use serde_json::json;

/// Returns a port on loopback that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Returns the `Authorization` header of `subject`, signed with the HMAC `secret` of the issuer `https://bench.test`.
pub fn bearer(secret: &str, subject: &str) -> String {
    let claims = json!({
        "iss": "https://bench.test", "aud": "scrm-gateway", "sub": subject, "exp": 4_102_444_800_i64,
        "scope": "customers:read customers:write",
    });
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    format!("Bearer {}", jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap())
}

/// Returns the resident memory of a process in KiB, or `None` if the process has ended.
pub fn resident_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
