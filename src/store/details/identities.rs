//! The ids that belong to the same customer, as far as any answer of a source has shown.
//!
//! A write names the union id alone, and a source may leave the union id out of a record. The index therefore groups the ids that were
//! shown together, and lists the cache entries of each group. It stores keyed hashes of the ids: a collision joins two groups, so
//! that a write may drop an entry too many and never one too few.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Customer, CustomerId};

use super::DetailKey;

/// The keyed hash of an id and its kind.
pub(super) type IdHash = u64;
type GroupId = u64;

/// Hashes ids for one index.
#[derive(Default)]
pub(super) struct IdHasher(RandomState);

impl IdHasher {
    pub(super) fn id(&self, id: &CustomerId) -> IdHash {
        match id {
            CustomerId::ExternalUserId(id) => self.external_user_id(id),
            CustomerId::UnionId(id) => self.union_id(id),
        }
    }

    fn external_user_id(&self, id: &str) -> IdHash {
        self.0.hash_one((0_u8, id))
    }

    pub(super) fn union_id(&self, id: &str) -> IdHash {
        self.0.hash_one((1_u8, id))
    }

    /// The ids that a record shows.
    pub(super) fn shown<'a>(&'a self, customer: &'a Customer) -> impl Iterator<Item = IdHash> + use<'a> {
        let external = customer.external_user_id.as_deref().map(|id| self.external_user_id(id));
        external.into_iter().chain(customer.union_id.as_deref().map(|id| self.union_id(id)))
    }
}

/// Bytes of a group without cache entries, and of each of its ids: the maps' slots and the allocator's share included.
const GROUP_BYTES: usize = 272;
const ID_BYTES: usize = 32;
/// The most ids of one customer. A source that reports one union id for everybody reaches it; the group is then forgotten.
const MAX_IDS: usize = 1_000;

/// A cache entry as the index lists it.
#[derive(Clone, Copy)]
struct Listed {
    /// Distinguishes an entry from one that took its key later.
    serial: u64,
    begun: Instant,
    load: u64,
}

/// The ids of one customer, and the customer's cache entries.
#[derive(Default)]
struct Group {
    ids: Vec<IdHash>,
    /// Mostly one or two.
    entries: Vec<(DetailKey, Listed)>,
    /// When the last write to the customer ended.
    written: Option<Instant>,
    /// Writes that a load in flight may still have to be compared with.
    recent_writes: usize,
    /// The place among the groups that may be forgotten, and the bytes charged there; `None` while entries or recent writes need the
    /// group.
    idle: Option<(u64, usize)>,
}

impl Group {
    fn listed(&self, key: &DetailKey) -> Option<&Listed> {
        self.entries.iter().find(|(listed, _)| listed == key).map(|(_, entry)| entry)
    }

    /// Lists an entry, in place of an earlier one of the same key.
    fn list(&mut self, key: DetailKey, entry: Listed) {
        if let Some((_, listed)) = self.entries.iter_mut().find(|(listed, _)| *listed == key) {
            *listed = entry;
            return;
        }
        if self.entries.is_empty() {
            // A vector would make room for four.
            self.entries.reserve_exact(1);
        }
        self.entries.push((key, entry));
    }
}

fn keys(entries: Vec<(DetailKey, Listed)>) -> impl Iterator<Item = DetailKey> {
    entries.into_iter().map(|(key, _)| key)
}

/// The index.
pub(super) struct Identities {
    groups: HashMap<GroupId, Box<Group>>,
    group_of: HashMap<IdHash, GroupId>,
    next_group: GroupId,
    /// Groups that may be forgotten, the least recently used first.
    idle: BTreeMap<u64, GroupId>,
    next_place: u64,
    idle_bytes: usize,
    max_idle_bytes: usize,
    recent_writes: VecDeque<(Instant, IdHash)>,
    /// The time for which a write counts as recent: no load takes longer.
    longest_load: Duration,
    /// When a group was last forgotten that a load in flight may belong to: no load from before is stored.
    forgotten: Option<Instant>,
}

impl Identities {
    pub(super) fn new(max_idle_bytes: usize, longest_load: Duration) -> Self {
        Self {
            groups: HashMap::new(),
            group_of: HashMap::new(),
            next_group: 0,
            idle: BTreeMap::new(),
            next_place: 0,
            idle_bytes: 0,
            max_idle_bytes,
            recent_writes: VecDeque::new(),
            longest_load,
            forgotten: None,
        }
    }

    /// Notes that these ids belong to one customer. Returns the entries from before a write to that customer, to be dropped.
    pub(super) fn link(&mut self, ids: impl IntoIterator<Item = IdHash>) -> Vec<DetailKey> {
        let mut dropped = Vec::new();
        let mut linked = None;
        for id in ids {
            let group = self.group_of(id);
            linked = Some(match linked {
                Some(other) if other != group => self.join(other, group, &mut dropped),
                _ => group,
            });
        }
        if let Some(group) = linked {
            if self.groups.get(&group).is_some_and(|group| group.ids.len() > MAX_IDS) {
                dropped.extend(self.forget(group));
            } else {
                self.settle(group);
            }
        }
        self.expire_writes(Instant::now());
        dropped
    }

    /// Lists an entry under the customer of `id`, which must have been linked.
    pub(super) fn list(&mut self, id: IdHash, key: DetailKey, serial: u64, begun: Instant, load: u64) {
        let group = self.group_of(id);
        if let Some(group) = self.groups.get_mut(&group) {
            group.list(key, Listed { serial, begun, load });
        }
        self.settle(group);
    }

    /// Whether the entry that is listed under this key is of a later load.
    pub(super) fn has_newer(&self, id: IdHash, key: &DetailKey, load: u64) -> bool {
        let group = self.group_of.get(&id).and_then(|group| self.groups.get(group));
        group.and_then(|group| group.listed(key)).is_some_and(|listed| listed.load > load)
    }

