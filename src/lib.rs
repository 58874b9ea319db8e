//! scrm-gateway.
pub mod model;
pub mod service;
pub mod store;
pub mod upstream;
