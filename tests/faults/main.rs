//! Faults of the machine, each injected: it has an error of its own, leaves nothing half-done, and
//! the next call works or says that a new device is needed.

mod device;
mod dropped;
mod late;
mod memory;
mod not_finite;
mod pipeline;
mod support;
mod threads;
