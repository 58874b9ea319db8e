//! Who is in which list, in which order: the only thing about people that is stored.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::views::TanmaRelation;
use super::words::STAFF;
use super::{Featured, Generator, Person, row_key};

/// The place of a row in a staff member's list at Tanma; ordered as the list is. The real cursor holds the same three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// Epoch seconds of the row's creation.
    pub seconds: u64,
    /// Nanoseconds within that second.
    pub nanos: u64,
    /// The row's id.
    pub id: u64,
}

/// A cursor that no page of this list gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForeignCursor;

/// One row of a Tanma page: the person and the relation the row is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TanmaRow {
    pub person: Person,
    pub relation: TanmaRelation,
}

/// A page of one staff member's customers at Tanma.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TanmaPage {
    pub rows: Vec<TanmaRow>,
    /// The key of the last row where more rows follow.
    pub next: Option<RowKey>,
}

/// A `JuziBot` list: later arrivals stand in front, the latest first.
#[derive(Debug, Clone, Default)]
struct Listing {
    arrivals: Vec<u32>,
    base: Vec<u32>,
}

impl Listing {
    fn len(&self) -> usize {
        self.arrivals.len() + self.base.len()
    }

    fn slice(&self, offset: usize, count: usize) -> Vec<u32> {
        self.arrivals.iter().rev().chain(&self.base).skip(offset).take(count).copied().collect()
    }
}

#[derive(Debug, Clone, Default)]
struct Lists {
    count: usize,
    juzibot: Listing,
    juzibot_of: [Listing; STAFF.len()],
    tanma_of: [Vec<(RowKey, u32)>; STAFF.len()],
}

/// Everyone the simulated sources know.
#[derive(Debug)]
pub struct People {
    generator: Generator,
    lists: RwLock<Lists>,
}

impl People {
    /// `customers` persons made from `seed`; at most `u32::MAX`.
    pub fn new(seed: u64, customers: usize) -> Self {
        let generator = Generator::new(seed, customers);
        let mut lists = Lists::default();
        lists.grow(&generator, customers);
        Self { generator, lists: RwLock::new(lists) }
    }

