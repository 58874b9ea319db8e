use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn key_of(source: &str, id: CustomerId) -> DetailKey {
    DetailKey { source: source.parse().unwrap(), id, staff_id: None }
}

fn external(id: &str) -> DetailKey {
    key_of("juzibot", CustomerId::ExternalUserId(id.to_owned()))
}

fn union(id: &str) -> DetailKey {
    key_of("juzibot", CustomerId::UnionId(id.to_owned()))
}

fn customer(external_user_id: Option<&str>, union_id: Option<&str>) -> Customer {
    let owned = |id: Option<&str>| id.map(str::to_owned);
    Customer { external_user_id: owned(external_user_id), union_id: owned(union_id), ..Customer::default() }
}

/// An answer whose load begins now.
fn answer(customer: Option<Customer>) -> KeptDetail {
    let record = customer.map(|customer| Arc::new(SourcedCustomer { customer, warnings: Vec::new() }));
    KeptDetail {
        record,
        begun: Instant::now(),
        load: 0,
        fetched: Instant::now(),
        fetched_at: Timestamp::UNIX_EPOCH,
        bytes: 0,
    }
}

/// An answer that shows these ids.
fn showing(external_user_id: Option<&str>, union_id: Option<&str>) -> Arc<KeptDetail> {
    Arc::new(answer(Some(customer(external_user_id, union_id))))
}

fn store(max_bytes: u64) -> DetailStore {
    DetailStore::new(max_bytes, Duration::from_hours(1), Duration::from_secs(10))
}

