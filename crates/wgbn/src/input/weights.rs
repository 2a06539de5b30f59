//! The weights of a file: `weights`, or masks from `lengths`.

use testkit::weights::HostWeights;
use wgpu_batchnorm::Outside;

use super::{HostTensor, Inputs, bad};
use crate::args::WeightOptions;
use crate::failure::Failure;

/// Lengths are read as f32, which holds all whole numbers up to here.
const LONGEST: usize = 1 << 24;

impl Inputs {
    /// The weights of the values of `x`, whose channel axis is `axis`: `weights`, or 1 within `lengths` and 0 beyond.
    pub fn weights(
        &self,
        axis: isize,
        options: &WeightOptions,
    ) -> Result<Option<HostWeights>, Failure> {
        if let (Some(_), None) = (options.length_axis, &self.lengths) {
            return Err(bad(
                "--length-axis is given, and the input has no \"lengths\"",
            ));
        }
        let weights = match (&self.weights, &self.lengths) {
            (Some(_), Some(_)) => {
                return Err(bad(
                    "the input has \"weights\" and \"lengths\", expected one of them",
                ));
            }
            (Some(weights), None) => HostWeights {
                values: weights.values.clone(),
                shape: weights.shape.clone(),
                outside: options.outside.unwrap_or(Outside::Normalize),
            },
            (None, Some(lengths)) => {
                let length_axis = self.length_axis(axis, options.length_axis)?;
                HostWeights {
                    outside: options.outside.unwrap_or(Outside::Zero),
                    ..self.mask(lengths, length_axis)?
                }
            }
            (None, None) if options.outside.is_some() => {
                return Err(bad(
                    "--outside is given, and the input has neither \"weights\" nor \"lengths\"",
                ));
            }
            (None, None) => return Ok(None),
        };
        weights
            .of(&self.x.shape, axis)?
            .validate()
            .map_err(|e| bad(&format!("weights: {e}")))?;
        Ok(Some(weights))
    }

    /// The axis that lengths are of: the given one, or the only one beside those of the batch and the channels.
    fn length_axis(&self, channels: isize, given: Option<isize>) -> Result<usize, Failure> {
        let rank = self.x.shape.len() as isize;
        let resolve = |axis: isize| if axis < 0 { axis + rank } else { axis };
        let others = (1..rank).filter(|&axis| axis != resolve(channels));
        let others: Vec<_> = others.collect();
        match (given, &others[..]) {
            (None, &[only]) => Ok(only as usize),
            (None, _) => Err(bad(&format!(
                "x of shape {:?} has {} axes that \"lengths\" may be of; --length-axis says which",
                self.x.shape,
                others.len()
            ))),
            (Some(axis), _) if others.contains(&resolve(axis)) => Ok(resolve(axis) as usize),
            (Some(axis), _) => Err(bad(&format!(
                "--length-axis is {axis}, expected an axis of x of shape {:?} that is neither the first nor the channels'",
                self.x.shape
            ))),
        }
    }

    /// A mask of as many ones a sample as its length says.
    fn mask(&self, lengths: &HostTensor, axis: usize) -> Result<HostWeights, Failure> {
        let (samples, longest) = (self.x.shape[0], self.x.shape[axis]);
        if lengths.shape != [samples] {
            return Err(bad(&format!(
                "lengths has shape {:?}, expected [{samples}]",
                lengths.shape
            )));
        }
        if longest > LONGEST {
            return Err(bad(&format!(
                "axis {axis} of x has length {longest}, and \"lengths\" are of at most {LONGEST}"
            )));
        }
        let mut values = Vec::with_capacity(samples * longest);
        for (sample, &length) in lengths.values.iter().enumerate() {
            if length.fract() != 0.0 || !(0.0..=longest as f32).contains(&length) {
                return Err(bad(&format!(
                    "length {sample} is {length}, expected a whole number from 0 to {longest}"
                )));
            }
            values.extend((0..longest).map(|k| f32::from((k as f32) < length)));
        }
        let mut shape = vec![1; self.x.shape.len()];
        (shape[0], shape[axis]) = (samples, longest);
        Ok(HostWeights {
            values,
            shape,
            outside: Outside::Zero,
        })
    }
}
