//! From the words of the recording layer to those of operations.

use super::Plan;
use crate::binding::Binding;
use crate::bindings::{Named, Request, bind};
use crate::error::{BindError, ConfigError};
use crate::operation::{Asked, Operation};

impl Plan {
    pub(super) fn bind(
        &self,
        operation: Operation,
        asked: Asked,
        buffers: &[Named<'_>],
    ) -> Result<Binding, BindError> {
        bind(
            &self.context,
            &Request {
                operation,
                config: &self.config,
                schedule: &self.schedule,
                asked,
                buffers,
                textures: &[],
            },
        )
    }
}

/// A count of values per channel. Counts are whole up to where f64 holds each.
pub(super) fn whole_count(count: f64) -> Result<u64, ConfigError> {
    const MOST: f64 = (1_u64 << 53) as f64;
    match count.fract() == 0.0 && (0.0..=MOST).contains(&count) {
        true => Ok(count as u64),
        false => Err(ConfigError::CountOfValues { got: count }),
    }
}
