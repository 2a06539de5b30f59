//! From the words of the recording layer to those of operations.

use super::{Plan, WeightsBuffer};
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

/// A count of values per channel, or the sum of their weights.
pub(super) fn count(count: f64, weights: Option<&WeightsBuffer<'_>>) -> Result<f64, ConfigError> {
    match count.fract() == 0.0 || weights.is_some() {
        true => count_of_values(count),
        false => Err(ConfigError::CountOfValues { got: count }),
    }
}

pub(super) fn count_of_values(count: f64) -> Result<f64, ConfigError> {
    match COUNTS.contains(&count) {
        true => Ok(count),
        false => Err(ConfigError::CountOfValues { got: count }),
    }
}