    /// How many persons there are, over both sources.
    pub fn len(&self) -> usize {
        self.read().count
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Person `index`; `None` from [`Self::len`] on.
    pub fn person(&self, index: usize) -> Option<Person> {
        (index < self.len()).then(|| self.generator.person(index))
    }

    pub fn by_external_user_id(&self, id: &str) -> Option<Person> {
        self.by(id).filter(|person| person.external_user_id == id)
    }

    pub fn by_union_id(&self, id: &str) -> Option<Person> {
        self.by(id).filter(|person| person.union_id == id)
    }

    fn by(&self, id: &str) -> Option<Person> {
        self.person(self.generator.unsealed(id)?)
    }

    /// Person 0, whether or not the sandbox holds any customers.
    pub fn featured(&self) -> Featured {
        let person = self.generator.person(0);
        let juzibot_staff = person.juzibot.iter().flat_map(|view| &view.relations).map(|one| one.staff.id).collect();
        let tanma_staff = person.tanma.iter().flat_map(|view| &view.relations).map(|one| one.staff.id).collect();
        Featured {
            external_user_id: person.external_user_id,
            union_id: person.union_id,
            name: person.name,
            juzibot_staff,
            tanma_staff,
        }
    }

    /// How many customers `JuziBot` lists, of one staff member or of all. An unknown one has none.
    pub fn juzibot_total(&self, staff_id: Option<&str>) -> usize {
        self.read().listing(staff_id).map_or(0, Listing::len)
    }

    /// Up to `count` customers of a `JuziBot` list from `offset` on, and the list's length.
    pub fn juzibot_page(&self, staff_id: Option<&str>, offset: usize, count: usize) -> (Vec<Person>, usize) {
        let (indexes, total) = {
            let lists = self.read();
            lists.listing(staff_id).map_or_else(Default::default, |list| (list.slice(offset, count), list.len()))
        };
        (indexes.into_iter().map(|index| self.generator.person(index as usize)).collect(), total)
    }

    /// How many customers a staff member has at Tanma. An unknown one has none.
    pub fn tanma_total(&self, staff_id: &str) -> usize {
        staff_number(staff_id).map_or(0, |at| self.read().tanma_of[at].len())
    }

    /// Up to `count` rows after the row `after`, in order of creation.
    pub fn tanma_page(&self, staff_id: &str, after: Option<RowKey>, count: usize) -> Result<TanmaPage, ForeignCursor> {
        let Some(at) = staff_number(staff_id) else {
            return after.map_or(Ok(TanmaPage { rows: Vec::new(), next: None }), |_| Err(ForeignCursor));
        };
        let (indexes, next) = {
            let lists = self.read();
            let rows = &lists.tanma_of[at];
            let start = match after {
                None => 0,
                Some(key) => rows.binary_search_by_key(&key, |(key, _)| *key).map_err(|_| ForeignCursor)? + 1,
            };
            let end = rows.len().min(start + count);
            let next = (end < rows.len()).then(|| rows[end - 1].0);
            (rows[start..end].iter().map(|(_, index)| *index as usize).collect::<Vec<_>>(), next)
        };
        let rows = indexes.into_iter().filter_map(|index| {
            let person = self.generator.person(index);
            let relation = person.tanma.as_ref()?.relations.iter().find(|one| one.staff.id == staff_id)?.clone();
            Some(TanmaRow { person, relation })
        });
        Ok(TanmaPage { rows: rows.collect(), next })
    }

    /// Adds `count` persons: in front of `JuziBot`'s lists, behind Tanma's.
    pub fn insert(&self, count: usize) {
        let mut lists = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        let grown = lists.count + count;
        lists.grow(&self.generator, grown);
    }

    fn read(&self) -> RwLockReadGuard<'_, Lists> {
        self.lists.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lists {
    fn listing(&self, staff_id: Option<&str>) -> Option<&Listing> {
        match staff_id {
            None => Some(&self.juzibot),
            Some(id) => staff_number(id).map(|at| &self.juzibot_of[at]),
        }
    }

    fn grow(&mut self, generator: &Generator, count: usize) {
        for index in self.count..count {
            let Ok(entry) = u32::try_from(index) else { return };
            let arrival = index >= generator.base;
            let known = generator.acquaintance(index);
            let join = |list: &mut Listing| {
                if arrival {
                    list.arrivals.push(entry);
                } else {
                    list.base.push(entry);
                }
            };
            if known.juzibot != 0 {
                join(&mut self.juzibot);
            }
            for (at, list) in self.juzibot_of.iter_mut().enumerate() {
                if known.juzibot & (1 << at) != 0 {
                    join(list);
                }
            }
            for (at, rows) in self.tanma_of.iter_mut().enumerate() {
                if known.tanma & (1 << at) != 0 {
                    rows.push((row_key(index, at), entry));
                }
            }
            self.count = index + 1;
        }
    }
}

fn staff_number(id: &str) -> Option<usize> {
    STAFF.iter().position(|staff| staff.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tanma_rows_stand_in_order_of_creation_also_after_arrivals() {
        let people = People::new(5, 2_000);
        people.insert(100);
        for rows in &people.read().tanma_of {
            assert!(rows.is_sorted_by(|one, next| one.0 < next.0));
        }
    }

    #[test]
    fn arrivals_stand_in_front_the_latest_first() {
        let people = People::new(5, 100);
        let (before, total) = people.juzibot_page(None, 0, 2);
        people.insert(2);
        let (after, grown) = people.juzibot_page(None, 0, 4);
        assert_eq!(grown, total + 2);
        assert_eq!(after.iter().map(|person| person.index).collect::<Vec<_>>()[..2], [101, 100]);
        assert_eq!(after[2..], before[..]);
    }

    #[test]
    fn a_cursor_of_another_list_is_foreign() {
        let people = People::new(5, 1_000);
        let page = people.tanma_page("dowen", None, 3).unwrap();
        assert_eq!(people.tanma_page("rocky", page.next, 3), Err(ForeignCursor));
        assert_eq!(people.tanma_page("nobody", page.next, 3), Err(ForeignCursor));
    }

    #[test]
    fn the_featured_person_has_several_staff_tags_and_mobiles_in_both_sources() {
        for seed in 0..50 {
            let people = People::new(seed, 1);
            let featured = people.featured();
            let person = people.by_union_id(&featured.union_id).unwrap();
            let juzibot = person.juzibot.unwrap();
            assert_eq!(featured.juzibot_staff, ["rocky", "zhangsan", "lisi"]);
            assert_eq!(featured.tanma_staff, ["rocky", "dowen", "ZhuShanPeng"]);
            assert_eq!(juzibot.union_id.value(), Some(&featured.union_id));
            assert!(
                juzibot.relations.iter().all(|one| one.tags.len() >= 2 && one.tags.iter().any(|tag| tag.id.is_none()))
            );
            assert!(!person.mobiles.is_empty());
        }
    }
}
