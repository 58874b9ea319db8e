use jiff::Timestamp;

use crate::model::{
    BatchAnswer, BatchResults, BatchSummary, ItemResult, ItemStatus, Meta, Problem, ProblemCode, ShortProblem,
    SourceReport, SourceStatus, UpstreamReply,
};

use super::*;

const RETENTION: Duration = Duration::from_hours(24);
/// The room that a running request of these tests sets aside.
const ROOM: usize = 1_000;

fn caller(name: &str) -> CallerId {
    CallerId { issuer: "i".into(), subject: name.into() }
}

fn key(of: &str, key: &str) -> IdempotencyKey {
    IdempotencyKey { caller: caller(of), key: key.to_owned() }
}

fn store(total: usize, per_caller: usize) -> IdempotencyStore {
    IdempotencyStore::new(Bounds { total, per_caller }, RETENTION)
}

fn run(begun: Begun) -> Claim {
    match begun {
        Begun::Run(claim) => claim,
        _ => panic!("expected to run"),
    }
}

/// The answer to a batch of which all items succeeded.
fn succeeded(items: usize) -> BatchAnswer {
    let results: Vec<_> =
        (0..items).map(|index| ItemResult { index, status: ItemStatus::Succeeded, problem: None }).collect();
    let summary = BatchSummary::of(&results);
    let (source, fetched_at) = ("juzibot".parse().unwrap(), Some(Timestamp::UNIX_EPOCH));
    let report = SourceReport { source, status: SourceStatus::Ok, fetched_at, problem: None };
    BatchAnswer { data: BatchResults { results, summary }, meta: Meta { sources: vec![report], warnings: Vec::new() } }
}

/// The answer to a batch of 1,000 items that the source refused, each with this detail and the source's own words.
fn failed(detail: impl Fn(usize) -> String) -> FirstAnswer {
    let mut answer = succeeded(1_000);
    for result in &mut answer.data.results {
        let upstream = Some(UpstreamReply { code: "84061".to_owned(), message: "not a friend".to_owned() });
        let problem =
            ShortProblem { upstream, ..ShortProblem::new(ProblemCode::ValidationFailed, detail(result.index)) };
        *result = ItemResult::new(result.index, ItemStatus::Failed, Some(problem));
    }
    answer.data.summary = BatchSummary::of(&answer.data.results);
    FirstAnswer::Success(StoredAnswer::new(&answer))
}

fn success(items: usize) -> FirstAnswer {
    FirstAnswer::Success(StoredAnswer::new(&succeeded(items)))
}

/// Finishes writes under fresh keys until one is refused. Returns how many there were, and the refusal.
fn fill(store: &IdempotencyStore, caller: &str) -> (usize, Begun) {
    for n in 0.. {
        match store.begin(&key(caller, &format!("fill-{n:05}")), [1; 32], ROOM) {
            Begun::Run(claim) => claim.finish(success(1)),
            refusal => return (n, refusal),
        }
    }
    unreachable!()
}

/// What the store counts, checked against its entries, and how many callers have any.
fn counted(store: &IdempotencyStore) -> (Usage, usize) {
    let kept = store.0.lock();
    let mut all = Usage::default();
    for (caller, share) in &kept.shares {
        let entries = share.entries.values();
        let of = Usage {
            bytes: share_bytes(caller) + entries.clone().map(|entry| entry.bytes).sum::<usize>(),
            reserved: entries.filter(|entry| entry.until().is_none()).map(|entry| entry.bytes).sum(),
        };
        assert_eq!(share.used, of);
        all = Usage { bytes: all.bytes + of.bytes, reserved: all.reserved + of.reserved };
    }
    assert_eq!(kept.used, all);
    let finished: usize = kept.shares.values().map(|share| share.order.len()).sum();
    assert_eq!(kept.order.len(), finished);
    (all, kept.shares.len())
}

#[tokio::test(start_paused = true)]
async fn first_answer_is_replayed_to_its_caller_until_the_retention_ends() {
    let store = store(10_000, usize::MAX);
    let key = key("a", "key-0001");
    run(store.begin(&key, [1; 32], ROOM)).finish(success(3));
    let Begun::Replay(FirstAnswer::Success(replayed)) = store.begin(&key, [1; 32], ROOM) else {
        panic!("expected a replay")
    };
    assert_eq!(replayed.restore(), succeeded(3));
    assert!(matches!(store.begin(&key, [2; 32], ROOM), Begun::Reused));
    let others = IdempotencyKey { caller: caller("b"), ..key.clone() };
    drop(run(store.begin(&others, [2; 32], ROOM)));
    tokio::time::advance(RETENTION).await;
    drop(run(store.begin(&key, [2; 32], ROOM)));
    assert_eq!(counted(&store), (Usage::default(), 0));
}

