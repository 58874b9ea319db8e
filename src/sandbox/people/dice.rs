//! The generator's source of chance: one `ChaCha` stream per person, so that persons do not depend on each other.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::words::STAFF;

/// The URL-safe base64 alphabet, of which `WeCom`'s and `WeChat`'s ids are made.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[derive(Debug, Clone)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// The dice of one person, from their first throw on.
    pub(super) fn of(&self, index: usize) -> Self {
        let mut stream = self.0.clone();
        stream.set_stream(index as u64);
        Self(stream)
    }

    /// A number in `0..end`; the bias of the multiplication does not matter here.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        (u64::from(self.0.next_u32()) * end) >> 32
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let at = usize::try_from(self.below(of.len() as u64)).unwrap_or(0);
        of[at]
    }

    pub(super) fn letters(&mut self, count: usize) -> String {
        (0..count).map(|_| letter(u64::from(self.0.next_u32()))).collect()
    }

    /// One to three members of staff, most often one.
    pub(super) fn staff_mask(&mut self) -> u8 {
        let throws = match self.below(10) {
            0..6 => 1,
            6..9 => 2,
            _ => 3,
        };
        (0..throws).fold(0, |mask, _| mask | (1 << self.below(STAFF.len() as u64)))
    }
}

/// The letter for the lowest six bits.
pub(super) fn letter(bits: u64) -> char {
    char::from(ALPHABET[usize::try_from(bits & 63).unwrap_or(0)])
}

/// The six bits of a letter; `None` outside the alphabet.
pub(super) fn position(letter: u8) -> Option<u64> {
    ALPHABET.iter().position(|known| *known == letter).map(|at| at as u64)
}
