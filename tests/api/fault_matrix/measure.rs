//! A cell: one operation under one fault. The cells of an operation share a gateway and its sources; each is about another
//! customer, and begins when the fault before it is over.

use std::time::Duration;

use jiff::SignedDuration;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use scrm_gateway::sandbox::people::Person;
use scrm_gateway::sandbox::{Endpoint, Source};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::faults::{Fault, Makes};
use crate::support::failures::{check_discretion, codes};
use crate::support::ledger::{self, Applied};
use crate::support::people::{everyone, writable};
use crate::support::{Gateway, GatewayOptions, Reply, Vendor};

/// Of one call, read or write.
pub const TIMEOUT: Duration = Duration::from_secs(1);
/// Of a merge, after the first answer.
const GRACE: Duration = Duration::from_millis(600);
/// Of a request, or a batch.
const DEADLINE: Duration = Duration::from_secs(4);
/// What an answer at the deadline may be late by on a busy machine.
const SLACK: Duration = Duration::from_secs(1);
pub const MAX_RESPONSE_MIB: u32 = 3;
const ITEMS: usize = 3;
const STREAM: [(&str, &str); 1] = [("accept", "application/x-ndjson")];

/// The columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    List(Source),
    Detail(Source),
    /// A detail over both sources, of which this one is at fault.
    Merged(Source),
    Stream(Source),
    Remarks,
    FollowUps,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    pub answer: String,
    /// Upstream calls of this operation at the source at fault.
    pub calls: u64,
    pub time: &'static str,
    /// What remains: kept in the cache, or applied at the source.
    pub remains: Option<String>,
}

impl Operation {
    pub const ALL: [Self; 10] = [
        Self::List(Source::Juzibot),
        Self::List(Source::Tanma),
        Self::Detail(Source::Juzibot),
        Self::Detail(Source::Tanma),
        Self::Merged(Source::Juzibot),
        Self::Merged(Source::Tanma),
        Self::Stream(Source::Juzibot),
        Self::Stream(Source::Tanma),
        Self::Remarks,
        Self::FollowUps,
    ];

    pub fn writes(self) -> bool {
        matches!(self, Self::Remarks | Self::FollowUps)
    }

    pub fn source(self) -> Source {
        match self {
            Self::List(source) | Self::Detail(source) | Self::Merged(source) | Self::Stream(source) => source,
            Self::Remarks | Self::FollowUps => Source::Juzibot,
        }
    }

    fn endpoint(self) -> Endpoint {
        match self {
            Self::List(Source::Juzibot) | Self::Stream(Source::Juzibot) => Endpoint::JuzibotList,
            Self::List(Source::Tanma) | Self::Stream(Source::Tanma) => Endpoint::TanmaList,
            Self::Detail(Source::Juzibot) | Self::Merged(Source::Juzibot) => Endpoint::JuzibotDetail,
            Self::Detail(Source::Tanma) | Self::Merged(Source::Tanma) => Endpoint::TanmaDetails,
            Self::Remarks => Endpoint::JuzibotSetRemark,
            Self::FollowUps => Endpoint::JuzibotAddFollow,
        }
    }

    /// Retries are as many as there are calls: what a cell does must not depend on those before it.
    pub async fn gateway(self) -> Gateway {
        let keys = format!(
            "timeout = \"{0}ms\"\nwrite_timeout = \"{0}ms\"\nmax_response = \"{MAX_RESPONSE_MIB}MiB\"\n\
             retry = {{ attempts = 2, budget_percent = 100 }}\nbreaker = {{ min_calls = 1000 }}\n",
            TIMEOUT.as_millis()
        );
        let (deadline, grace) = (DEADLINE.as_millis(), GRACE.as_millis());
        let mut options = GatewayOptions {
            server: format!(
                "request_timeout = \"{deadline}ms\"\nbatch_timeout = \"{deadline}ms\"\nmerge_grace = \"{grace}ms\""
            ),
            juzibot_codes: codes(Vendor::Juzibot),
            tanma: format!("{keys}{}", Vendor::tanma_codes(&codes(Vendor::Tanma))),
            juzibot: keys,
            ..GatewayOptions::default()
        };
        options.sandbox.customers = 400;
        Gateway::with(options).await
    }
}

