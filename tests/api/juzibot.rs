//! Contract §3.1 and the JuziBot adapter.
