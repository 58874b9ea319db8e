//! What the simulated sources remember: who they know, what they were asked, what was written to them. The switches for tests are here.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::Serialize;
use tokio::sync::Notify;

use super::faults::{BadRule, Faults, Rule};
use super::people::People;
use super::{Endpoint, Options, Source, juzibot, tanma};

/// Requests per endpoint since the start or the last reset, refused ones included. Requests for unknown paths, or with a method
/// the path does not have, reached no endpoint and are not counted.
pub type Calls = BTreeMap<Endpoint, u64>;

/// One `remark_list` item that took effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppliedRemark {
    pub staff_id: String,
    pub union_id: String,
    /// `None` where the item did not say it: the old one stays.
    pub remark: Option<String>,
    pub description: Option<String>,
}

/// One `text` of a `follow_list` entry that took effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppliedFollowUp {
    pub staff_id: String,
    pub union_id: String,
    pub content: String,
    /// Epoch seconds.
    pub timestamp: Option<i64>,
}

/// The account at one source: its secret and its clock.
#[derive(Debug, Clone)]
struct Account {
    secret: SecretString,
    revoked: bool,
    offset: SignedDuration,
}

/// The shared state of the simulated sources.
#[derive(Debug)]
pub struct State {
    people: People,
    pub(super) juzibot: juzibot::Rules,
    pub(super) tanma: tanma::Rules,
    calls: [AtomicU64; Endpoint::ALL.len()],
    /// Tells of each call.
    counted: Notify,
    accounts: [Mutex<Account>; 2],
    pub(super) remarks: Mutex<Remarks>,
    follow_ups: Mutex<Vec<AppliedFollowUp>>,
    pub(super) faults: Faults,
}

/// The remarks written so far.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    /// By person and staff id.
    current: HashMap<(usize, &'static str), String>,
    applied: Vec<AppliedRemark>,
}

impl Remarks {
    /// What was last written, if anything was.
    pub(super) fn of(&self, person: usize, staff_id: &'static str) -> Option<&str> {
        self.current.get(&(person, staff_id)).map(String::as_str)
    }

    pub(super) fn apply(&mut self, person: usize, staff_id: &'static str, item: AppliedRemark) {
        if let Some(remark) = &item.remark {
            self.current.insert((person, staff_id), remark.clone());
        }
        self.applied.push(item);
    }
}

impl State {
    pub(super) fn new(options: Options) -> Self {
        let account = |secret: &SecretString| {
            Mutex::new(Account { secret: secret.clone(), revoked: false, offset: SignedDuration::ZERO })
        };
        Self {
            people: People::new(options.seed, options.customers),
            accounts: [account(&options.juzibot.token), account(&options.tanma.app_key)],
            juzibot: options.juzibot,
            tanma: options.tanma,
            calls: Default::default(),
            remarks: Mutex::default(),
            follow_ups: Mutex::default(),
            counted: Notify::new(),
            faults: Faults::new(options.seed),
        }
    }

    /// Everyone the sources know.
    pub fn people(&self) -> &People {
        &self.people
    }

    pub fn calls(&self) -> Calls {
        Endpoint::ALL.into_iter().map(|endpoint| (endpoint, self.calls_to(endpoint))).collect()
    }

    pub fn calls_to(&self, endpoint: Endpoint) -> u64 {
        self.calls[endpoint as usize].load(Ordering::SeqCst)
    }

    /// Waits until an endpoint was called so often; the call may not have been answered yet.
    pub async fn called(&self, endpoint: Endpoint, times: u64) {
        loop {
            // Before the look: a call that is counted between the two is told of.
            let mut counted = pin!(self.counted.notified());
            counted.as_mut().enable();
            if self.calls_to(endpoint) >= times {
                return;
            }
            counted.await;
        }
    }

    pub fn reset_calls(&self) {
        for count in &self.calls {
            count.store(0, Ordering::SeqCst);
        }
    }

    pub(super) fn count(&self, endpoint: Endpoint) {
        self.calls[endpoint as usize].fetch_add(1, Ordering::SeqCst);
        self.counted.notify_waiters();
    }

    /// The script of faults in force.
    pub fn faults(&self) -> Vec<Rule> {
        self.faults.rules()
    }

    /// Replaces the script, and its counts begin anew. Once this returns, ports that are to be closed are closed and the others
    /// open. A script with a bad rule changes nothing.
    pub async fn set_faults(&self, rules: Vec<Rule>) -> Result<(), BadRule> {
        self.faults.set(rules).await
    }

    /// Adds one rule at the end of the script; otherwise like [`Self::set_faults`], but the other rules count on.
    pub async fn add_fault(&self, rule: Rule) -> Result<(), BadRule> {
        self.faults.add(rule).await
    }

    /// From now on nothing is spoilt. Requests that are already struck stay so.
    pub async fn clear_faults(&self) {
        // An empty script has no bad rule.
        let _ = self.faults.set(Vec::new()).await;
    }

    /// Adds customers, at once visible: in front of `JuziBot`'s lists (a walk by page numbers then meets rows twice), behind Tanma's.
    pub fn insert_customers(&self, count: usize) {
        self.people.insert(count);
    }

    /// From now on the source refuses its token (`JuziBot`) or its app key (Tanma).
    pub fn revoke_token(&self, source: Source) {
        self.account(source).revoked = true;
    }

    pub fn restore_token(&self, source: Source) {
        self.account(source).revoked = false;
    }

    /// From now on the source takes this secret and no other: the token at `JuziBot`, the app key at Tanma. It is not revoked.
    pub fn rotate_token(&self, source: Source, secret: SecretString) {
        let mut account = self.account(source);
        account.secret = secret;
        account.revoked = false;
    }

    /// Sets the source's own clock this far ahead of ours (negative: behind). It shows in `Date` and in Tanma's check of timestamps.
    pub fn set_clock_offset(&self, source: Source, offset: SignedDuration) {
        self.account(source).offset = offset;
    }

    /// The remarks that took effect, in order; each exactly once per time it was applied.
    pub fn applied_remarks(&self) -> Vec<AppliedRemark> {
        lock(&self.remarks).applied.clone()
    }

    /// The follow-ups that took effect, in order; each exactly once per time it was applied.
    pub fn applied_follow_ups(&self) -> Vec<AppliedFollowUp> {
        lock(&self.follow_ups).clone()
    }

    pub(super) fn apply_follow_up(&self, item: AppliedFollowUp) {
        lock(&self.follow_ups).push(item);
    }

    /// The time by the source's own clock.
    pub(super) fn now(&self, source: Source) -> Timestamp {
        let now = Timestamp::now();
        now.checked_add(self.account(source).offset).unwrap_or(now).max(Timestamp::UNIX_EPOCH)
    }

    /// The secret that is good now; `None` while it is revoked.
    pub(super) fn secret(&self, source: Source) -> Option<SecretString> {
        let account = self.account(source);
        (!account.revoked).then(|| account.secret.clone())
    }

    fn account(&self, source: Source) -> MutexGuard<'_, Account> {
        lock(&self.accounts[source as usize])
    }
}

/// Nothing here panics while it holds a lock half-way through a change, so a poisoned one is still sound.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
