//! How long sources are waited for.

use super::*;

#[tokio::test(start_paused = true)]
async fn on_partial_fail_waits_past_the_grace() {
    let stage = || Stage::new(vec![answers_after("a", Duration::ZERO), answers_after("b", 5 * SECOND)]);
    let answer = stage().ask(&query()).await;
    assert_eq!(answer.took, GRACE);
    assert_eq!(answer.reports()[1], (SourceStatus::Failed, Some(ProblemCode::SourceTimeout)));
    for query in [all_or_nothing(), DetailQuery { raw: true, ..all_or_nothing() }] {
        let answer = stage().ask(&query).await;
        assert_eq!(answer.took, 5 * SECOND);
        assert_eq!(answer.reports(), [(SourceStatus::Ok, None); 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn on_partial_fail_is_a_timeout_at_the_deadline() {
    let stage = Stage::new(vec![answers_after("a", Duration::ZERO), hangs("b")]);
    let answer = stage.ask(&all_or_nothing()).await;
    assert_eq!(answer.took, DEADLINE);
    assert_eq!(answer.problem().code, ProblemCode::SourceTimeout);
    assert_eq!(answer.problem().source.as_ref().unwrap().as_str(), "b");
}

#[tokio::test(start_paused = true)]
async fn cached_record_at_the_deadline_counts_as_ok() {
    let hangs_later = actor("b", |call, _| async move {
        if call > 1 {
            std::future::pending::<()>().await;
        }
        found("b", None)
    });
    let stage = Stage::new(vec![answers_after("a", Duration::ZERO), hangs_later]);
    stage.ask(&query()).await.ok();
    let answer = stage.ask(&DetailQuery { freshness: Freshness::Revalidate, ..all_or_nothing() }).await;
    assert_eq!(answer.took, DEADLINE);
    assert_eq!(answer.reports(), [(SourceStatus::Ok, None); 2]);
    assert_eq!(answer.cache(1), CacheNote { hit: true, ttl: Some(50), ..CacheNote::default() });
    // Past its freshness it counts as well, and is marked.
    tokio::time::advance(FRESH).await;
    let answer = stage.ask(&all_or_nothing()).await;
    assert_eq!(answer.took, DEADLINE);
    assert_eq!(answer.reports()[1], (SourceStatus::Stale, Some(ProblemCode::SourceTimeout)));
}

/// A source that refuses each call at once, to be asked again in six seconds.
fn asks_for_time(name: &'static str) -> Actor {
    actor(name, move |_, _| async move {
        unavailable(name).map_err(|error| UpstreamError { retry_after: Some(6 * SECOND), ..error })
    })
}

#[tokio::test(start_paused = true)]
async fn source_between_two_tries_does_not_delay_the_answer() {
    for query in [query(), raw(), all_or_nothing()] {
        let stage = Stage::new(vec![asks_for_time("a"), asks_for_time("b")]);
        // Somebody else, who may wait for longer, has the loads of both under way.
        let (_, answer) = tokio::join!(stage.ask(&query), stage.ask_within(2 * SECOND, &query));
        let problem = answer.problem();
        if query.raw {
            // It shares no load, and its own calls know that there is no time for another try.
            assert_eq!((answer.took, problem.code), (Duration::ZERO, ProblemCode::SourceUnavailable));
        } else {
            assert_eq!(answer.took, 2 * SECOND, "{query:?}");
            assert_eq!(problem.code, ProblemCode::SourceTimeout);
            assert!(problem.detail.ends_with("waiting to try again"), "{}", problem.detail);
        }
    }
    let stage = Stage::new(vec![answers_after("a", SECOND), asks_for_time("b")]);
    for query in [query(), raw()] {
        let answer = stage.ask(&query).await;
        assert!(answer.took <= SECOND + GRACE, "{:?}", answer.took);
    }
}

#[tokio::test(start_paused = true)]
async fn source_without_a_free_permit_does_not_delay_the_answer() {
    let full = |name| Actor { keys: "max_in_flight = 1\nbreaker = { min_calls = 1000 }", ..hangs(name) };
    for query in [query(), raw()] {
        let stage = Stage::new(vec![full("a"), full("b")]);
        let others = DetailQuery { id: CustomerId::ExternalUserId("wm2".to_owned()), ..query.clone() };
        let late = async {
            sleep(SECOND).await;
            stage.ask_within(Duration::from_millis(500), &query).await
        };
        let (_, answer) = tokio::join!(stage.ask(&others), late);
        assert_eq!(answer.took, Duration::from_millis(500));
        assert_eq!(answer.problem().code, ProblemCode::SourceTimeout);
        assert!(answer.problem().detail.ends_with("waiting for a free slot"), "{}", answer.problem().detail);
    }
}

/// A call that knows no deadline, as the last line of defence.
#[tokio::test(start_paused = true)]
async fn call_that_ignores_its_deadline_does_not_delay_the_answer() {
    for query in [query(), raw(), all_or_nothing(), no_cache()] {
        for actors in [vec![hangs("a"), hangs("b")], vec![hangs("a")]] {
            let answer = Stage::new(actors).ask_within(3 * SECOND, &query).await;
            assert_eq!(answer.took, 3 * SECOND, "{query:?}");
            assert_eq!(answer.problem().code, ProblemCode::SourceTimeout);
        }
    }
    // An answer shortly before the deadline does not grant a grace beyond it.
    let answer = Stage::new(vec![answers_after("a", 9 * SECOND + SECOND / 2), hangs("b")]).ask(&query()).await;
    assert_eq!(answer.took, DEADLINE);
    assert_eq!(answer.reports()[0], (SourceStatus::Ok, None));
}
