//! What full stores cost the process, by its resident memory. Each scenario runs in a process of its own.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::model::{
    BatchAnswer, BatchResults, BatchSummary, CallerId, Customer, CustomerId, ItemResult, ItemStatus, Meta, Problem,
    ProblemCode, Relation, ShortProblem, SourceName, SourceRecord, SourceReport, SourceStatus, SourcedCustomer, Tag,
    TagScope, UpstreamReply,
};
use crate::store::details::{DetailKey, DetailStore, KeptDetail};
use crate::store::idempotency::{Begun, Bounds, FirstAnswer, IdempotencyKey, IdempotencyStore, StoredAnswer};

const LIMIT: usize = 64 << 20;
/// Names the scenario that a child process is to run.
const VARIABLE: &str = "SCRM_TEST_RESIDENT";
/// Starts the line of a child's output that has the growth.
const GROWTH: &str = "growth in bytes: ";

/// Runs `fill` in a child process, and checks how far its resident memory grows: to at most 1.15 times the limit, and to a good part of
/// it, or the limit would hold too little.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the variable is of this test alone")]
fn check(name: &str, fill: impl Fn(usize) -> Box<dyn std::any::Any>) {
    if std::env::var(VARIABLE).is_ok_and(|scenario| scenario == name) {
        // Warm: code, threads and tables that any use of the store needs.
        drop(fill(LIMIT / 16));
        let before = resident();
        let store = fill(LIMIT);
        println!("\n{GROWTH}{}", resident().saturating_sub(before));
        return drop(store);
    }
    let test = format!("store::resident::{name}");
    let child = Command::new(std::env::current_exe().unwrap())
        .args([&*test, "--exact", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, name)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    let growth = output.lines().find_map(|line| line.strip_prefix(GROWTH)).unwrap_or_else(|| panic!("{output}"));
    let percent = growth.parse::<usize>().unwrap() * 100 / LIMIT;
    println!("{name}: {percent} % of the limit");
    assert!((60..=115).contains(&percent), "{name}: {percent} % of the limit");
}

/// Bytes of anonymous memory that this process has resident.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

fn source() -> SourceName {
    "juzibot".parse().unwrap()
}

fn text(what: &str, n: usize) -> String {
    format!("{what}{n}")
}

fn relation(n: usize, tags: usize, mobiles: usize) -> Relation {
    let tag = |t| Tag {
        id: Some(text("et", n + t)),
        name: Some(text("t", t)),
        group: Some(text("g", t)),
        scope: TagScope::Corp,
    };
    Relation {
        source: source(),
        staff_id: Some(text("s", n)),
        staff_name: Some(text("name ", n)),
        staff_avatar_url: Some(text("http://p.qlogo.cn/bizmail/", n)),
        remark: Some(text("r", n)),
        added_at: Some(Timestamp::UNIX_EPOCH),
        channel_state: None,
        mobiles: (0..mobiles).map(|m| format!("138{m:08}")).collect(),
        tags: (0..tags).map(tag).collect(),
    }
}

fn customer(n: usize, relations: usize, tags: usize, mobiles: usize) -> Customer {
    let record = SourceRecord {
        source: source(),
        id: Some(text("wm", n)),
        type_code: Some(1),
        created_at: None,
        updated_at: None,
        converted_at: None,
        attributes: BTreeMap::new(),
        raw: None,
    };
    let mut customer = Customer {
        external_user_id: Some(text("wmfvEMCAAAPHR9XslvYqTFgCJT", n)),
        union_id: Some(text("ozynqsulJFCZ2z1aYeS8h", n)),
        name: Some(text("c", n)),
        nickname: Some(text("c", n)),
        avatar_url: Some(text("http://p.qlogo.cn/bizmail/IcsdgagqefergqerhewSdage/", n)),
        relations: (0..relations).map(|r| relation(r, tags, mobiles)).collect(),
        records: vec![record],
        ..Customer::default()
    };
    customer.shrink_to_fit();
    customer
}

/// Caches an answer about a customer.
fn put(store: &DetailStore, n: usize, customer: Option<Customer>) {
    let key = DetailKey {
        source: source(),
        id: CustomerId::ExternalUserId(format!("wmfvEMCAAAPHR9XslvYqTFgCJT{n}")),
        staff_id: None,
    };
    let record = customer.map(|customer| Arc::new(SourcedCustomer { customer, warnings: Vec::new() }));
    let now = Instant::now();
    let (fetched, fetched_at) = (now, Timestamp::UNIX_EPOCH);
    store.put(key, Arc::new(KeptDetail { record, begun: now, load: n as u64, fetched, fetched_at, bytes: 0 }));
}

/// Fills a cache of details with `entries`, of which less than half fit into 64 MiB.
fn details(entries: usize, customer: fn(usize) -> Option<Customer>) -> impl Fn(usize) -> Box<dyn std::any::Any> {
    move |limit| {
        let store = DetailStore::new(limit as u64, Duration::from_hours(24), Duration::from_secs(10));
        for n in 0..entries * limit / LIMIT {
            put(&store, n, customer(n));
        }
        store.settle_for_tests();
        let full = store.weighed_for_tests();
        assert!(full * 10 >= (limit - limit / 8) as u64 * 9, "{full} of {limit}");
        Box::new(store)
    }
}

#[test]
fn cache_of_records_with_many_parts_stays_within_its_limit() {
    check("cache_of_records_with_many_parts_stays_within_its_limit", details(6_000, |n| Some(customer(n, 20, 10, 3))));
}

#[test]
fn cache_of_large_records_stays_within_its_limit() {
    check("cache_of_large_records_stays_within_its_limit", details(400, |n| Some(customer(n, 300, 10, 3))));
}

#[test]
fn cache_of_ordinary_records_stays_within_its_limit() {
    check("cache_of_ordinary_records_stays_within_its_limit", details(70_000, |n| Some(customer(n, 1, 2, 1))));
}

#[test]
fn cache_of_missing_customers_stays_within_its_limit() {
    check("cache_of_missing_customers_stays_within_its_limit", details(200_000, |_| None));
}

/// The section "Sizing" of `docs/operations.md` has these weights, rounded.
#[test]
fn cached_records_weigh_what_the_sizing_table_has() {
    let weight = |customer| {
        let store = DetailStore::new(LIMIT as u64, Duration::from_hours(24), Duration::from_secs(10));
        put(&store, 1, customer);
        store.settle_for_tests();
        store.weighed_for_tests()
    };
    let relations = |relations, tags, mobiles| weight(Some(customer(1, relations, tags, mobiles)));
    let weights = [weight(None), relations(1, 2, 1), relations(20, 10, 3), relations(300, 10, 3)];
    assert_eq!(weights, [992, 2_416, 39_216, 552_112]);
}

/// Fills the store of one caller with answers until it is full.
fn answers(answer: FirstAnswer) -> impl Fn(usize) -> Box<dyn std::any::Any> {
    move |limit| {
        let store = IdempotencyStore::new(Bounds { total: limit, per_caller: limit }, Duration::from_hours(24));
        let caller = CallerId { issuer: "login".into(), subject: "reporting".into() };
        for n in 0.. {
            let key = IdempotencyKey { caller: caller.clone(), key: format!("key-{n:010}") };
            match store.begin(&key, [1; 32], 1_000) {
                Begun::Run(claim) => claim.finish(answer.clone()),
                Begun::ShareFull(_) | Begun::Full(_) => break,
                _ => panic!("the key is new"),
            }
        }
        Box::new(store)
    }
}

/// The answer to a batch with these results.
fn success(results: Vec<ItemResult>) -> FirstAnswer {
    let summary = BatchSummary::of(&results);
    let fetched_at = Some(Timestamp::UNIX_EPOCH);
    let report = SourceReport { source: source(), status: SourceStatus::Ok, fetched_at, problem: None };
    let meta = Meta { sources: vec![report], warnings: Vec::new() };
    FirstAnswer::Success(StoredAnswer::new(&BatchAnswer { data: BatchResults { results, summary }, meta }))
}

/// Results of items that failed, each with a message of its own of this many characters.
fn failed(items: usize, chars: usize) -> FirstAnswer {
    let result = |index| {
        let message = format!("{index:05}{}", "拒".repeat(chars - 5));
        let upstream = Some(UpstreamReply { code: "84061".to_owned(), message });
        let problem = ShortProblem::new(ProblemCode::ValidationFailed, "the source refused the item");
        ItemResult::new(index, ItemStatus::Failed, Some(ShortProblem { upstream, ..problem }))
    };
    success((0..items).map(result).collect())
}

#[test]
fn idempotency_store_of_the_largest_answers_stays_within_its_limit() {
    check("idempotency_store_of_the_largest_answers_stays_within_its_limit", answers(failed(1_000, 200)));
}

#[test]
fn idempotency_store_of_answers_with_short_messages_stays_within_its_limit() {
    check("idempotency_store_of_answers_with_short_messages_stays_within_its_limit", answers(failed(1_000, 6)));
}

#[test]
fn idempotency_store_of_small_answers_stays_within_its_limit() {
    check(
        "idempotency_store_of_small_answers_stays_within_its_limit",
        answers(success(vec![ItemResult { index: 0, status: ItemStatus::Succeeded, problem: None }])),
    );
}

#[test]
fn idempotency_store_of_refusals_stays_within_its_limit() {
    let problem = Problem::new(ProblemCode::SourceRejected, "the source answered with a code that is not known");
    let refusal = FirstAnswer::Refusal(Box::new(problem));
    check("idempotency_store_of_refusals_stays_within_its_limit", answers(refusal));
}
