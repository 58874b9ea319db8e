//! Contract §3.2 and the Tanma adapter.
