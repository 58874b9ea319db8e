//! Faults on demand: a script of rules, each naming whom it strikes, when, and how. Written in JSON it can be put to the control
//! endpoint: `[{"target": "juzibot.list", "when": {"first": 2}, "effect": {"status": {"status": 503}}}]`.
//!
//! All rules that strike a request add their delays; of their other effects the first in the script's order counts.

mod engine;
mod rule;
mod spoil;

pub(super) use engine::Faults;
pub use rule::{BadRule, Effect, Rule, Target, When, WrongTypes};
pub(super) use spoil::spoilt;
