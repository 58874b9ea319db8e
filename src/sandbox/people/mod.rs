//! The people both simulated sources know. Customer `i` is a pure function of (seed, `i`), so a hundred thousand of them cost
//! no more than the index of who knows whom (`lists`).
//!
//! The same person has the same `externalUserId`, and where a source tells it the same `unionId`, in both sources: that is what
//! lets a merge be checked. Vendors do not assure it (`WeCom` ids can be scoped to an app).

mod dice;
mod lists;
mod views;
mod words;

use serde::{Serialize, Serializer};

pub use lists::{ForeignCursor, People, RowKey, TanmaPage, TanmaRow};
pub use views::{Field, JuzibotRelation, JuzibotView, Tag, TanmaRelation, TanmaView};
pub use words::{STAFF, Staff};

use dice::Dice;

/// Seconds between the first meetings of customer `i` and `i + 1`; everything a person did lies within the person's own slot, so
/// that the order of creation is the order of indexes.
const SLOT_SECONDS: i64 = 1_500;
/// When customer 0 was first met: 2020-10-30T08:58:12Z, the instant of the vendor's sample.
const FIRST_MEETING: i64 = 1_604_048_292;

/// A field a source may fill, send as `null`, or leave out. The vendors mark such fields as optional without saying which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told<T> {
    Value(T),
    Null,
    Absent,
}

impl<T> Told<T> {
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Null | Self::Absent => None,
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl<T: Serialize> Serialize for Told<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

/// One external contact and what each source holds about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// 0-based number of the person; also their order of creation.
    pub index: usize,
    /// `WeCom`'s id, 32 characters, known to both sources.
    pub external_user_id: String,
    /// The `WeChat` open platform's id, 28 characters; a source does not always tell it.
    pub union_id: String,
    pub name: String,
    /// 0 unknown, 1 male, 2 female.
    pub gender: u8,
    /// 1 `WeChat`, 2 `WeCom`.
    pub account_type: u8,
    pub mobiles: Vec<String>,
    /// `None` where `JuziBot` does not know the person.
    pub juzibot: Option<JuzibotView>,
    /// `None` where Tanma does not know the person.
    pub tanma: Option<TanmaView>,
}

/// Ids a person may try by hand: person 0, whom both sources always know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Featured {
    pub external_user_id: String,
    pub union_id: String,
    pub name: String,
    /// Staff ids with a relation to the person in `JuziBot`.
    pub juzibot_staff: Vec<&'static str>,
    /// Staff ids with a relation to the person in Tanma.
    pub tanma_staff: Vec<&'static str>,
}

/// Who knows a person: one bit per member of [`STAFF`] and source. 0 means the source does not know the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Acquaintance {
    juzibot: u8,
    tanma: u8,
}

/// The pure part of the generator. Persons from `base` on are later arrivals, who are always known to `JuziBot`.
#[derive(Debug, Clone)]
struct Generator {
    dice: Dice,
    seed: u64,
    base: usize,
}

impl Generator {
    fn new(seed: u64, base: usize) -> Self {
        Self { dice: Dice::new(seed), seed, base }
    }

    fn acquaintance(&self, index: usize) -> Acquaintance {
        self.known_by(index, &mut self.dice.of(index))
    }

    /// 60 % are known to both sources, 25 % to `JuziBot` alone, 15 % to Tanma alone.
    fn known_by(&self, index: usize, dice: &mut Dice) -> Acquaintance {
        let share = dice.below(100);
        let first = dice.staff_mask();
        let second = if dice.chance(75) { first } else { dice.staff_mask() };
        if index == 0 {
            return Acquaintance { juzibot: 0b0000_1011, tanma: 0b0010_0101 };
        }
        match share {
            60..85 => Acquaintance { juzibot: first, tanma: 0 },
            85.. if index < self.base => Acquaintance { juzibot: 0, tanma: first },
            _ => Acquaintance { juzibot: first, tanma: second },
        }
    }

