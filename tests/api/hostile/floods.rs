//! Much of everything: the process takes no more memory for it, and keeps nothing of it.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{MIB, Process};
use crate::bad_input::wild;
use crate::support::WireRequest;

#[tokio::test]
async fn all_that_is_wild_leaves_the_process_as_it_was() {
    let process = Process::start(&[]).await;
    let mut requests: Vec<(String, WireRequest)> = Vec::new();
    for (what, target) in wild::targets() {
        requests.push((what.to_owned(), WireRequest::get(target)));
    }
    for (what, body) in wild::bodies() {
        requests.extend(
            ["/v1/remarks", "/v1/follow-ups"]
                .map(|path| (format!("{path}: {what}"), WireRequest::post(path, body.clone()))),
        );
    }
    for (what, name, value) in wild::headers() {
        requests.push((what.to_owned(), WireRequest::post("/v1/remarks", "{}").with(name, value)));
    }
    for count in [101, 10_000] {
        let mut request = WireRequest::get("/v1/me");
        request.headers.resize(count, ("x-filler", b"a".to_vec()));
        requests.push((format!("{count} headers"), request));
    }
    for _round in 0..3 {
        for (what, request) in &requests {
            if let Some(reply) = request.send_to(process.address).await {
                wild::refused(what, &reply);
            }
        }
    }
    process.ends_unharmed(48 * MIB).await;
}

/// Requests in all, each from an address of its own.
const ADDRESSES: usize = 50_000;
const CONNECTIONS: usize = 8;
/// Sent before the answers are read.
const AT_ONCE: usize = 250;

#[tokio::test]
async fn fifty_thousand_addresses_leave_no_more_than_their_buckets() {
    let settings = [("SERVER__TRUSTED_PROXIES", "127.0.0.0/8"), ("LOG__LEVEL", "warn,scrm_gateway::app=info")];
    let process = Process::start(&settings).await;
    let connections = (0..CONNECTIONS).map(async |connection| {
        let mut stream = TcpStream::connect(process.address).await.unwrap();
        let addresses: Vec<usize> = (0..ADDRESSES / CONNECTIONS).map(|n| n * CONNECTIONS + connection).collect();
        for some in addresses.chunks(AT_ONCE) {
            let requests = some.iter().map(|n| {
                format!(
                    "GET /nope HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 2001:db8:{:x}:{:x}::1\r\n\r\n",
                    n >> 16,
                    n & 0xffff
                )
            });
            stream.write_all(requests.collect::<String>().as_bytes()).await.unwrap();
            let (mut answered, mut read) = (0, Vec::new());
            while answered < some.len() {
                assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "closed");
                // Whole answers only; the rest of the last one stays.
                let Some(end) = read.windows(12).rposition(|bytes| bytes == b"\"errors\":[]}") else { continue };
                let whole = String::from_utf8(read.drain(..end + 12).collect()).unwrap();
                let found = whole.matches("HTTP/1.1 404 ").count();
                assert_eq!(found, whole.matches("HTTP/1.1 ").count(), "nobody is limited");
                answered += found;
            }
        }
    });
    join_all(connections).await;
    process.ends_unharmed(16 * MIB).await;
}

/// Batches at once, of nearly as many bytes as a body may have.
const BATCHES: u64 = 8;
/// The time after which the memory of a flood is free again.
const FREE_AFTER: Duration = Duration::from_secs(20);

#[tokio::test]
async fn large_batches_cost_little_more_than_their_bytes_and_leave_none_behind() {
    let process = Process::start(&[]).await;
    // Notes of one relation, so that the lines of the audit trail are short.
    let item = json!({"staff_id": "s", "union_id": "o", "content": "x".repeat(10_000)});
    let body = json!({"items": vec![item; 780]}).to_string();
    let send = (0..BATCHES).map(async |_| {
        let reply =
            WireRequest::post("/v1/follow-ups", body.clone()).send_to(process.address).await.expect("an answer");
        assert!(reply.status < 500 || reply.status == 504, "{}", reply.status);
    });
    join_all(send).await;
    let allowed = process.before + process.before / 5 + 32 * MIB;
    let low = async {
        let mut looks = tokio::time::interval(Duration::from_millis(500));
        while process.memory("VmRSS") > allowed {
            looks.tick().await;
        }
    };
    let freed = tokio::time::timeout(FREE_AFTER, low).await;
    assert!(freed.is_ok(), "{} MiB are still resident", process.memory("VmRSS") / MIB);
    // A body, its items, and the JSON of four chunks.
    process.ends_unharmed(BATCHES * 24 * MIB).await;
}
