//! From the words of the recording layer to those of operations.

use super::Plan;
use crate::binding::Binding;
use crate::bindings::{Named, Request, bind};
use crate::error::{BindError, ConfigError};
use crate::operation::{Asked, Operation};
use crate::stats::COUNTS;

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

/// A count of values per channel, as devices take it: a whole number.
pub(super) fn whole_count(count: f64) -> Result<u64, ConfigError> {
    match count.fract() == 0.0 && COUNTS.contains(&count) {
        true => Ok(count as u64),
        false => Err(ConfigError::CountOfValues { got: count }),
    }
}