    /// Removes an entry that the cache has evicted.
    pub(super) fn unlist(&mut self, id: IdHash, key: &DetailKey, serial: u64) {
        let Some(group) = self.group_of.get(&id).copied() else { return };
        let Some(entries) = self.groups.get_mut(&group).map(|group| &mut group.entries) else { return };
        if let Some(place) = entries.iter().position(|(listed, entry)| listed == key && entry.serial == serial) {
            entries.swap_remove(place);
            if entries.is_empty() {
                *entries = Vec::new();
            }
            self.settle(group);
            self.forget_idle();
        }
    }

    /// Notes that a write to the customer ended now. Returns the customer's entries, to be dropped.
    pub(super) fn written(&mut self, id: IdHash) -> Vec<DetailKey> {
        let now = Instant::now();
        self.expire_writes(now);
        let group = self.group_of(id);
        let Some(written) = self.groups.get_mut(&group) else { return Vec::new() };
        written.written = Some(now);
        written.recent_writes += 1;
        self.recent_writes.push_back((now, id));
        let dropped = keys(std::mem::take(&mut written.entries)).collect();
        self.settle(group);
        dropped
    }

    /// Whether a write to the customer of one of these ids ended after `moment`.
    pub(super) fn written_since(&self, ids: &[IdHash], moment: Instant) -> bool {
        let written = |id| self.groups.get(self.group_of.get(id)?)?.written;
        self.forgotten.is_some_and(|at| at >= moment) || ids.iter().filter_map(written).any(|at| at >= moment)
    }

    fn group_of(&mut self, id: IdHash) -> GroupId {
        let (groups, next) = (&mut self.groups, &mut self.next_group);
        *self.group_of.entry(id).or_insert_with(|| {
            *next += 1;
            groups.insert(*next, Box::new(Group { ids: vec![id], ..Group::default() }));
            *next
        })
    }

    /// Joins two groups, the smaller into the larger one, and returns that.
    fn join(&mut self, one: GroupId, other: GroupId, dropped: &mut Vec<DetailKey>) -> GroupId {
        let size = |group: &GroupId| self.groups.get(group).map_or(0, |group| group.ids.len() + group.entries.len());
        let (into, from) = if size(&one) >= size(&other) { (one, other) } else { (other, one) };
        self.take_from_idle(from);
        let Some(from) = self.groups.remove(&from) else { return into };
        let Some(target) = self.groups.get_mut(&into) else { return into };
        let precedes = |listed: &Listed, write: Option<Instant>| write.is_some_and(|at| at >= listed.begun);
        if from.written.is_some() {
            let stale = target.entries.extract_if(.., |(_, listed)| precedes(listed, from.written));
            dropped.extend(stale.map(|(key, _)| key));
        }
        for (key, listed) in from.entries {
            if precedes(&listed, target.written) {
                dropped.push(key);
            } else {
                target.list(key, listed);
            }
        }
        target.written = target.written.max(from.written);
        target.recent_writes += from.recent_writes;
        for id in &from.ids {
            self.group_of.insert(*id, into);
        }
        target.ids.extend(from.ids);
        into
    }

    /// Charges a group that nothing needs, as the most recently used one.
    fn settle(&mut self, group: GroupId) {
        self.take_from_idle(group);
        let Some(settled) = self.groups.get_mut(&group) else { return };
        if settled.entries.is_empty() && settled.recent_writes == 0 {
            let (place, bytes) = (self.next_place, GROUP_BYTES + ID_BYTES * settled.ids.len());
            settled.idle = Some((place, bytes));
            self.next_place += 1;
            self.idle.insert(place, group);
            self.idle_bytes += bytes;
        }
    }

    fn take_from_idle(&mut self, group: GroupId) {
        if let Some((place, bytes)) = self.groups.get_mut(&group).and_then(|group| group.idle.take()) {
            self.idle.remove(&place);
            self.idle_bytes -= bytes;
        }
    }

    fn forget_idle(&mut self) {
        while self.idle_bytes > self.max_idle_bytes {
            let Some((_, group)) = self.idle.pop_first() else { return };
            let Some(group) = self.groups.remove(&group) else { continue };
            let Group { ids, idle, .. } = *group;
            self.idle_bytes -= idle.map_or(0, |(_, bytes)| bytes);
            for id in ids {
                self.group_of.remove(&id);
            }
        }
    }

    /// Forgets a group with all that is known of it. Returns its entries, to be dropped.
    fn forget(&mut self, group: GroupId) -> Vec<DetailKey> {
        self.take_from_idle(group);
        self.recent_writes.retain(|(_, id)| self.group_of.get(id) != Some(&group));
        let Some(group) = self.groups.remove(&group) else { return Vec::new() };
        let Group { ids, entries, .. } = *group;
        for id in ids {
            self.group_of.remove(&id);
        }
        self.forgotten = Some(Instant::now());
        keys(entries).collect()
    }

    /// Releases the groups whose writes no load in flight can precede any more.
    fn expire_writes(&mut self, now: Instant) {
        while let Some((at, id)) = self.recent_writes.front().copied()
            && now.duration_since(at) > self.longest_load
        {
            self.recent_writes.pop_front();
            let Some(group) = self.group_of.get(&id).copied() else { continue };
            if let Some(released) = self.groups.get_mut(&group) {
                released.recent_writes = released.recent_writes.saturating_sub(1);
            }
            self.settle(group);
        }
        self.forget_idle();
    }
}

#[cfg(test)]
impl Identities {
    /// The number of groups, and of the entries that they list.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.groups.len(), self.groups.values().map(|group| group.entries.len()).sum())
    }
}
