//! Contract §4: every refusal is a problem.
