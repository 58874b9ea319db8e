//! Contract §5, §7: quotas and limits.
