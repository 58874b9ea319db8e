//! Sources that disagree on whom they are asked about.

use super::*;

/// A source whose record has this name and union id.
fn shows(name: &'static str, union_id: Option<&'static str>) -> Actor {
    actor(name, move |_, _| async move { found(name, union_id) })
}

#[tokio::test(start_paused = true)]
async fn record_with_another_union_id_is_not_merged() {
    let stage = Stage::new(vec![shows("a", None), shows("b", Some("o1")), shows("c", Some("o2"))]);
    let answer = stage.ask(&query()).await;
    let (ok, bad) = ((SourceStatus::Ok, None), (SourceStatus::Failed, Some(ProblemCode::SourceBadData)));
    assert_eq!(answer.reports(), [ok, ok, bad]);
    let CustomerAnswer { data, meta } = answer.ok();
    assert_eq!((data.name.as_deref(), data.union_id.as_deref()), (Some("a"), Some("o1")));
    let [warning] = meta.warnings.as_slice() else { panic!("{:?}", meta.warnings) };
    assert_eq!((warning.code, warning.source.as_str()), (WarningCode::IdentityMismatch, "c"));
    assert_eq!(warning.pointer.as_deref(), Some("/meta/sources/2"));
    let why = "its union_id differs from that of source b";
    assert_eq!(warning.detail, format!("the record of source c was left out: {why}"));
    let problem = meta.sources[2].problem.as_ref().unwrap();
    assert_eq!(problem.detail, format!("source c: its answer cannot be used: {why}"));
    assert!(!problem.retryable);

    let problem = stage.ask(&all_or_nothing()).await;
    assert_eq!((problem.problem().code, problem.problem().status), (ProblemCode::SourceBadData, 502));
    assert_eq!(problem.problem().source.as_ref().unwrap().as_str(), "c");
}

#[tokio::test(start_paused = true)]
async fn order_of_arrival_does_not_decide_which_record_wins() {
    let slow = actor("a", |_, _| async {
        sleep(SECOND / 2).await;
        found("a", Some("o1"))
    });
    let answer = Stage::new(vec![slow, shows("b", Some("o2"))]).ask(&query()).await;
    assert_eq!(answer.name(), "a");
    assert_eq!(answer.reports()[1].1, Some(ProblemCode::SourceBadData));
}

#[tokio::test(start_paused = true)]
async fn disagreement_beside_a_source_that_fails_leaves_the_decision_table_as_it_is() {
    let fails = actor("a", |_, _| async { failed("a", Failure::Unreachable) });
    let stage = Stage::new(vec![fails, shows("b", Some("o1")), shows("c", Some("o2"))]);
    let answer = stage.ask(&query()).await;
    assert_eq!(answer.name(), "b");
    let problem = stage.ask(&all_or_nothing()).await;
    assert_eq!(problem.problem().code, ProblemCode::SourceBadData, "it ranks before source_unavailable");
}

#[tokio::test(start_paused = true)]
async fn queried_union_id_decides() {
    let by_union = |actor: Actor| Actor { by_union_id: true, ..actor };
    let union_query = DetailQuery { id: CustomerId::UnionId("o1".to_owned()), ..query() };
    // The second source is asked by the external id that the first one reports.
    let stage = Stage::new(vec![by_union(shows("a", Some("o1"))), shows("b", Some("o2"))]);
    let answer = stage.ask(&union_query).await;
    assert_eq!(answer.reports()[1].1, Some(ProblemCode::SourceBadData));
    // A source that translates ids answers with its own, which then is another id of the same customer.
    let stage = Stage::new(vec![by_union(shows("a", Some("t1"))), shows("b", Some("o1")), shows("c", Some("t1"))]);
    let answer = stage.ask(&union_query).await;
    assert_eq!(answer.reports(), [(SourceStatus::Ok, None); 3]);
    assert_eq!(answer.ok().data.union_id.as_deref(), Some("t1"));
}
