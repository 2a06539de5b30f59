//! A layer's state under PyTorch's names, in and out of safetensors.

use crate::config::{Affine, Config};
use crate::error::StateError;
use crate::stats::RunningStatistics;

/// Parameters and statistics of one layer on the host, `[C]` each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerState {
    /// γ, where the layer has one.
    pub weight: Option<Vec<f32>>,
    /// β, where the layer has one.
    pub bias: Option<Vec<f32>>,
    /// Running statistics, where the layer keeps them.
    pub running: Option<RunningStatistics>,
    /// Training forwards counted, PyTorch's `num_batches_tracked`.
    pub num_batches_tracked: u64,
}

impl LayerState {
    /// What a new layer starts with: weight 1, bias 0, running mean 0 and variance 1.
    pub fn new(channels: usize, config: &Config) -> Self {
        let fill = |there: bool, value| there.then(|| vec![value; channels]);
        Self {
            weight: fill(config.affine.has_weight(), 1.0),
            bias: fill(config.affine.has_bias(), 0.0),
            running: config.running.map(|_| RunningStatistics::new(channels)),
            num_batches_tracked: 0,
        }
    }

    /// How many training batches each channel left out because they were not finite there, `[C]`;
    /// empty without running statistics. It counts from a new layer or a loaded file on: PyTorch's
    /// format has no place for it.
    pub fn skipped_batches(&self) -> Vec<u64> {
        let counted = self.running.iter().flat_map(|r| &r.batches);
        let skipped = counted.map(|&k| self.num_batches_tracked.saturating_sub(k.into()));
        skipped.collect()
    }

    /// Which affine parameters there are.
    pub fn affine(&self) -> Affine {
        match (&self.weight, &self.bias) {
            (Some(_), Some(_)) => Affine::Both,
            (Some(_), None) => Affine::Weight,
            (None, Some(_)) => Affine::Bias,
            (None, None) => Affine::None,
        }
    }

    /// Checks that the state is one of a layer of `channels` channels with `config`.
    ///
    /// # Errors
    /// A tensor too many, one missing, another length than C, a negative running variance.
    pub fn validate(&self, channels: usize, config: &Config) -> Result<(), StateError> {
        self.validate_under("", channels, config)
    }

    /// [`LayerState::validate`], naming tensors as a file with `prefix` does.
    pub(crate) fn validate_under(
        &self,
        prefix: &str,
        channels: usize,
        config: &Config,
    ) -> Result<(), StateError> {
        let running = self.running.as_ref();
        for (name, values, wanted) in [
            ("weight", self.weight.as_ref(), config.affine.has_weight()),
            ("bias", self.bias.as_ref(), config.affine.has_bias()),
            (
                "running_mean",
                running.map(|r| &r.mean),
                config.running.is_some(),
            ),
            (
                "running_var",
                running.map(|r| &r.variance),
                config.running.is_some(),
            ),
        ] {
            let name = || format!("{prefix}{name}");
            match values {
                None if wanted => return Err(StateError::Missing { name: name() }),
                Some(_) if !wanted => return Err(StateError::Unexpected { name: name() }),
                Some(values) if values.len() != channels => {
                    return Err(StateError::Shape {
                        name: name(),
                        got: vec![values.len()],
                        expected: vec![channels],
                    });
                }
                _ => {}
            }
        }
        let Some(running) = running else {
            return Ok(());
        };
        if running.batches.len() != channels {
            return Err(StateError::Shape {
                name: format!("{prefix}batches"),
                got: vec![running.batches.len()],
                expected: vec![channels],
            });
        }
        non_negative(format!("{prefix}running_var"), &running.variance)
    }
}

fn non_negative(name: String, variance: &[f32]) -> Result<(), StateError> {
    match variance.iter().position(|&v| v < 0.0) {
        None => Ok(()),
        Some(index) => Err(StateError::Value {
            name,
            got: variance[index].to_string(),
            index,
            expected: "a variance of at least 0",
        }),
    }
}

#[cfg(feature = "state")]
pub use files::widened;

#[cfg(feature = "state")]
mod files {
    use safetensors::tensor::{Dtype, TensorView};
    use safetensors::{SafeTensorError, SafeTensors};

    use super::{Config, LayerState, RunningStatistics, StateError, non_negative};
    use crate::config::Momentum;

    impl LayerState {
        /// Reads a layer's tensors, `{prefix}weight` and so on, out of a safetensors file; others
        /// are left alone. f16 and bf16 are widened.
        ///
        /// `channels` is C. Each channel is taken to have counted `num_batches_tracked` batches,
        /// and a file without that number to have counted none.
        ///
        /// # Errors
        /// Not a safetensors file; running mean and variance one without the other; cumulative
        /// averaging without `num_batches_tracked`; wrong dtypes or shapes; a negative variance
        /// or count.
        pub fn from_safetensors(
            bytes: &[u8],
            prefix: &str,
            channels: usize,
            config: &Config,
        ) -> Result<Self, StateError> {
            let file = SafeTensors::deserialize(bytes).map_err(format)?;
            Self::from_tensors(&file, prefix, channels, config)
        }

