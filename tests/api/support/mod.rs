//! Starts gateways and sources, signs tokens, asks.

pub mod canary;
pub mod failures;
mod gateway;
pub mod ledger;
pub mod people;
mod raw_source;
mod vendor;
mod wire;

pub use gateway::{APP_KEY, Gateway, GatewayOptions, JUZIBOT_TOKEN, JWT_SECRET, Reply, Token, asked};
pub use raw_source::{Behaviour, RawSource};
pub use vendor::{Spelling, Stage, Vendor, fixture};
pub use wire::{WireReply, WireRequest, exchange, unread_answer};
