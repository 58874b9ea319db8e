//! Starts gateways and sources, signs tokens, asks.

mod canary;
mod gateway;

pub use gateway::{Gateway, GatewayOptions, Reply, Token};