async fn tick() {
    tokio::time::advance(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn write_drops_customer_under_each_queried_id() {
    let store = store(1 << 20);
    assert!(store.put(external("wm1"), showing(Some("wm1"), Some("o1"))));
    assert!(store.put(union("o1"), showing(Some("wm1"), Some("o1"))));
    assert!(store.put(external("wm2"), showing(Some("wm2"), Some("o2"))));
    tick().await;
    store.drop_written(["o1"]);
    assert!(store.get(&external("wm1")).is_none());
    assert!(store.get(&union("o1")).is_none());
    assert!(store.get(&external("wm2")).is_some());
}

#[tokio::test(start_paused = true)]
async fn write_drops_record_without_union_id_that_another_record_links() {
    let tanma = |id: &str| key_of("tanma", CustomerId::ExternalUserId(id.to_owned()));
    let store = store(1 << 20);
    assert!(store.put(tanma("wm1"), showing(Some("wm1"), None)));
    assert!(store.put(tanma("wm2"), Arc::new(answer(None))));
    assert!(store.put(external("wm1"), showing(Some("wm1"), Some("o1"))));
    store.learn([&customer(Some("wm2"), Some("o2"))]);
    tick().await;
    store.drop_written(["o1"]);
    assert!(store.get(&tanma("wm1")).is_none());
    assert!(store.get(&tanma("wm2")).is_some());
    store.drop_written(["o2"]);
    assert!(store.get(&tanma("wm2")).is_none());
}

#[tokio::test(start_paused = true)]
async fn link_that_becomes_known_after_a_write_drops_older_records() {
    let store = store(1 << 20);
    assert!(store.put(external("wm1"), showing(Some("wm1"), None)));
    tick().await;
    store.drop_written(["o1"]);
    assert!(store.get(&external("wm1")).is_some(), "nothing links the two ids yet");
    tokio::time::advance(Duration::from_mins(5)).await;
    assert!(store.put(union("o1"), showing(Some("wm1"), None)));
    assert!(store.get(&external("wm1")).is_none());
    assert!(store.get(&union("o1")).is_some());
    assert!(store.put(external("wm1"), showing(Some("wm1"), None)), "a load from after the write is stored");
}

#[tokio::test(start_paused = true)]
async fn write_to_queried_or_shown_id_drops_translated_record() {
    for written in ["asked", "shown"] {
        let store = store(1 << 20);
        assert!(store.put(union("asked"), showing(Some("wm1"), Some("shown"))));
        assert!(store.put(external("wm1"), showing(Some("wm1"), None)));
        tick().await;
        store.drop_written([written]);
        assert!(store.get(&union("asked")).is_none(), "{written}");
        assert!(store.get(&external("wm1")).is_none(), "{written}");
    }
}

#[tokio::test(start_paused = true)]
async fn load_that_began_before_a_write_ended_is_not_stored() {
    let store = store(1 << 20);
    store.learn([&customer(Some("wm2"), Some("o1"))]);
    let (direct, linked) = (showing(Some("wm1"), Some("o1")), showing(Some("wm2"), None));
    tick().await;
    store.drop_written(["o1"]);
    tick().await;
    for (id, old) in [("wm1", &direct), ("wm2", &linked)] {
        assert!(store.written_since_load(&external(id), old), "{id}");
        assert!(!store.put(external(id), old.clone()), "{id}");
        assert!(store.get(&external(id)).is_none(), "{id}");
        assert!(store.put(external(id), showing(Some(id), None)), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn older_load_does_not_replace_newer_one() {
    let store = store(1 << 20);
    let mut older = answer(Some(customer(Some("wm1"), None)));
    older.load = 1;
    let mut newer = answer(Some(customer(Some("wm1"), Some("o1"))));
    newer.load = 2;
    assert!(store.put(external("wm1"), Arc::new(newer)));
    assert!(!store.put(external("wm1"), Arc::new(older)));
    assert_eq!(store.get(&external("wm1")).unwrap().load, 2);
}

#[tokio::test(start_paused = true)]
async fn entries_and_ids_are_bounded() {
    let max_bytes = 64 * 1024;
    let store = store(max_bytes);
    for n in 0..2_000 {
        store.put(external(&format!("wm{n}")), showing(Some(&format!("wm{n}")), Some(&format!("o{n}"))));
        store.learn([&customer(Some(&format!("listed{n}")), Some(&format!("of{n}")))]);
    }
    store.entries.run_pending_tasks();
    store.drop_written([]);
    assert!(store.entries.weighted_size() <= max_bytes);
    let entries = store.entries.entry_count();
    assert!((10..90).contains(&entries), "{entries}");
    let (groups, listed) = lock(&store.index).identities.counts();
    assert_eq!(listed as u64, entries);
    let known = (groups - listed) as u64;
    assert!((10..=max_bytes / 8 / 272).contains(&known), "{known}");
}

#[tokio::test(start_paused = true)]
async fn ids_of_recent_writes_outlast_those_of_lists() {
    let store = store(8 * 1024);
    let old = showing(Some("wm1"), None);
    store.learn([&customer(Some("wm1"), Some("o1"))]);
    store.drop_written(["o1"]);
    let flood = |store: &DetailStore| {
        for n in 0..100 {
            store.learn([&customer(Some(&format!("listed{n}")), Some(&format!("of{n}")))]);
        }
    };
    flood(&store);
    assert!(store.written_since_load(&external("wm1"), &old));
    tokio::time::advance(20 * SECOND).await;
    flood(&store);
    assert!(!store.written_since_load(&external("wm1"), &old), "no load takes so long");
    assert!(lock(&store.index).identities.counts().0 < 10);
}

#[tokio::test(start_paused = true)]
async fn union_id_that_a_source_reports_for_everybody_is_forgotten_safely() {
    let store = store(64 << 20);
    let old = showing(Some("late"), Some("same"));
    tick().await;
    for n in 0..1_500 {
        store.put(external(&format!("wm{n}")), showing(Some(&format!("wm{n}")), Some("same")));
        tick().await;
    }
    store.entries.run_pending_tasks();
    assert!(store.entries.entry_count() < 1_000, "{}", store.entries.entry_count());
    assert!(!store.put(external("late"), old), "it may be from before a write that was forgotten");
    store.drop_written(["same"]);
    store.entries.run_pending_tasks();
    assert_eq!(store.entries.entry_count(), 0);
}
