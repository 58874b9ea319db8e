//! Loads that callers share: at most one begins for a key, unless a caller needs one that begins after its own request.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::oneshot;

use crate::store::lock;
use crate::trace;
use crate::upstream::Progress;

/// The load that a caller may join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    Any,
    /// One of which the source has received nothing yet.
    NotSent,
}

/// A load that any number of callers wait for. It runs in a task of its own.
pub(super) struct Load<T: Clone> {
    /// `None`: the task panicked, or the runtime is shutting down.
    pub result: Shared<BoxFuture<'static, Option<T>>>,
    pub progress: Progress,
    number: u64,
    /// Whether it began while an earlier one of its key was in flight.
    overlaps: bool,
}

impl<T: Clone> Clone for Load<T> {
    fn clone(&self) -> Self {
        Self { result: self.result.clone(), progress: self.progress.clone(), ..*self }
    }
}

/// The newest load in flight of each key.
pub(super) struct SingleFlight<K, T: Clone>(Mutex<InFlight<K, T>>);

struct InFlight<K, T: Clone> {
    loads: HashMap<K, Load<T>>,
    last_number: u64,
}

impl<K, T: Clone> Default for SingleFlight<K, T> {
    fn default() -> Self {
        Self(Mutex::new(InFlight { loads: HashMap::new(), last_number: 0 }))
    }
}

impl<K, T> SingleFlight<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// The progress of the newest load in flight.
    pub(super) fn progress(&self, key: &K) -> Option<Progress> {
        lock(&self.0).loads.get(key).map(|load| load.progress.clone())
    }

    /// Joins the load in flight, or starts one. `load` is called with the load's number, which ascends. Returns whether it joined.
    ///
    /// Of the loads that callers cannot join, two of a key are in flight at most: a third waits for the second, and while it waits,
    /// everybody may join it.
    pub(super) fn join_or_start<F>(
        self: &Arc<Self>,
        key: K,
        join: Join,
        load: impl FnOnce(u64) -> F + Send + 'static,
    ) -> (Load<T>, bool)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let (started, before) = {
            let mut in_flight = lock(&self.0);
            let InFlight { loads, last_number } = &mut *in_flight;
            let newest = loads.get(&key);
            if let Some(newest) = newest
                && (join == Join::Any || newest.progress.phase().only_waits())
            {
                return (newest.clone(), true);
            }
            *last_number += 1;
            let started = Load {
                result: receiver.map(Result::ok).boxed().shared(),
                progress: Progress::default(),
                number: *last_number,
                overlaps: newest.is_some(),
            };
            let before = loads.insert(key.clone(), started.clone());
            (started, before)
        };
        let listed = Listed { flights: self.clone(), key, number: started.number };
        let (number, progress) = (started.number, started.progress.clone());
        let wait_for = before.filter(|before| before.overlaps).map(|before| before.result);
        // Not under the lock: a runtime that is shutting down drops the task here, and with it `listed`, which takes the lock.
        tokio::spawn(trace::carried(async move {
            if let Some(before) = wait_for {
                before.await;
            }
            let result = progress.of(load(number)).await;
            // A caller that sees the result must not join this load again.
            drop(listed);
            let _nobody_waits = sender.send(result);
        }));
        (started, false)
    }
}

