//! Contract §3.4: pages and cursors.
