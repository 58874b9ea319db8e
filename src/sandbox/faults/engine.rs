//! The script at work: counting requests against its rules, and telling the ports when to close.

use std::sync::Mutex;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::state::lock;
use super::super::{Endpoint, Source};
use super::rule::{BadRule, Effect, Rule, Target, When};

/// What one request meets.
#[derive(Debug, Default)]
pub(in super::super) struct Plan {
    /// Before the source does anything.
    pub(in super::super) before: Duration,
    /// After it did what it was asked, before the answer.
    pub(in super::super) after: Duration,
    /// Anything but a delay.
    pub(in super::super) effect: Option<Effect>,
}

/// A rule and what it has seen.
#[derive(Debug)]
struct Armed {
    rule: Rule,
    since: Instant,
    /// The target's requests since then.
    seen: u64,
    dice: ChaCha8Rng,
}

impl Armed {
    fn new(rule: Rule, seed: u64, position: usize) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        dice.set_stream(position as u64);
        Self { rule, since: Instant::now(), seen: 0, dice }
    }

    /// A number in 0.0..1.0.
    fn draw(&mut self) -> f64 {
        f64::from(self.dice.next_u32()) / (f64::from(u32::MAX) + 1.0)
    }

    /// Counts a request of the target and says whether it is struck.
    fn strikes(&mut self) -> bool {
        self.seen += 1;
        let Some(count) = self.seen.checked_sub(self.rule.after).filter(|count| *count > 0) else {
            return false;
        };
        match self.rule.when {
            When::Always => true,
            When::First(first) => count <= first,
            When::Every(every) => count.is_multiple_of(every),
            When::Rate(rate) => self.draw() < rate,
            When::Window { from, lasts } => (from..from + lasts).contains(&self.since.elapsed()),
        }
    }

    fn delay(&mut self, min: Duration, max: Option<Duration>) -> Duration {
        let spread = max.unwrap_or(min).saturating_sub(min);
        min + spread.mul_f64(self.draw())
    }

    /// Whether this rule keeps the source's port closed at `now`, and when that may change by itself.
    fn closes(&self, source: Source, now: Instant) -> (bool, Option<Instant>) {
        let aimed = match self.rule.target {
            Target::All => true,
            Target::Source(one) => one == source,
            Target::Endpoint(_) => false,
        };
        let begun = self.rule.after == 0 || self.seen > self.rule.after;
        if self.rule.effect != Effect::RefuseConnections || !aimed || !begun {
            return (false, None);
        }
        let When::Window { from, lasts } = self.rule.when else {
            return (true, None);
        };
        let (opens, ends) = (self.since + from, self.since + from + lasts);
        if now < opens { (false, Some(opens)) } else { (now < ends, Some(ends).filter(|ends| now < *ends)) }
    }
}

/// The script in force.
#[derive(Debug)]
pub(in super::super) struct Faults {
    seed: u64,
    rules: Mutex<Vec<Armed>>,
    /// Counts the changes that may close or open a port.
    version: watch::Sender<u64>,
    /// Per source, the last version its port follows; `u64::MAX` once it is served no longer.
    followed: [watch::Sender<u64>; 2],
}

impl Faults {
    pub(in super::super) fn new(seed: u64) -> Self {
        let followed = [watch::Sender::new(0), watch::Sender::new(0)];
        Self { seed, rules: Mutex::default(), version: watch::Sender::new(0), followed }
    }

    pub(in super::super) fn rules(&self) -> Vec<Rule> {
        lock(&self.rules).iter().map(|armed| armed.rule.clone()).collect()
    }

    /// Replaces the script; the counts begin anew. Returns once the ports follow it.
    pub(in super::super) async fn set(&self, rules: Vec<Rule>) -> Result<(), BadRule> {
        rules.iter().try_for_each(Rule::check)?;
        let armed = rules.into_iter().enumerate().map(|(at, rule)| Armed::new(rule, self.seed, at)).collect();
        *lock(&self.rules) = armed;
        self.settled().await;
        Ok(())
    }

    /// Adds a rule at the end; the others count on. Returns once the ports follow it.
    pub(in super::super) async fn add(&self, rule: Rule) -> Result<(), BadRule> {
        rule.check()?;
        {
            let mut rules = lock(&self.rules);
            let armed = Armed::new(rule, self.seed, rules.len());
            rules.push(armed);
        }
        self.settled().await;
        Ok(())
    }

    async fn settled(&self) {
        let version = self.bump();
        for followed in &self.followed {
            // The sender is in `self`, so the wait cannot fail.
            let _ = followed.subscribe().wait_for(|reached| *reached >= version).await;
        }
    }

    fn bump(&self) -> u64 {
        self.version.send_modify(|version| *version += 1);
        *self.version.borrow()
    }