/// Takes a load off the list when it ends, however it ends.
struct Listed<K: Eq + Hash, T: Clone> {
    flights: Arc<SingleFlight<K, T>>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, T: Clone> Drop for Listed<K, T> {
    fn drop(&mut self) {
        let mut in_flight = lock(&self.flights.0);
        let is_newest = in_flight.loads.get(&self.key).is_some_and(|load| load.number == self.number);
        let ended = if is_newest { in_flight.loads.remove(&self.key) } else { None };
        drop(in_flight);
        drop(ended);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use crate::upstream::Phase;

    use super::*;

    type Flights = SingleFlight<&'static str, u64>;

    /// A load that is sent at once and takes a second.
    async fn sent(number: u64) -> u64 {
        Progress::enter_for_tests(Phase::Answer);
        sleep(Duration::from_secs(1)).await;
        number
    }

    /// Lets the tasks that were started run.
    async fn settle() {
        sleep(Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn callers_share_the_load_in_flight() {
        let flights = Arc::new(Flights::default());
        let (first, joined) = flights.join_or_start("a", Join::Any, sent);
        assert!(!joined);
        settle().await;
        let (second, joined) = flights.join_or_start("a", Join::Any, sent);
        assert!(joined);
        assert_eq!((first.result.await, second.result.await), (Some(1), Some(1)));
        assert!(flights.progress(&"a").is_none());
        let (third, joined) = flights.join_or_start("a", Join::Any, sent);
        assert!(!joined);
        assert_eq!(third.result.await, Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn load_that_was_sent_is_not_joined_by_who_needs_a_later_one() {
        let flights = Arc::new(Flights::default());
        let (first, _) = flights.join_or_start("a", Join::NotSent, sent);
        let (waiting, joined) = flights.join_or_start("a", Join::NotSent, sent);
        assert!(joined, "the source has received nothing yet");
        settle().await;
        let (second, joined) = flights.join_or_start("a", Join::NotSent, sent);
        assert!(!joined);
        let begun = Instant::now();
        assert_eq!(second.result.await, Some(2));
        assert_eq!(begun.elapsed().as_secs(), 1, "it does not wait for the first");
        assert_eq!((first.result.await, waiting.result.await), (Some(1), Some(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn third_load_waits_for_the_second_and_is_shared_meanwhile() {
        let flights = Arc::new(Flights::default());
        let mut loads = Vec::new();
        for _ in 0..100 {
            loads.push(flights.join_or_start("a", Join::NotSent, sent).0);
            settle().await;
        }
        let mut results = Vec::new();
        for load in loads {
            results.push(load.result.await.unwrap());
        }
        assert_eq!(results[..3], [1, 2, 3]);
        assert!(results[3..].iter().all(|number| *number == 3), "{results:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn end_of_an_older_load_leaves_the_newer_one_listed() {
        let flights = Arc::new(Flights::default());
        let (older, _) = flights.join_or_start("a", Join::Any, sent);
        sleep(Duration::from_millis(500)).await;
        let (newer, _) = flights.join_or_start("a", Join::NotSent, sent);
        older.result.await;
        let (joining, joined) = flights.join_or_start("a", Join::Any, sent);
        assert!(joined);
        assert_eq!((newer.result.await, joining.result.await), (Some(2), Some(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn panic_of_a_load_ends_it_for_all() {
        let flights = Arc::new(Flights::default());
        let panics = |_| async { panic!("on purpose") };
        let (load, _) = flights.join_or_start("a", Join::Any, panics);
        assert_eq!(load.result.await, None);
        assert!(flights.progress(&"a").is_none());
    }

    /// Starts a load when the runtime drops it.
    struct StartsOnDrop(Arc<Flights>, std::sync::mpsc::Sender<Load<u64>>);

    impl Drop for StartsOnDrop {
        fn drop(&mut self) {
            self.1.send(self.0.join_or_start("a", Join::Any, sent).0).unwrap();
        }
    }

    #[test]
    fn load_that_starts_while_the_runtime_shuts_down_is_dropped_without_deadlock() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let flights = Arc::new(Flights::default());
        let starts = StartsOnDrop(flights.clone(), sender);
        // On a thread of its own, so that a deadlock fails the test instead of hanging it.
        let shutdown = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.spawn(async move {
                let _starts = starts;
                std::future::pending::<()>().await;
            });
            runtime.block_on(tokio::task::yield_now());
        });
        let load = receiver.recv_timeout(Duration::from_secs(20)).expect("the lock is taken twice");
        shutdown.join().unwrap();
        assert_eq!(load.result.now_or_never(), Some(None));
        assert!(flights.progress(&"a").is_none());
    }
}
