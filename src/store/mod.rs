//! State shared by requests, each concern behind one small seam. In memory now; knows only the model.

pub mod details;
pub mod idempotency;
pub mod quota;
