//! Bytes that requests reserve for their bodies and for the answers to their writes (docs/adr/0035).

use crate::model::MAX_BATCH_ITEMS;

/// Tenths of a byte that one byte of a request's body costs: the body or what is parsed of it, and the chunks that are sent.
const TENTHS_PER_BODY_BYTE: usize = 25;
/// Bytes that a write reserves for a source's answer before it is sent, so that the answer can be read.
pub const WRITE_ANSWER: usize = 512 * 1024;
/// The most calls of one batch in flight.
pub const BATCH_CALLS: usize = 4;
/// Bytes of one item's result, with a source's message of 200 characters.
pub const ITEM_RESULT: usize = 1_200;

/// Returns the bytes that a request's body of this length costs until it is answered.
pub fn body_cost(length: usize) -> usize {
    (length / 10).saturating_mul(TENTHS_PER_BODY_BYTE).saturating_add(length % 10 * TENTHS_PER_BODY_BYTE / 10)
}

/// Returns the length of the largest body for which a caller's share of this size has memory: for the body, and for all answers to
/// a batch.
pub fn largest_body(share: usize) -> usize {
    let answers = BATCH_CALLS * WRITE_ANSWER + MAX_BATCH_ITEMS * ITEM_RESULT;
    share.saturating_sub(answers) / TENTHS_PER_BODY_BYTE * 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_body_leaves_room_for_the_answers() {
        let share = 19 << 20;
        let body = largest_body(share);
        assert_eq!(body, 6_650_310);
        let answers = 4 * 512 * 1024 + 1_000 * 1_200;
        assert!(body_cost(body) + answers <= share && body_cost(body + 20) + answers > share);
        assert_eq!(largest_body(answers), 0);
    }
}
