use futures_util::FutureExt;
use futures_util::future::join_all;
use proptest::prelude::*;
use tokio::time::sleep;

use super::*;

const MIB: usize = 1 << 20;

fn caller(name: &str) -> CallerId {
    CallerId { issuer: "login".into(), subject: name.into() }
}

fn used(in_flight: &InFlight) -> usize {
    (in_flight.0.units - in_flight.0.permits.available_permits()) * UNIT
}

#[tokio::test(start_paused = true)]
async fn reservation_is_returned_when_dropped() {
    let in_flight = InFlight::new(8 * MIB as u64);
    let reservation = in_flight.open(Some(caller("a")));
    reservation.grow(MIB).await.unwrap();
    assert_eq!((reservation.bytes(), used(&in_flight)), (MIB, MIB - UNCOUNTED));
    reservation.grow(MIB).await.unwrap();
    reservation.shrink_to(MIB / 2);
    assert_eq!((reservation.bytes(), used(&in_flight)), (MIB / 2, MIB / 2 - UNCOUNTED));
    drop(reservation);
    assert_eq!(used(&in_flight), 0);
    assert!(lock(&in_flight.0.callers).is_empty());
}

#[tokio::test(start_paused = true)]
async fn small_reservation_is_not_counted() {
    let in_flight = InFlight::new(8 * MIB as u64);
    let _all = exhausted(&in_flight).await;
    let small = in_flight.open(Some(caller("a")));
    assert_eq!(small.grow(UNCOUNTED).now_or_never(), Some(Ok(())));
    assert!(!small.is_counted());
    assert_eq!(small.grow(1).await, Err(Refused::Total));
    assert_eq!(small.bytes(), UNCOUNTED);
}

/// Reservations that hold all bytes: those of work that callers share, and of two callers.
async fn exhausted(in_flight: &InFlight) -> Vec<Arc<Reservation>> {
    let shared = in_flight.open(None);
    shared.grow(4 * MIB + UNCOUNTED).await.unwrap();
    let mut all = vec![shared];
    for name in ["filler-1", "filler-2"] {
        let filler = in_flight.open(Some(caller(name)));
        filler.grow(2 * MIB + UNCOUNTED).await.unwrap();
        all.push(filler);
    }
    assert_eq!(used(in_flight), 8 * MIB);
    all
}

