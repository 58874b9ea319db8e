//! The simulated sources as a client meets them: over real HTTP.
#![cfg(feature = "sandbox")]

mod clients;
mod control;
mod faults;
mod juzibot;
mod lifecycle;
mod tanma;