    /// Counts a request and says what it meets.
    pub(in super::super) fn plan(&self, endpoint: Endpoint) -> Plan {
        let mut plan = Plan::default();
        for armed in lock(&self.rules).iter_mut() {
            if !armed.rule.strikes(endpoint) || !armed.strikes() {
                continue;
            }
            match armed.rule.effect.clone() {
                Effect::Delay { min, max, applied: false } => plan.before += armed.delay(min, max),
                Effect::Delay { min, max, applied: true } => plan.after += armed.delay(min, max),
                effect if plan.effect.is_none() => plan.effect = Some(effect),
                _ => {}
            }
        }
        if plan.effect == Some(Effect::RefuseConnections) {
            self.bump();
        }
        plan
    }

    /// Whether the source's port is closed now, and when that may change without a new version.
    pub(in super::super) fn closes(&self, source: Source) -> (bool, Option<Instant>) {
        let now = Instant::now();
        lock(&self.rules)
            .iter()
            .map(|armed| armed.closes(source, now))
            .fold((false, None), |(closed, next), (one, at)| (closed || one, next.into_iter().chain(at).min()))
    }

    /// For the source's port: what to watch.
    pub(in super::super) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// For the source's port: what it follows.
    pub(in super::super) fn follow(&self, source: Source, version: u64) {
        self.followed[source as usize].send_replace(version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(rule: Rule, requests: usize) -> Vec<usize> {
        rule.check().unwrap();
        let mut armed = Armed::new(rule, 1, 0);
        (1..=requests).filter(|_| armed.strikes()).collect()
    }

    #[test]
    fn a_rule_strikes_the_requests_it_names() {
        let rule = || Rule::new(Target::All, Effect::Reset { applied: false });
        assert_eq!(struck(rule(), 3), [1, 2, 3]);
        assert_eq!(struck(rule().when(When::First(2)), 5), [1, 2]);
        assert_eq!(struck(rule().when(When::First(2)).after(2), 6), [3, 4]);
        assert_eq!(struck(rule().when(When::Every(3)), 7), [3, 6]);
        assert_eq!(struck(rule().when(When::Every(2)).after(1), 7), [3, 5, 7]);
        assert_eq!(struck(rule().when(When::Rate(1.0)), 3), [1, 2, 3]);
        assert_eq!(struck(rule().when(When::Rate(0.0)), 100), [0; 0]);
    }

    #[test]
    fn a_rate_strikes_its_share_and_the_same_ones_again() {
        let rule = || Rule::new(Target::All, Effect::Reset { applied: false }).when(When::Rate(0.3));
        let first = struck(rule(), 1_000);
        assert!((250..350).contains(&first.len()), "{}", first.len());
        assert_eq!(first, struck(rule(), 1_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_opens_and_ends_by_the_clock() {
        let window = When::Window { from: Duration::from_secs(1), lasts: Duration::from_secs(2) };
        let mut armed = Armed::new(Rule::new(Source::Tanma, Effect::RefuseConnections).when(window), 1, 0);
        let start = armed.since;
        let second = Duration::from_secs(1);
        assert_eq!(armed.closes(Source::Tanma, start), (false, Some(start + second)));
        assert!(!armed.strikes());
        tokio::time::advance(second).await;
        assert_eq!(armed.closes(Source::Tanma, Instant::now()), (true, Some(start + 3 * second)));
        assert_eq!(armed.closes(Source::Juzibot, Instant::now()), (false, None));
        assert!(armed.strikes());
        tokio::time::advance(2 * second).await;
        assert_eq!(armed.closes(Source::Tanma, Instant::now()), (false, None));
        assert!(!armed.strikes());
    }

    #[test]
    fn delays_add_up_and_the_first_other_effect_counts() {
        let faults = Faults::new(1);
        let delay = |seconds, applied| Effect::Delay { min: Duration::from_secs(seconds), max: None, applied };
        let effects = [delay(1, false), Effect::WrongTotal(7), delay(2, true), Effect::DuplicatePage, delay(4, false)];
        *lock(&faults.rules) = effects.map(|effect| Armed::new(Rule::new(Target::All, effect), 1, 0)).into();
        let plan = faults.plan(Endpoint::JuzibotList);
        assert_eq!((plan.before.as_secs(), plan.after.as_secs()), (5, 2));
        assert_eq!(plan.effect, Some(Effect::WrongTotal(7)));
        assert_eq!(faults.plan(Endpoint::TanmaList).effect, None);
    }

    #[test]
    fn a_drawn_delay_lies_between_its_bounds() {
        let mut armed = Armed::new(Rule::new(Target::All, Effect::StrayFailure), 1, 0);
        let (min, max) = (Duration::from_millis(100), Duration::from_millis(300));
        let drawn: Vec<Duration> = (0..100).map(|_| armed.delay(min, Some(max))).collect();
        assert!(drawn.iter().all(|delay| (min..=max).contains(delay)));
        assert!(drawn.iter().any(|delay| *delay != drawn[0]));
        assert_eq!(armed.delay(min, None), min);
    }
}
