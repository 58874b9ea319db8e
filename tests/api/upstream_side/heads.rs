//! Heads of answers that no server would send.

use std::sync::{Arc, Mutex};

use super::{ALONE, VENDORS};
use crate::support::failures::check_discretion;
use crate::support::{Behaviour, RawSource};

const BODY: &str = "\r\n{\"code\": 0, \"errcode\": 0, \"data\": []}";

fn answer(head: &str) -> Behaviour {
    Behaviour::Answer(format!("{head}{BODY}").into_bytes())
}

#[tokio::test]
async fn a_head_that_cannot_be_read_is_a_bad_payload() {
    let flood = (0..10_000).map(|n| format!("X-{n}: y\r\n")).collect::<Vec<_>>().concat();
    let long = format!("X: {}\r\n", "y".repeat(1 << 20));
    let ok = "HTTP/1.1 200 OK\r\n";
    let table = [
        ("ten thousand headers", answer(&format!("{ok}{flood}"))),
        ("a header of a megabyte", answer(&format!("{ok}{long}"))),
        ("a name of a megabyte", answer(&format!("{ok}{}: y\r\n", "x".repeat(1 << 20)))),
        ("a reason of a megabyte", answer(&format!("HTTP/1.1 200 {}\r\n", "OK".repeat(1 << 19)))),
        ("a header without a name", answer(&format!("{ok}: y\r\n"))),
        ("NUL in a header", answer(&format!("{ok}X: a\0b\r\n"))),
        ("two lengths", answer(&format!("{ok}Content-Length: 3\r\nContent-Length: 300\r\n"))),
        ("a length that is no number", answer(&format!("{ok}Content-Length: many\r\n"))),
        ("a status that is none", answer("HTTP/1.1 99999 Huge\r\n")),
        ("no HTTP", answer("SSH-2.0-OpenSSH_9.6\r\n")),
        ("a head without an end", Behaviour::Forever { begin: ok.into(), again: "X-Again: and again\r\n".into() }),
        ("a header without an end", Behaviour::Forever { begin: format!("{ok}X: ").into(), again: vec![b'y'; 4096] }),
    ];
    let now = Arc::new(Mutex::new(Behaviour::Silence));
    let does = now.clone();
    let source = RawSource::deciding(move |_request| does.lock().unwrap().clone()).await;
    for vendor in VENDORS {
        let gateway = vendor.gateway(&source.url, ALONE, "").await;
        for (name, behaviour) in &table {
            *now.lock().unwrap() = behaviour.clone();
            for path in [vendor.list_path(), vendor.detail_path()] {
                let reply = gateway.get(path).await;
                assert_eq!(reply.status, 502, "{name}: {}", reply.body);
                reply.problem(502, "source_bad_payload");
                check_discretion(name, &reply.body);
            }
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_source_that_promises_an_answer_for_ever_has_its_time_and_no_more() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (begin, again) in [("", "HTTP/1.1 100 Continue\r\n\r\n"), (chunked, "00000000")] {
        let source = RawSource::that(Behaviour::Forever { begin: begin.into(), again: again.into() }).await;
        for vendor in VENDORS {
            let gateway = vendor.gateway(&source.url, &format!("{ALONE}\ntimeout = \"300ms\""), "").await;
            gateway.get(vendor.list_path()).await.problem(504, "source_timeout");
            gateway.stop().await;
        }
    }
}