#[tokio::test(start_paused = true)]
async fn key_is_taken_while_its_request_runs_and_free_when_that_is_dropped() {
    let store = store(10_000, usize::MAX);
    let claim = run(store.begin(&key("a", "key-0001"), [1; 32], ROOM));
    assert!(matches!(store.begin(&key("a", "key-0001"), [1; 32], ROOM), Begun::InProgress));
    assert_eq!(counted(&store).0.reserved, ENTRY_BYTES + ROOM);
    drop(claim);
    drop(run(store.begin(&key("a", "key-0001"), [1; 32], ROOM)));
    assert_eq!(counted(&store), (Usage::default(), 0));
}

#[tokio::test(start_paused = true)]
async fn full_store_refuses_until_its_oldest_entry_expires() {
    let store = store(10_000, usize::MAX);
    run(store.begin(&key("oldest", "key-0001"), [1; 32], ROOM)).finish(success(1));
    tokio::time::advance(Duration::from_hours(1)).await;
    let (count, refusal) = fill(&store, "a");
    assert!(count > 20, "{count}");
    let Begun::Full(wait) = refusal else { panic!("expected a full store") };
    assert_eq!(wait, Duration::from_hours(23));
    for n in 0..count {
        let again = store.begin(&key("a", &format!("fill-{n:05}")), [1; 32], ROOM);
        assert!(matches!(again, Begun::Replay(_)), "nothing is forgotten early");
    }
    tokio::time::advance(wait).await;
    drop(run(store.begin(&key("b", "key-9999"), [1; 32], ENTRY_BYTES)));
    tokio::time::advance(RETENTION).await;
    drop(run(store.begin(&key("b", "key-9999"), [1; 32], ROOM)));
    assert_eq!(counted(&store), (Usage::default(), 0));
}

#[tokio::test(start_paused = true)]
async fn share_is_per_caller() {
    let store = store(20_000, 5_000);
    let (count, refusal) = fill(&store, "a");
    assert!(count > 10, "{count}");
    assert!(matches!(refusal, Begun::ShareFull(wait) if wait == RETENTION));
    assert!(matches!(store.begin(&key("a", "fill-00000"), [1; 32], ROOM), Begun::Replay(_)));
    run(store.begin(&key("b", "key-99999"), [1; 32], ROOM)).finish(success(1));
    assert_eq!(counted(&store).1, 2);
    tokio::time::advance(RETENTION).await;
    store.sweep();
    assert_eq!(counted(&store), (Usage::default(), 0));
}

#[tokio::test(start_paused = true)]
async fn expired_entries_leave_a_full_share_without_a_sweep() {
    let store = store(20_000, 5_000);
    let (count, _) = fill(&store, "a");
    tokio::time::advance(RETENTION).await;
    assert_eq!(fill(&store, "a").0, count);
}

#[tokio::test(start_paused = true)]
async fn room_that_running_requests_hold_is_waited_for_briefly() {
    let store = store(20_000, 5_000);
    run(store.begin(&key("a", "finished"), [1; 32], ROOM)).finish(success(1));
    let mut claims = Vec::new();
    let refusal = loop {
        match store.begin(&key("a", &format!("key-{:05}", claims.len())), [1; 32], ROOM) {
            Begun::Run(claim) => claims.push(claim),
            refusal => break refusal,
        }
    };
    assert!(matches!(refusal, Begun::ShareFull(wait) if wait == WHILE_OTHERS_RUN));
    drop(claims);
    drop(run(store.begin(&key("a", "key-99999"), [1; 32], ROOM)));
}

#[tokio::test(start_paused = true)]
async fn entry_costs_what_its_outcome_holds() {
    let cost = |answer: FirstAnswer| {
        let store = store(usize::MAX, usize::MAX);
        run(store.begin(&key("a", &"k".repeat(255)), [1; 32], 1 << 20)).finish(answer);
        counted(&store).0.bytes - share_bytes(&caller("a"))
    };
    assert_eq!(cost(success(1)), ENTRY_BYTES);
    assert_eq!(cost(success(1_000)), ENTRY_BYTES);
    // The figures of `docs/configuration.md`.
    let alike = cost(failed(|_| "the source refused the item".to_owned()));
    assert!((580..660).contains(&alike), "{alike}");
    let different = cost(failed(|index| format!("{index:060}")));
    assert!((180_000..200_000).contains(&different), "{different}");
    let problem = Problem::new(ProblemCode::SourceRejected, "x".repeat(300));
    assert!((600..1_200).contains(&cost(FirstAnswer::Refusal(Box::new(problem)))));
}

/// `docs/configuration.md` has these numbers. The sizes are the defaults for a memory limit of 1 GiB.
#[tokio::test(start_paused = true)]
async fn default_share_holds_62_000_keyed_writes() {
    let total = 61 << 20;
    let per_caller = total / 4;
    let store = store(total, per_caller);
    let (count, refusal) = fill(&store, "a");
    assert!(matches!(refusal, Begun::ShareFull(_)));
    assert!((62_000..63_000).contains(&count), "{count}");
    let others: usize = ["b", "c", "d"].map(|caller| fill(&store, caller).0).iter().sum();
    assert!((249_000..250_000).contains(&(count + others)), "{count} and {others}");
}