    fn person(&self, index: usize) -> Person {
        let mut dice = self.dice.of(index);
        let known = self.known_by(index, &mut dice);
        let external_user_id = format!("wm{}{}", dice.letters(24), self.sealed(index));
        let union_id = format!("oz{}{}", dice.letters(20), self.sealed(index));
        let name = format!("{}{}", dice.pick(&words::SURNAMES), dice.pick(&words::GIVEN_NAMES));
        let mobiles: Vec<String> = (0..dice.below(3).max(u64::from(index == 0)))
            .map(|_| format!("1{}{:08}", 30 + dice.below(69), dice.below(100_000_000)))
            .collect();
        let mut person = Person {
            index,
            external_user_id,
            union_id,
            name,
            gender: [0, 1, 1, 2, 2][usize::try_from(dice.below(5)).unwrap_or(0)],
            account_type: if index > 0 && dice.chance(5) { 2 } else { 1 },
            mobiles,
            juzibot: None,
            tanma: None,
        };
        if known.juzibot != 0 {
            person.juzibot = Some(views::juzibot(&person, known.juzibot, &mut dice));
        }
        if known.tanma != 0 {
            person.tanma = Some(views::tanma(&person, known.tanma, &mut dice));
        }
        person
    }

    /// The index as the last six characters of an id (36 bits), so that an id leads back to its person without a table.
    fn sealed(&self, index: usize) -> String {
        let mixed = (index as u64) ^ self.mask();
        (0..6).map(|at| dice::letter(mixed >> (30 - 6 * at))).collect()
    }

    /// The index an id claims to hold; the caller compares the whole id with the person's.
    fn unsealed(&self, id: &str) -> Option<usize> {
        let tail = id.as_bytes().get(id.len().checked_sub(6)?..)?;
        let mixed = tail.iter().try_fold(0_u64, |sum, byte| Some((sum << 6) | dice::position(*byte)?))?;
        usize::try_from(mixed ^ self.mask()).ok()
    }

    fn mask(&self) -> u64 {
        self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 28
    }
}

/// The moment, in epoch seconds, at which the member of staff at `staff` first met person `index`.
fn met_at(index: usize, staff: usize) -> i64 {
    let index_slot = i64::try_from(index).unwrap_or(0) * SLOT_SECONDS;
    FIRST_MEETING + index_slot + i64::try_from(staff as u64 * 60 + scatter(index, staff, 0, 60)).unwrap_or(0)
}

/// Where Tanma's row about that meeting stands; the row is made up to five minutes after it.
fn row_key(index: usize, staff: usize) -> RowKey {
    RowKey {
        seconds: u64::try_from(met_at(index, staff)).unwrap_or(0) + scatter(index, staff, 1, 300),
        nanos: scatter(index, staff, 2, 1_000_000) * 1_000,
        id: 58_000_000 + (index as u64) * 8 + staff as u64,
    }
}

/// A number in `0..end` from a cheap hash (`SplitMix64`): lists are indexed by these without making the persons.
fn scatter(index: usize, staff: usize, use_of_it: u64, end: u64) -> u64 {
    let mut hash = ((index as u64) << 8 | (staff as u64) << 4 | use_of_it).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (hash ^ (hash >> 31)) % end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_depends_on_seed_and_index_alone() {
        assert_eq!(Generator::new(7, 10).person(3), Generator::new(7, 99).person(3));
        assert_ne!(Generator::new(7, 10).person(3), Generator::new(8, 10).person(3));
    }

    #[test]
    fn an_id_leads_back_to_its_person() {
        let generator = Generator::new(42, 100_000);
        for index in [0, 1, 63, 64, 99_999] {
            let person = generator.person(index);
            assert_eq!(person.external_user_id.len(), 32);
            assert_eq!(person.union_id.len(), 28);
            assert_eq!(generator.unsealed(&person.external_user_id), Some(index));
            assert_eq!(generator.unsealed(&person.union_id), Some(index));
        }
        assert_eq!(generator.unsealed("短"), None);
    }

    #[test]
    fn the_shares_of_the_sources_are_near_what_is_told() {
        let generator = Generator::new(1, 10_000);
        let (mut both, mut juzibot, mut tanma) = (0, 0, 0);
        for index in 0..10_000 {
            match generator.acquaintance(index) {
                Acquaintance { tanma: 0, .. } => juzibot += 1,
                Acquaintance { juzibot: 0, .. } => tanma += 1,
                Acquaintance { .. } => both += 1,
            }
        }
        assert!((5_800..6_200).contains(&both), "{both}");
        assert!((2_300..2_700).contains(&juzibot), "{juzibot}");
        assert!((1_300..1_700).contains(&tanma), "{tanma}");
    }

    #[test]
    fn later_arrivals_are_always_known_to_juzibot() {
        let generator = Generator::new(1, 10);
        assert!((10..500).all(|index| generator.acquaintance(index).juzibot != 0));
    }
}
