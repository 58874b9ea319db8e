//! Contract §6: the cache of details.
