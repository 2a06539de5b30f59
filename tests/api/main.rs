//! The layer, the functional forms and layer state, as a user calls them.

#[path = "../common/mod.rs"]
mod common;
