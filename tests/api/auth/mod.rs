//! Contract §7: who calls.
