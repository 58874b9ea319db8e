//! Cached records, loads that callers share, and writes.

use super::*;

/// A source that takes a second, and whose answer is what the value was when the call began.
fn versioned(value: &Arc<Mutex<String>>) -> Actor {
    let value = value.clone();
    actor("a", move |_, _| {
        let read = value.lock().unwrap().clone();
        async move {
            // The guard's notes of progress are of real calls; this one counts as sent when it is polled.
            crate::upstream::Progress::enter_for_tests(crate::upstream::Phase::Answer);
            sleep(SECOND).await;
            found(&read, None)
        }
    })
}

/// Asks after a while.
async fn later(stage: &Stage, after: Duration, query: &DetailQuery) -> Answer {
    sleep(after).await;
    stage.ask(query).await
}

#[tokio::test(start_paused = true)]
async fn no_cache_does_not_join_a_load_that_began_before_it() {
    let value = Arc::new(Mutex::new("old".to_owned()));
    let stage = Stage::new(vec![versioned(&value)]);
    let change = async {
        sleep(SECOND / 4).await;
        "new".clone_into(&mut value.lock().unwrap());
    };
    let (query, no_cache) = (query(), no_cache());
    let (first, revalidated, joined, ()) = tokio::join!(
        stage.ask(&query),
        later(&stage, SECOND / 2, &no_cache),
        later(&stage, SECOND * 3 / 4, &query),
        change
    );
    assert_eq!(first.name(), "old");
    assert_eq!(revalidated.name(), "new");
    assert_eq!(revalidated.took, SECOND, "it does not wait for the older load");
    assert_eq!(revalidated.cache(0), CacheNote { bypass: true, stored: true, ..CacheNote::default() });
    assert_eq!(joined.name(), "new", "others join the newest load");
    assert_eq!(stage.ask(&query).await.name(), "new");
    assert_eq!(stage.calls(), [2]);
}

#[tokio::test(start_paused = true)]
async fn older_load_that_ends_later_does_not_replace_the_newer_one() {
    let slow_first = actor("a", |call, _| async move {
        crate::upstream::Progress::enter_for_tests(crate::upstream::Phase::Answer);
        sleep(if call == 1 { 5 * SECOND } else { SECOND }).await;
        found(if call == 1 { "old" } else { "new" }, None)
    });
    let stage = Stage::new(vec![slow_first]);
    let (query, no_cache) = (query(), no_cache());
    let (first, second) = tokio::join!(stage.ask(&query), later(&stage, SECOND, &no_cache));
    assert_eq!((first.name(), second.name()), ("old", "new"));
    assert!(!first.cache(0).stored && second.cache(0).stored);
    assert_eq!(stage.ask(&query).await.name(), "new");
    assert_eq!(stage.calls(), [2]);
}

#[tokio::test(start_paused = true)]
async fn concurrent_no_cache_callers_share_loads() {
    let value = Arc::new(Mutex::new("same".to_owned()));
    let stage = Stage::new(vec![versioned(&value)]);
    let query = no_cache();
    let callers = (0..50).map(|n| later(&stage, n * SECOND / 100, &query));
    for answer in futures_util::future::join_all(callers).await {
        assert_eq!(answer.name(), "same");
        assert!(answer.took <= 3 * SECOND, "{:?}", answer.took);
    }
    assert_eq!(stage.calls(), [3]);
}

#[tokio::test(start_paused = true)]
async fn record_in_place_of_a_failing_source_is_ok_while_fresh_and_stale_after() {
    let fails_later = actor("a", |call, _| async move { if call == 1 { found("a", None) } else { unavailable("a") } });
    let stage = Stage::new(vec![fails_later]);
    stage.ask(&query()).await.ok();
    tokio::time::advance(20 * SECOND).await;
    let answer = stage.ask(&no_cache()).await;
    assert_eq!(answer.reports(), [(SourceStatus::Ok, None)]);
    assert!((30..=40).contains(&answer.cache(0).ttl.unwrap()), "{:?}", answer.cache(0));
    tokio::time::advance(FRESH).await;
    let answer = stage.ask(&no_cache()).await;
    assert_eq!(answer.reports(), [(SourceStatus::Stale, Some(ProblemCode::SourceUnavailable))]);
    assert!(answer.cache(0).ttl.unwrap() < 0);
}

