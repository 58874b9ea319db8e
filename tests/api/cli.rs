//! Contract §9: the commands, as processes.