#[tokio::test(start_paused = true)]
async fn shared_work_is_refused_at_half_and_callers_are_not() {
    let in_flight = InFlight::new(8 * MIB as u64);
    let shared = in_flight.open(None);
    shared.grow(4 * MIB).await.unwrap();
    let begun = Instant::now();
    assert_eq!(in_flight.open(None).grow(MIB).await, Err(Refused::Total));
    assert_eq!(begun.elapsed(), PATIENCE);
    assert_eq!(in_flight.open(Some(caller("a"))).grow(2 * MIB).now_or_never(), Some(Ok(())));
    shared.shrink_to(2 * MIB);
    assert_eq!(in_flight.open(None).grow(MIB).now_or_never(), Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn caller_is_refused_at_its_share_and_others_are_not() {
    let in_flight = InFlight::new(8 * MIB as u64);
    let first = in_flight.open(Some(caller("a")));
    first.grow(2 * MIB).await.unwrap();
    let begun = Instant::now();
    assert_eq!(in_flight.open(Some(caller("a"))).grow(MIB).await, Err(Refused::Caller));
    assert_eq!(begun.elapsed(), PATIENCE);
    assert_eq!(in_flight.open(Some(caller("b"))).grow(MIB).now_or_never(), Some(Ok(())));
    assert_eq!(in_flight.open(None).grow(4 * MIB).now_or_never(), Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn exhausted_total_refuses_after_the_wait() {
    let in_flight = InFlight::new(8 * MIB as u64);
    let all = exhausted(&in_flight).await;
    let waiting = in_flight.open(Some(caller("a")));
    assert_eq!(waiting.grow(MIB).await, Err(Refused::Total));
    assert_eq!(waiting.bytes(), 0);
    drop(all);
    assert_eq!(used(&in_flight), 0, "nothing of the refused one is left");
}

#[tokio::test(start_paused = true)]
async fn waiting_reservation_gets_what_becomes_free() {
    let in_flight = InFlight::new(8 * MIB as u64);
    let all = exhausted(&in_flight).await;
    let frees = async {
        sleep(PATIENCE / 2).await;
        all[0].shrink_to(2 * MIB);
    };
    let waiting = in_flight.open(Some(caller("a")));
    let begun = Instant::now();
    let (grown, ()) = tokio::join!(waiting.grow(2 * MIB), frees);
    assert_eq!((grown, begun.elapsed()), (Ok(()), PATIENCE / 2));
}

#[tokio::test(start_paused = true)]
async fn small_reservations_do_not_overtake_a_large_one() {
    let in_flight = InFlight::new(8 * MIB as u64);
    let shared = in_flight.open(None);
    shared.grow(4 * MIB).await.unwrap();
    let (large, small) = (in_flight.open(None), in_flight.open(None));
    let frees = async {
        sleep(PATIENCE / 4).await;
        shared.shrink_to(3 * MIB);
        sleep(PATIENCE / 4).await;
        shared.shrink_to(MIB / 2);
    };
    let order = Mutex::new(Vec::new());
    let grow = async |name, reservation: &Reservation, bytes| {
        let grown = reservation.grow(bytes).await;
        lock(&order).push((name, grown));
    };
    tokio::join!(grow("large", &large, 3 * MIB), grow("small", &small, MIB / 2), frees);
    assert_eq!(*lock(&order), [("large", Ok(())), ("small", Ok(()))]);
}

#[tokio::test(start_paused = true)]
async fn reservation_larger_than_its_share_is_refused_at_once() {
    let in_flight = InFlight::new(8 * MIB as u64);
    let of_caller = in_flight.open(Some(caller("a")));
    assert_eq!(of_caller.grow(3 * MIB).now_or_never(), Some(Err(Refused::TooLarge)));
    of_caller.grow(MIB).await.unwrap();
    assert_eq!(of_caller.grow(2 * MIB).now_or_never(), Some(Err(Refused::TooLarge)));
    assert_eq!(in_flight.open(None).grow(5 * MIB).now_or_never(), Some(Err(Refused::TooLarge)));
    assert_eq!(of_caller.grow(usize::MAX).now_or_never(), Some(Err(Refused::TooLarge)));
    assert_eq!(of_caller.bytes(), MIB);
}

#[tokio::test(start_paused = true)]
async fn two_that_hold_a_part_and_want_more_are_not_blocked_for_longer_than_the_wait() {
    let in_flight = InFlight::new(8 * MIB as u64);
    let (one, other) = (in_flight.open(None), in_flight.open(None));
    one.grow(2 * MIB).await.unwrap();
    other.grow(2 * MIB).await.unwrap();
    let begun = Instant::now();
    let (first, second) = tokio::join!(one.grow(MIB), other.grow(MIB));
    assert_eq!((first, second), (Err(Refused::Total), Err(Refused::Total)));
    assert_eq!(begun.elapsed(), PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn given_up_wait_leaves_nothing_reserved() {
    let in_flight = InFlight::new(8 * MIB as u64);
    let all = exhausted(&in_flight).await;
    let waiting = in_flight.open(Some(caller("a")));
    assert!(tokio::time::timeout(PATIENCE / 2, waiting.grow(MIB)).await.is_err());
    assert_eq!(waiting.bytes(), 0);
    drop(all);
    assert_eq!(used(&in_flight), 0);
}

#[tokio::test(start_paused = true)]
async fn absorbed_reservation_is_held_by_the_other() {
    let in_flight = InFlight::new(8 * MIB as u64);
    let request = in_flight.open(Some(caller("a")));
    let call = request.sibling();
    call.grow(MIB).await.unwrap();
    request.grow(MIB / 2).await.unwrap();
    let before = used(&in_flight);
    request.absorb(&call);
    drop(call);
    assert_eq!((request.bytes(), used(&in_flight)), (MIB + MIB / 2, before));
    drop(request);
    assert_eq!(used(&in_flight), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Grow(usize, usize),
    Shrink(usize, usize),
    Absorb(usize, usize),
    Replace(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = 0_usize..8;
    let step = prop_oneof![
        4 => (index.clone(), 0..3 * MIB).prop_map(|(at, bytes)| Step::Grow(at, bytes)),
        2 => (index.clone(), 0..2 * MIB).prop_map(|(at, bytes)| Step::Shrink(at, bytes)),
        1 => (index.clone(), index.clone()).prop_map(|(to, from)| Step::Absorb(to, from)),
        1 => index.prop_map(Step::Replace),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn reservations_never_exceed_their_limits_and_are_all_returned(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let in_flight = InFlight::new(8 * MIB as u64);
            // Two callers, and work that they share.
            let open = |at: usize| in_flight.open([Some(caller("a")), Some(caller("b")), None][at % 3].clone());
            let mut open_ones: Vec<_> = (0..8).map(open).collect();
            for round in steps.chunks(4) {
                let grows = round.iter().filter_map(|step| match step {
                    Step::Grow(at, bytes) => Some((open_ones[*at].clone(), *bytes)),
                    _ => None,
                });
                // Several wait at once.
                join_all(grows.map(|(one, bytes)| async move { one.grow(bytes).await })).await;
                for step in round {
                    match *step {
                        Step::Shrink(at, bytes) => open_ones[at].shrink_to(bytes),
                        Step::Absorb(to, from) if to != from && to % 3 == from % 3 => {
                            open_ones[to].absorb(&open_ones[from]);
                        }
                        Step::Grow(..) | Step::Absorb(..) => {}
                        Step::Replace(at) => open_ones[at] = open(at),
                    }
                }
                let counted = |one: &Arc<Reservation>| one.lock().units() * UNIT;
                prop_assert_eq!(open_ones.iter().map(counted).sum::<usize>(), used(&in_flight));
                prop_assert!(used(&in_flight) <= 8 * MIB);
                for (at, most) in [2 * MIB, 2 * MIB, 4 * MIB].into_iter().enumerate() {
                    let of_one: usize = open_ones.iter().skip(at).step_by(3).map(counted).sum();
                    prop_assert!(of_one <= most);
                }
            }
            drop(open_ones);
            prop_assert_eq!(used(&in_flight), 0);
            prop_assert!(lock(&in_flight.0.callers).is_empty());
            Ok(())
        })?;
    }
}