        /// [`LayerState::from_safetensors`] on a file that is parsed already.
        ///
        /// # Errors
        /// As there.
        pub fn from_tensors(
            file: &SafeTensors<'_>,
            prefix: &str,
            channels: usize,
            config: &Config,
        ) -> Result<Self, StateError> {
            let read = |name: &str| per_channel(file, format!("{prefix}{name}"), channels);
            let missing = |name: &str| StateError::Missing {
                name: format!("{prefix}{name}"),
            };
            let tracked = batches_tracked(file, format!("{prefix}num_batches_tracked"))?;
            let running = match (read("running_mean")?, read("running_var")?) {
                (None, None) => None,
                (Some(_), None) => return Err(missing("running_var")),
                (None, Some(_)) => return Err(missing("running_mean")),
                (Some(mean), Some(variance)) => {
                    non_negative(format!("{prefix}running_var"), &variance)?;
                    let cumulative =
                        config.running.map(|r| r.momentum) == Some(Momentum::Cumulative);
                    if cumulative && tracked.is_none() {
                        return Err(missing("num_batches_tracked"));
                    }
                    let counted = u32::try_from(tracked.unwrap_or(0)).unwrap_or(u32::MAX);
                    Some(RunningStatistics {
                        mean,
                        variance,
                        batches: vec![counted; channels],
                    })
                }
            };
            Ok(Self {
                weight: read("weight")?,
                bias: read("bias")?,
                running,
                num_batches_tracked: tracked.unwrap_or(0),
            })
        }

        /// The state as a safetensors file under PyTorch's names, each with `prefix` before it.
        ///
        /// Batches that a channel did not count, because they were not finite, are not told
        /// apart: PyTorch's format has one count a layer.
        ///
        /// # Errors
        /// What the writer refuses.
        pub fn to_safetensors(&self, prefix: &str) -> Result<Vec<u8>, StateError> {
            let running = self.running.as_ref();
            let tracked = self.num_batches_tracked.to_le_bytes();
            let rows = [
                ("weight", self.weight.as_ref()),
                ("bias", self.bias.as_ref()),
                ("running_mean", running.map(|r| &r.mean)),
                ("running_var", running.map(|r| &r.variance)),
            ];
            let mut tensors = Vec::new();
            for (name, values) in rows {
                let Some(values) = values else { continue };
                let bytes = bytemuck::cast_slice(values);
                let view = TensorView::new(Dtype::F32, vec![values.len()], bytes);
                tensors.push((format!("{prefix}{name}"), view.map_err(format)?));
            }
            if running.is_some() {
                let view = TensorView::new(Dtype::I64, vec![], &tracked).map_err(format)?;
                tensors.push((format!("{prefix}num_batches_tracked"), view));
            }
            safetensors::serialize(tensors, None).map_err(format)
        }
    }

    fn format(error: SafeTensorError) -> StateError {
        StateError::Format {
            reason: error.to_string(),
        }
    }

    /// A per-channel tensor, widened to f32, where the file has it.
    fn per_channel(
        file: &SafeTensors<'_>,
        name: String,
        channels: usize,
    ) -> Result<Option<Vec<f32>>, StateError> {
        let Ok(view) = file.tensor(&name) else {
            return Ok(None);
        };
        if view.shape() != [channels] {
            return Err(StateError::Shape {
                name,
                got: view.shape().to_vec(),
                expected: vec![channels],
            });
        }
        widened(&view).map(Some).ok_or_else(|| StateError::Dtype {
            name,
            got: format!("{:?}", view.dtype()),
            expected: "F32, F16 or BF16",
        })
    }

    /// The values of an f32, f16 or bf16 tensor of a safetensors file as f32; `None` for other
    /// element types.
    pub fn widened(view: &TensorView<'_>) -> Option<Vec<f32>> {
        // Tensors of a file lie at any byte.
        let words = || view.data().chunks_exact(2).map(|b| [b[0], b[1]]);
        match view.dtype() {
            Dtype::F32 => Some(bytemuck::pod_collect_to_vec(view.data())),
            Dtype::F16 => Some(
                words()
                    .map(|b| half::f16::from_le_bytes(b).to_f32())
                    .collect(),
            ),
            Dtype::BF16 => Some(
                words()
                    .map(|b| half::bf16::from_le_bytes(b).to_f32())
                    .collect(),
            ),
            _ => None,
        }
    }

    fn batches_tracked(file: &SafeTensors<'_>, name: String) -> Result<Option<u64>, StateError> {
        let Ok(view) = file.tensor(&name) else {
            return Ok(None);
        };
        if view.dtype() != Dtype::I64 {
            return Err(StateError::Dtype {
                name,
                got: format!("{:?}", view.dtype()),
                expected: "I64",
            });
        }
        let bytes = match (view.shape(), <[u8; 8]>::try_from(view.data())) {
            ([], Ok(bytes)) => bytes,
            (shape, _) => {
                return Err(StateError::Shape {
                    name,
                    got: shape.to_vec(),
                    expected: vec![],
                });
            }
        };
        let count = i64::from_le_bytes(bytes);
        match u64::try_from(count) {
            Ok(count) => Ok(Some(count)),
            Err(_) => Err(StateError::Value {
                name,
                got: count.to_string(),
                index: 0,
                expected: "a count of at least 0",
            }),
        }
    }
}
