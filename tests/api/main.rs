//! The service as its callers see it: a real gateway on a real socket, before the simulated sources or a mock server.
//!
//! Modules mirror the contract's sections; a test says in its name what must hold.
#![cfg(test)]

mod about;
mod access_log;
mod accounting;
mod address_limit;
mod answered_headers;
mod audit;
mod auth;
mod bad_input;
mod batches;
mod cache;
mod canary;
mod cli;
mod client_address;
mod customers;
mod damaged;
mod deadlines;
mod document;
mod documentation;
mod examples;
mod fault_matrix;
mod hardening;
mod headers;
#[cfg(target_os = "linux")]
mod hostile;
mod idempotency;
mod isolation;
mod juzibot;
mod limits;
mod lists;
mod memory;
mod problems;
mod resilience;
mod rotation;
mod security;
mod streams;
mod support;
mod tanma;
mod upstream_side;