#[tokio::test(start_paused = true)]
async fn record_in_place_of_a_slow_source_is_ok_while_fresh() {
    let slow_later = actor("b", |call, _| async move {
        sleep(if call == 1 { Duration::ZERO } else { 2 * SECOND }).await;
        found("b", None)
    });
    let stage = Stage::new(vec![answers_after("a", Duration::ZERO), slow_later]);
    stage.ask(&query()).await.ok();
    let answer = stage.ask(&no_cache()).await;
    assert_eq!(answer.took, GRACE);
    assert_eq!(answer.reports(), [(SourceStatus::Ok, None); 2]);
    assert_eq!(answer.cache(1).ttl, Some(59));
}

#[tokio::test(start_paused = true)]
async fn bad_data_is_not_cached_and_not_replaced_by_a_cached_record() {
    let bad_later = actor("a", |call, _| async move {
        if call == 1 { found("a", None) } else { failed("a", Failure::BadData("it is about another customer".into())) }
    });
    let stage = Stage::new(vec![bad_later]);
    stage.ask(&query()).await.ok();
    for (query, advance) in [(no_cache(), Duration::ZERO), (query(), 2 * FRESH), (query(), Duration::ZERO)] {
        tokio::time::advance(advance).await;
        let answer = stage.ask(&query).await;
        assert_eq!(answer.problem().code, ProblemCode::SourceBadData);
        assert!(!answer.problem().retryable);
    }
    assert_eq!(stage.calls(), [4], "each is asked once");
}

#[tokio::test(start_paused = true)]
async fn write_drops_the_record_of_a_source_that_leaves_the_union_id_out() {
    let knows = actor("a", |_, _| async { found("a", Some("o1")) });
    let stage = Stage::new(vec![knows, answers_after("b", Duration::ZERO)]);
    stage.ask(&query()).await.ok();
    stage.ask(&query()).await.ok();
    assert_eq!(stage.calls(), [1, 1]);
    tokio::time::advance(SECOND).await;
    stage.customers.details.drop_written(["o1"]);
    stage.ask(&query()).await.ok();
    assert_eq!(stage.calls(), [2, 2]);
    // Also where the link comes from a raw read alone.
    let stage = Stage::new(vec![actor("a", |_, _| async { found("a", Some("o1")) }), answers_after("b", SECOND / 2)]);
    stage.ask(&DetailQuery { source: Some("b".to_owned()), ..query() }).await.ok();
    stage.ask(&DetailQuery { source: Some("a".to_owned()), ..raw() }).await.ok();
    tokio::time::advance(SECOND).await;
    stage.customers.details.drop_written(["o1"]);
    stage.ask(&DetailQuery { source: Some("b".to_owned()), ..query() }).await.ok();
    assert_eq!(stage.calls(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn load_of_a_linked_customer_that_began_before_a_write_is_not_stored() {
    let knows = actor("a", |_, _| async { found("a", Some("o1")) });
    let stage = Stage::new(vec![knows, answers_after("b", 5 * SECOND)]);
    let only_b = DetailQuery { source: Some("b".to_owned()), ..query() };
    let write = async {
        sleep(2 * SECOND).await;
        stage.customers.details.drop_written(["o1"]);
    };
    let whole = all_or_nothing();
    let (early, late, ()) = tokio::join!(stage.ask(&whole), later(&stage, 3 * SECOND, &only_b), write);
    assert!(!early.cache(1).stored);
    assert!(late.cache(0).stored && late.took == 7 * SECOND, "it is loaded again after the write: {:?}", late.took);
    assert_eq!(stage.calls(), [1, 2]);
}
