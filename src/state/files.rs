//! States as safetensors files.

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};

use super::{LayerState, each_channel};
use crate::config::{Affine, Config, Momentum};
use crate::error::StateError;
use crate::stats::RunningStatistics;

impl LayerState {
    /// Reads a layer's tensors, `{prefix}weight` and so on, out of a safetensors file, which may hold any number
    /// of layers and other tensors. f16 and bf16 are widened.
    ///
    /// `channels` is C. Each channel is taken to have counted `num_batches_tracked` batches,
    /// and a file without that number to have counted none.
    ///
    /// # Errors
    /// Not a safetensors file; a prefix under which it has no tensor of a layer, where `config` asks for any; running mean
    /// and variance one without the other; cumulative averaging without `num_batches_tracked`; wrong dtypes or shapes; a
    /// running mean that is not finite or a running variance that is negative or not finite, with its channel; a
    /// negative count.
    pub fn from_safetensors(
        bytes: &[u8],
        prefix: &str,
        channels: usize,
        config: &Config,
    ) -> Result<Self, StateError> {
        let file = SafeTensors::deserialize(bytes).map_err(format)?;
        let file = &file;
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
                let [mean_name, variance_name] =
                    ["running_mean", "running_var"].map(|name| format!("{prefix}{name}"));
                each_channel(mean_name, &mean, "a finite mean", f32::is_finite)?;
                let expected = "a finite variance of at least 0";
                let good = |v: f32| v.is_finite() && v >= 0.0;
                each_channel(variance_name, &variance, expected, good)?;
                let cumulative = config.running.map(|r| r.momentum) == Some(Momentum::Cumulative);
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
        let (weight, bias) = (read("weight")?, read("bias")?);
        let none = weight.is_none() && bias.is_none() && running.is_none() && tracked.is_none();
        let asked = config.affine != Affine::None || config.running.is_some();
        if none && asked {
            return Err(StateError::Prefix {
                prefix: prefix.to_owned(),
            });
        }
        Ok(Self {
            weight,
            bias,
            running,
            num_batches_tracked: tracked.unwrap_or(0),
        })
    }

    /// The state as a safetensors file under PyTorch's names, each with `prefix` before it.
    ///
    /// Batches that a channel did not count, because they were not finite, are not told
    /// apart: PyTorch's format has one count a layer.
    ///
    /// Values that are not finite are written as they are, so that a training run that went to NaN can still be saved
    /// and looked at. [`LayerState::from_safetensors`] refuses running statistics that are not finite.
    ///
    /// # Errors
    /// Weight, bias and running statistics of unequal lengths, the first that differs by name; what the writer refuses.
    pub fn to_safetensors(&self, prefix: &str) -> Result<Vec<u8>, StateError> {
        Self::all_to_safetensors(&[(prefix, self)])
    }

    /// Several layers as one safetensors file, the tensors of each under its own prefix. [`LayerState::from_safetensors`]
    /// reads each of them by its prefix.
    ///
    /// # Errors
    /// Two layers of one prefix; as [`LayerState::to_safetensors`].
    pub fn all_to_safetensors(layers: &[(&str, &Self)]) -> Result<Vec<u8>, StateError> {
        let mut tensors = Vec::new();
        for (k, (prefix, state)) in layers.iter().enumerate() {
            if layers[..k].iter().any(|(other, _)| other == prefix) {
                return Err(StateError::RepeatedPrefix {
                    prefix: (*prefix).to_owned(),
                });
            }
            let first = state.rows().into_iter().find_map(|(_, row)| row);
            state.check_lengths(prefix, first.map_or(0, <[f32]>::len))?;
            tensors.extend(state.tensors(prefix));
        }
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(format)?;
            Ok((name, view))
        });
        let views = views.collect::<Result<Vec<_>, StateError>>()?;
        safetensors::serialize(views, None).map_err(format)
    }

    /// Each tensor with its name, type and shape, and its bytes, little endian.
    fn tensors(&self, prefix: &str) -> Vec<(String, Dtype, Vec<usize>, Vec<u8>)> {
        let rows = self.rows().into_iter().filter_map(|(name, values)| {
            let values = values?;
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let shape = vec![values.len()];
            Some((format!("{prefix}{name}"), Dtype::F32, shape, bytes))
        });
        let mut tensors: Vec<_> = rows.collect();
        if self.running.is_some() {
            let dtype = match i64::try_from(self.num_batches_tracked) {
                Ok(_) => Dtype::I64,
                Err(_) => Dtype::U64,
            };
            let bytes = self.num_batches_tracked.to_le_bytes().to_vec();
            let name = format!("{prefix}num_batches_tracked");
            tensors.push((name, dtype, vec![], bytes));
        }
        tensors
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
fn widened(view: &TensorView<'_>) -> Option<Vec<f32>> {
    // Tensors of a file lie at any byte.
    let words = || view.data().chunks_exact(2).map(|b| [b[0], b[1]]);
    match view.dtype() {
        Dtype::F32 => Some(
            view.data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
        ),
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
    if !matches!(view.dtype(), Dtype::I64 | Dtype::U64) {
        return Err(StateError::Dtype {
            name,
            got: format!("{:?}", view.dtype()),
            expected: "I64 or U64",
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
    if view.dtype() == Dtype::U64 {
        return Ok(Some(u64::from_le_bytes(bytes)));
    }
    let count = i64::from_le_bytes(bytes);
    match u64::try_from(count) {
        Ok(count) => Ok(Some(count)),
        Err(_) => Err(StateError::Value {
            name,
            got: count.to_string(),
            expected: "a count of at least 0",
        }),
    }
}