/// Measures; `None` where the fault makes no sense at the operation. `number` is another one for each cell of a gateway.
pub async fn cell(gateway: &Gateway, operation: Operation, fault: &Fault, number: usize) -> Option<Cell> {
    let context = format!("{operation:?}, {}", fault.name);
    let cell = match operation {
        Operation::List(source) => list(gateway, operation, fault, source, &context).await,
        Operation::Stream(source) => stream(gateway, operation, fault, source, &context).await,
        Operation::Detail(_) | Operation::Merged(_) => detail(gateway, operation, fault, number, &context).await,
        Operation::Remarks | Operation::FollowUps => write(gateway, operation, fault, number, &context).await,
    };
    cure(gateway, operation.source()).await;
    cell
}

/// Begins the fault; `false` where it makes no sense at the operation.
async fn begin(gateway: &Gateway, operation: Operation, fault: &Fault) -> bool {
    let state = gateway.sandbox.state();
    match &fault.makes {
        Makes::Nothing => {}
        Makes::Skews(offset) => state.set_clock_offset(operation.source(), *offset),
        Makes::Revokes => state.revoke_token(operation.source()),
        Makes::Strikes(effect) => {
            let rule = if *effect == Effect::RefuseConnections {
                Rule::new(operation.source(), effect.clone())
            } else {
                Rule::new(operation.endpoint(), effect.clone())
            };
            let first_pages = u64::from(matches!(operation, Operation::Stream(_)));
            if let Err(refusal) = state.set_faults(vec![rule.after(first_pages)]).await {
                assert!(refusal.to_string().contains("makes no sense"), "{}: {refusal}", fault.name);
                return false;
            }
        }
    }
    state.reset_calls();
    true
}

async fn cure(gateway: &Gateway, source: Source) {
    let state = gateway.sandbox.state();
    state.clear_faults().await;
    state.set_clock_offset(source, SignedDuration::ZERO);
    state.restore_token(source);
}

/// An answer, and how long it took. No cell hangs past its deadline.
async fn timed(context: &str, answer: impl Future<Output = Reply>) -> (Reply, Duration) {
    let begun = Instant::now();
    let reply = answer.await;
    let took = begun.elapsed();
    assert!(took < DEADLINE + SLACK, "{context}: it took {took:?}");
    (reply, took)
}

fn class(operation: Operation, fault: &Fault, took: Duration) -> &'static str {
    match took {
        _ if took >= TIMEOUT && fault.asks_for_time() => "Retry-After",
        _ if took < GRACE => "fast",
        _ if took < TIMEOUT && matches!(operation, Operation::Merged(_)) => "grace",
        _ if took < TIMEOUT => "fast",
        _ if took < TIMEOUT * 2 => "timeout",
        _ if took < TIMEOUT * 3 => "2 × timeout",
        _ => "deadline",
    }
}

/// A problem, told whole; its text gives nothing away and it is no fault of ours.
fn problem(reply: &Reply, context: &str) -> String {
    let body = reply.json();
    let code = body["code"].as_str().unwrap_or_default().to_owned();
    assert!(!["", "internal"].contains(&code.as_str()), "{context}: {}", reply.body);
    reply.problem(reply.status.as_u16(), &code);
    check_discretion(context, &reply.body);
    let wait = match reply.header("retry-after") {
        "" => String::new(),
        seconds => format!(", Retry-After: {seconds}"),
    };
    format!("{} {code}{wait}", reply.status.as_u16())
}

/// What an answer says beside its data.
fn check_meta(body: &Value, context: &str) {
    let meta = body["meta"].to_string();
    check_discretion(context, &meta);
    assert!(!meta.contains("\"internal\""), "{context}: {meta}");
}

