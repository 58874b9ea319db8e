//! scrm-gateway
