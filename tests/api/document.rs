//! The OpenAPI document and the routes are one.
