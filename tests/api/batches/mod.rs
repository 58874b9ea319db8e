//! Contract §3.5: batches of writes.
