//! scrm-gateway: one clean REST contract in front of two very different customer APIs.
//!
//! The modules stand in the order in which a request meets them, and each imports only what stands below it: the edge
//! may say no, a route takes the request apart, the service decides what it means, sources and stores are asked, all in
//! the words of the model. [`app`] puts them together; [`cli`] is what a person runs.

pub mod app;
pub mod cli;
mod clock;
pub mod config;
pub mod edge;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod live;
mod memory;
pub mod model;
mod open_files;
pub mod openapi;
pub mod outbound;
mod pace;
pub mod routes;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod service;
mod shortage;
pub mod store;
mod suggest;
pub mod telemetry;
mod trace;
pub mod upstream;

/// The allocator of the program, for tests that measure memory.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