/// Each code of the warnings once, in the order of their first appearance.
fn warnings(list: &Value) -> String {
    let mut codes: Vec<&str> = Vec::new();
    for code in list.as_array().into_iter().flatten().filter_map(|warning| warning["code"].as_str()) {
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    codes.into_iter().flat_map(|code| [", warning ", code]).collect()
}

/// A source's list from its second page on, in pages so small that there are four: what is asked, and how many rows are
/// left. A fault may be about what came before.
async fn second_page(gateway: &Gateway, source: Source) -> (String, usize) {
    let people = gateway.sandbox.state().people();
    let (path, size, total) = match source {
        Source::Juzibot => ("/v1/customers?source=juzibot", 100, people.juzibot_total(None)),
        Source::Tanma => ("/v1/customers?source=tanma&staff_id=dowen", 15, people.tanma_total("dowen")),
    };
    assert_eq!(total.div_ceil(size), 4, "{total}");
    let first = gateway.get(&format!("{path}&limit={size}")).await.ok();
    (format!("{path}&cursor={}", first["page"]["next_cursor"].as_str().unwrap()), total - size)
}

async fn list(gateway: &Gateway, operation: Operation, fault: &Fault, source: Source, context: &str) -> Option<Cell> {
    let (path, _) = second_page(gateway, source).await;
    let sound = gateway.get(&path).await.ok();
    if !begin(gateway, operation, fault).await {
        return None;
    }
    let (reply, took) = timed(context, gateway.get(&path)).await;
    let answer = if reply.status == 200 {
        let body = reply.json();
        check_meta(&body, context);
        let rows = body["data"].as_array().map_or(0, Vec::len);
        let rows = if body["data"] == sound["data"] { "the page".to_owned() } else { format!("{rows} other rows") };
        let total = if body["page"]["total"] == sound["page"]["total"] {
            String::new()
        } else {
            format!(", total {}", body["page"]["total"])
        };
        let last = if body["page"]["next_cursor"].is_null() { ", no more" } else { "" };
        format!("200, {rows}{total}{last}{}", warnings(&body["meta"]["warnings"]))
    } else {
        problem(&reply, context)
    };
    let calls = gateway.calls_to(operation.endpoint());
    cure(gateway, source).await;
    let again = gateway.get(&path).await.ok();
    if !fault.moves_rows() {
        assert_eq!(again["data"], sound["data"], "{context}: the same cursor, the fault over");
    }
    Some(Cell { answer, calls, time: class(operation, fault, took), remains: None })
}

fn lines(reply: &Reply) -> Vec<Value> {
    reply.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The first page that it reads comes, the others are struck; a clock or a token fails the first too.
async fn stream(gateway: &Gateway, operation: Operation, fault: &Fault, source: Source, context: &str) -> Option<Cell> {
    let (path, total) = second_page(gateway, source).await;
    if !begin(gateway, operation, fault).await {
        return None;
    }
    let (reply, took) = timed(context, gateway.get_with(&path, &STREAM)).await;
    let calls = gateway.calls_to(operation.endpoint());
    cure(gateway, source).await;
    let answer = if reply.status == 200 {
        let mut lines = lines(&reply);
        let last = lines.pop().unwrap();
        check_discretion(context, &last.to_string());
        let rows = match lines.len() {
            count if count == total => "all rows".to_owned(),
            count if count > total => format!("all rows and {} new ones", count - total),
            count => format!("{count} of {total} rows"),
        };
        if last["end"].is_object() {
            assert_eq!(last["end"]["count"], lines.len(), "{context}");
            let skipped = match last["end"]["skipped"].as_u64().unwrap() {
                0 => String::new(),
                skipped => format!(", {skipped} skipped"),
            };
            format!("200, {rows}, end{skipped}{}", warnings(&last["end"]["warnings"]))
        } else {
            let code = last["error"]["code"].as_str().unwrap();
            assert_ne!(code, "internal", "{context}");
            let cursor = last["resume_cursor"].as_str().unwrap();
            let (from_start, _) = path.split_once("&cursor").unwrap();
            let rest = gateway.get_with(&format!("{from_start}&cursor={cursor}"), &STREAM).await;
            let rest = self::lines(&rest);
            assert_eq!(lines.len() + rest.len() - 1, total, "{context}: with the rest it is all");
            format!("200, {rows}, error {code}")
        }
    } else {
        problem(&reply, context)
    };
    Some(Cell { answer, calls, time: class(operation, fault, took), remains: None })
}

async fn detail(gateway: &Gateway, operation: Operation, fault: &Fault, number: usize, context: &str) -> Option<Cell> {
    let (source, endpoint) = (operation.source(), operation.endpoint());
    let known_to_both = |person: &Person| person.juzibot.is_some() && person.tanma.is_some();
    let id = everyone(gateway.sandbox.state()).filter(known_to_both).nth(number).unwrap().external_user_id;
    let name = if source == Source::Juzibot { "juzibot" } else { "tanma" };
    let alone = format!("/v1/customers/{id}?source={name}");
    let path = if matches!(operation, Operation::Merged(_)) { format!("/v1/customers/{id}") } else { alone.clone() };
    if !begin(gateway, operation, fault).await {
        return None;
    }
    let (reply, took) = timed(context, gateway.get(&path)).await;
    let time = class(operation, fault, took);
    let mut failed = reply.status != 200 && reply.status != 404;
    let answer = if reply.status == 200 {
        let body = reply.json();
        check_meta(&body, context);
        let reports = body["meta"]["sources"].as_array().unwrap();
        let (report, others): (Vec<&Value>, Vec<&Value>) = reports.iter().partition(|report| report["source"] == name);
        let report = report[0];
        assert!(others.iter().all(|other| other["status"] == "ok"), "{context}: {others:?}");
        failed |= report["status"] == "failed";
        let why = report["problem"]["code"].as_str().map(|code| format!(" {code}")).unwrap_or_default();
        let warned = warnings(&body["meta"]["warnings"]);
        format!("200, {name} {}{why}{warned}", report["status"].as_str().unwrap())
    } else {
        problem(&reply, context)
    };
    let mut calls = gateway.calls_to(endpoint);
    if time == "grace" {
        // The load goes on; who asks now waits for it.
        gateway.get(&alone).await;
        calls = gateway.calls_to(endpoint);
    }
    let asked_before = gateway.calls_to(endpoint);
    cure(gateway, source).await;
    let again = gateway.get(&path).await;
    let kept = gateway.calls_to(endpoint) == asked_before;
    let note = again.header("cache-status").split(", ").find(|note| note.contains(name)).unwrap_or_default();
    assert!(note.is_empty() || note.contains("hit") == kept, "{context}: {note}");
    assert!(!(failed && kept), "{context}: a failure is kept");
    assert!(kept || again.status == 200, "{context}: {}", again.body);
    let remains = Some(if kept { "hit" } else { "miss" }.to_owned());
    Some(Cell { answer, calls, time, remains })
}

async fn write(gateway: &Gateway, operation: Operation, fault: &Fault, number: usize, context: &str) -> Option<Cell> {
    let (path, text) = match operation {
        Operation::Remarks => ("/v1/remarks", "remark"),
        _ => ("/v1/follow-ups", "content"),
    };
    let name = |index| format!("{number}, item {index}");
    let items: Vec<Value> = writable(gateway.sandbox.state())
        .take(ITEMS)
        .enumerate()
        .map(|(index, (staff_id, union_id))| json!({"staff_id": staff_id, "union_id": union_id, text: name(index)}))
        .collect();
    if !begin(gateway, operation, fault).await {
        return None;
    }
    let (reply, took) = timed(context, gateway.post(path, &json!({"items": items}))).await;
    let calls = gateway.calls_to(operation.endpoint());
    let body = reply.json();
    let told = ledger::statuses(reply.status.as_u16(), &body, ITEMS).unwrap_or_else(|why| panic!("{context}: {why}"));
    let applied = Applied::of(gateway.sandbox.state());
    let times: Vec<usize> = (0..ITEMS).map(|index| applied.times(&name(index))).collect();
    for (index, times) in times.iter().enumerate() {
        let told = told.as_ref().map(|words| words[index].as_str());
        assert!(ledger::is_true(told, *times), "{context}: item {index} is {told:?} and applied {times} times");
    }
    let answer = match told {
        None => problem(&reply, context),
        Some(words) => {
            check_discretion(context, &reply.body);
            let count = |word: &str| words.iter().filter(|one| *one == word).count();
            let counts = ["succeeded", "failed", "not_sent", "unconfirmed"].map(|word| (word, count(word)));
            let counts = counts.iter().filter(|(_, count)| *count > 0);
            let mut codes = body["data"]["results"].as_array().unwrap().iter().rev();
            let why = codes.find_map(|result| result["problem"]["code"].as_str());
            let why = why.map(|code| format!(" ({code})")).unwrap_or_default();
            let results = body["data"]["results"].as_array().unwrap().iter();
            for result in results.filter(|result| result["status"] == "unconfirmed") {
                assert_eq!(result["problem"]["retryable"], false, "{context}: {result}");
            }
            let counts: Vec<String> = counts.map(|(word, count)| format!(", {count} {word}")).collect();
            format!("200{}{why}", counts.concat())
        }
    };
    let remains = Some(format!("{} of {ITEMS}", times.iter().sum::<usize>()));
    Some(Cell { answer, calls, time: class(operation, fault, took), remains })
}
