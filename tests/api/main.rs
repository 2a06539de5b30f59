//! The layer, the functional forms and layer state, as a user calls them.

#[macro_use]
mod support;

mod bytes;
mod canary;
mod device;
mod functional;
mod goldens;
mod layer;
mod readback;
mod state;
mod tuning;
