//! A layer's state under PyTorch's names, in and out of safetensors.

#[cfg(feature = "state")]
mod files;
#[cfg(feature = "state")]
mod lookup;
#[cfg(feature = "state")]
mod names;
#[cfg(feature = "state")]
pub(crate) mod values;

#[cfg(feature = "state")]
pub use files::Found;
#[cfg(feature = "state")]
pub use lookup::Lookup;
#[cfg(feature = "state")]
pub use names::Names;

use crate::config::{Affine, Config};
use crate::error::{ShapeError, StateError};
use crate::stats::{RunningStatistics, filled, variance_taken};

/// Parameters and statistics of one layer on the host, `[C]` each. Its default is a layer that has none of them.
///
/// ```
/// use wgpu_batchnorm::{Affine, LayerState, RunningStatistics};
/// let running = RunningStatistics::from_parts(vec![0.5; 3], vec![2.0; 3], vec![10; 3])?;
/// let state = LayerState::default()
///     .with_bias(vec![0.25; 3])
///     .with_running(running)
///     .with_num_batches_tracked(12);
/// assert_eq!(state.affine(), Affine::Bias);
/// assert_eq!(state.skipped_batches(), [2, 2, 2]);
/// # Ok::<_, wgpu_batchnorm::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LayerState {
    /// γ, where the layer has one.
    pub weight: Option<Vec<f32>>,
    /// β, where the layer has one.
    pub bias: Option<Vec<f32>>,
    /// Running statistics, where the layer keeps them.
    pub running: Option<RunningStatistics>,
    /// Training forwards counted, PyTorch's `num_batches_tracked`. Files hold it as I64, as PyTorch's do, and as U64
    /// from 2⁶³ on.
    pub num_batches_tracked: u64,
}

impl LayerState {
    /// What a new layer starts with: weight 1, bias 0, running mean 0 and variance 1.
    ///
    /// # Errors
    /// More channels than there is memory for.
    pub fn new(channels: usize, config: &Config) -> Result<Self, ShapeError> {
        let fill = |there: bool, value| there.then(|| filled(channels, value)).transpose();
        let running = config.running.map(|_| RunningStatistics::new(channels));
        Ok(Self {
            weight: fill(config.affine.has_weight(), 1.0)?,
            bias: fill(config.affine.has_bias(), 0.0)?,
            running: running.transpose()?,
            num_batches_tracked: 0,
        })
    }

    /// Sets γ, `[C]`, or that there is none.
    pub fn with_weight(mut self, weight: impl Into<Option<Vec<f32>>>) -> Self {
        self.weight = weight.into();
        self
    }

    /// Sets β, `[C]`, or that there is none.
    pub fn with_bias(mut self, bias: impl Into<Option<Vec<f32>>>) -> Self {
        self.bias = bias.into();
        self
    }

    /// Sets the running statistics, or that there are none.
    pub fn with_running(mut self, running: impl Into<Option<RunningStatistics>>) -> Self {
        self.running = running.into();
        self
    }

    /// Sets the training forwards counted.
    pub fn with_num_batches_tracked(mut self, count: u64) -> Self {
        self.num_batches_tracked = count;
        self
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
    /// Statistics that are not finite pass: a layer with [`NonFinite::Propagate`](crate::NonFinite) can have such, and its
    /// state can be loaded again. A file is refused for them.
    ///
    /// # Errors
    /// A tensor too many, one missing, another length than C, a running variance below 0 even with `eps`, with its channel.
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
        let [weight, bias] = [config.affine.has_weight(), config.affine.has_bias()];
        let running = config.running.is_some();
        let wanted = [weight, bias, running, running];
        for ((name, values), wanted) in self.rows().into_iter().zip(wanted) {
            let name = format!("{prefix}{name}");
            match values {
                None if wanted => return Err(StateError::Missing { name }),
                Some(_) if !wanted => return Err(StateError::Unexpected { name }),
                _ => {}
            }
        }
        self.check_lengths(prefix, channels)?;
        match &self.running {
            Some(running) => each_channel(
                format!("{prefix}running_var"),
                &running.variance,
                "a variance of at least 0, or one that eps brings above 0",
                |v| variance_taken(v, config.eps) || v.is_nan(),
            ),
            None => Ok(()),
        }
    }

    /// What there is one of for each channel, under PyTorch's names.
    fn rows(&self) -> [(&'static str, Option<&[f32]>); 4] {
        let running = self.running.as_ref();
        [
            ("weight", self.weight.as_deref()),
            ("bias", self.bias.as_deref()),
            ("running_mean", running.map(|r| &r.mean[..])),
            ("running_var", running.map(|r| &r.variance[..])),
        ]
    }

    /// Refuses rows that are not as long as there are channels; they are named as a file with `prefix` names them.
    fn check_lengths(&self, prefix: &str, channels: usize) -> Result<(), StateError> {
        let rows = self.rows().map(|(name, row)| (name, row.map(<[f32]>::len)));
        let batches = self.running.as_ref().map(|r| r.batches.len());
        for (name, len) in rows.into_iter().chain([("batches", batches)]) {
            if let Some(len) = len.filter(|&len| len != channels) {
                return Err(StateError::Shape {
                    name: format!("{prefix}{name}"),
                    got: vec![len],
                    expected: vec![channels],
                });
            }
        }
        Ok(())
    }
}

/// Refuses the first channel whose value is not `good`.
fn each_channel(
    name: String,
    values: &[f32],
    expected: &'static str,
    good: impl Fn(f32) -> bool,
) -> Result<(), StateError> {
    match values.iter().position(|&v| !good(v)) {
        None => Ok(()),
        Some(channel) => Err(StateError::Channel {
            name,
            channel,
            got: values[channel],
            expected,
        }),
    }
}
