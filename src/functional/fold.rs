//! A trained layer folded into the linear layer or convolution before or behind it.

use crate::error::{ConfigError, Error, FoldError};
use crate::shape::{check_len, checked_len};
use crate::state::LayerState;
use crate::stats::{Parameters, variance_taken};

/// The weight and bias of a linear layer or a convolution with a trained batch norm folded in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Folded<T> {
    /// The layer's weight, in the shape that it had.
    pub weight: Vec<T>,
    /// The bias, one value for each output channel. It replaces the bias of the layer itself and contains it.
    pub bias: Vec<T>,
}

/// A trained batch norm as inference sees it, `[C]` each.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Trained<'a> {
    /// γ and β.
    pub parameters: Parameters<'a>,
    /// Running mean.
    pub mean: &'a [f32],
    /// Running variance.
    pub variance: &'a [f32],
    /// Added to the variance.
    pub eps: f32,
}

impl<'a> Trained<'a> {
    /// From parameters, running mean and running variance, `[C]` each, and what is added to the variance.
    pub fn new(parameters: Parameters<'a>, mean: &'a [f32], variance: &'a [f32], eps: f32) -> Self {
        Self {
            parameters,
            mean,
            variance,
            eps,
        }
    }

    /// Of a layer's state, as [`BatchNorm::state`](crate::BatchNorm::state) gives it and files hold it.
    ///
    /// # Errors
    /// A state without running statistics.
    pub fn of(state: &'a LayerState, eps: f32) -> Result<Self, ConfigError> {
        let running = state.running.as_ref();
        let running = running.ok_or(ConfigError::NoRunningStatistics)?;
        let parameters = Parameters {
            weight: state.weight.as_deref(),
            bias: state.bias.as_deref(),
        };
        Ok(Self::new(parameters, &running.mean, &running.variance, eps))
    }

    /// What each channel is multiplied by, and what then is added: `y = x·scale + shift`.
    fn steps(&self) -> Result<Vec<[f64; 2]>, Error> {
        let channels = self.mean.len();
        if channels == 0 {
            return Err(ConfigError::NoChannels.into());
        }
        if !(self.eps.is_finite() && self.eps >= 0.0) {
            return Err(ConfigError::Eps { got: self.eps }.into());
        }
        let length = |tensor, got| check_len(tensor, got, channels);
        length("running_var", self.variance.len())?;
        let parameters = self.parameters;
        parameters.weight.map_or(Ok(()), |w| length("γ", w.len()))?;
        parameters.bias.map_or(Ok(()), |b| length("β", b.len()))?;
        let step = |c| {
            self.check_channel(c)?;
            let variance = f64::from(self.variance[c]) + f64::from(self.eps);
            let scale = f64::from(parameters.weight(c)) / variance.sqrt();
            Ok([
                scale,
                f64::from(parameters.bias(c)) - f64::from(self.mean[c]) * scale,
            ])
        };
        (0..channels).map(step).collect()
    }

    /// Refuses a channel that would fold into weights that are no numbers, or into zeros.
    fn check_channel(&self, c: usize) -> Result<(), ConfigError> {
        let (mean, variance) = (self.mean[c], self.variance[c]);
        let refuse = |statistic, got, expected| {
            Err(ConfigError::RunningStatistic {
                statistic,
                channel: c,
                got,
                expected,
            })
        };
        if !mean.is_finite() {
            return refuse("running_mean", mean, "a finite number");
        }
        if !variance.is_finite() || !variance_taken(variance, self.eps) {
            return refuse("running_var", variance, "a finite number of at least 0");
        }
        if variance == 0.0 && self.eps == 0.0 {
            return refuse("running_var", variance, "a number above 0, as eps is 0");
        }
        Ok(())
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A type of weights: f32, f64, and `half`'s f16 and bf16.
pub trait Float: Copy + std::fmt::Debug + sealed::Sealed {
    /// The value.
    fn to_f64(self) -> f64;
    /// The nearest, ties to even; infinity beyond the largest.
    fn from_f64(value: f64) -> Self;
}

macro_rules! float {
    ($($number:ty: $to:expr, $from:expr;)*) => {$(
        impl sealed::Sealed for $number {}
        impl Float for $number {
            fn to_f64(self) -> f64 {
                $to(self)
            }
            fn from_f64(value: f64) -> Self {
                $from(value)
            }
        }
    )*};
}

float! {
    f32: f64::from, |value| value as f32;
    f64: |value| value, |value| value;
    half::f16: f64::from, half::f16::from_f64;
    half::bf16: f64::from, half::bf16::from_f64;
}

/// The weight of a linear layer or a convolution, row-major, and which channels its axes are.
///
/// The default is PyTorch's `[outputs, inputs, …]`. A transposed convolution's is `[inputs, outputs, …]`. With groups, the
/// second of these axes holds the channels of one group.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LinearWeight<'a, T> {
    /// The values.
    pub values: &'a [T],
    /// The shape.
    pub shape: &'a [usize],
    /// The axis of the outputs; negative counts from the end.
    pub output_axis: isize,
    /// The axis of the inputs; negative counts from the end.
    pub input_axis: isize,
    /// The groups of channels that do not mix.
    pub groups: usize,
    /// Whether it is a transposed convolution's: groups then share out the axis of the inputs.
    pub transposed: bool,
}

impl<'a, T: Float> LinearWeight<'a, T> {
    /// Of a layer with outputs on axis 0 and inputs on axis 1, as PyTorch has it.
    pub fn new(values: &'a [T], shape: &'a [usize]) -> Self {
        Self {
            values,
            shape,
            output_axis: 0,
            input_axis: 1,
            groups: 1,
            transposed: false,
        }
    }

    /// Of a transposed convolution, inputs on axis 0 and outputs on axis 1, as PyTorch has it.
    pub fn transposed(values: &'a [T], shape: &'a [usize]) -> Self {
        Self {
            output_axis: 1,
            input_axis: 0,
            transposed: true,
            ..Self::new(values, shape)
        }
    }

    /// Sets the axes of outputs and inputs: Keras has (−1, −2) for dense layers and convolutions, and (−2, −1) for
    /// transposed ones.
    pub fn with_axes(mut self, output: isize, input: isize) -> Self {
        (self.output_axis, self.input_axis) = (output, input);
        self
    }

    /// Sets the groups of channels that do not mix.
    pub fn with_groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    fn channels(&self) -> Result<Channels, Error> {
        check_len("weight", self.values.len(), checked_len(self.shape)?)?;
        let rank = self.shape.len() as isize;
        let axis = |axis: isize| match axis {
            axis if axis < -rank || axis >= rank => None,
            axis if axis < 0 => Some((axis + rank) as usize),
            axis => Some(axis as usize),
        };
        let (output, input) = match (axis(self.output_axis), axis(self.input_axis)) {
            (Some(output), Some(input)) if output != input => (output, input),
            _ => {
                return Err(FoldError::Axes {
                    shape: self.shape.to_vec(),
                    output: self.output_axis,
                    input: self.input_axis,
                }
                .into());
            }
        };
        let (whole, shared) = match self.transposed {
            false => (self.shape[output], self.shape[input]),
            true => (self.shape[input], self.shape[output]),
        };
        if self.groups == 0 || !whole.is_multiple_of(self.groups) {
            return Err(FoldError::Groups {
                groups: self.groups,
                channels: whole,
                shape: self.shape.to_vec(),
            }
            .into());
        }
        let stride = |axis: usize| self.shape[axis + 1..].iter().product::<usize>();
        let place = |axis| (stride(axis), self.shape[axis]);
        let (whole_axis, shared_axis) = match self.transposed {
            false => (output, input),
            true => (input, output),
        };
        Ok(Channels {
            whole: place(whole_axis),
            shared: place(shared_axis),
            of_a_group: whole / self.groups,
            outputs: if self.transposed {
                shared * self.groups
            } else {
                whole
            },
            inputs: if self.transposed {
                whole
            } else {
                shared * self.groups
            },
            transposed: self.transposed,
        })
    }
}

/// Which channels a weight's values belong to.
struct Channels {
    /// Stride and length of the axis whose channels the groups share out.
    whole: (usize, usize),
    /// Stride and length of the axis that holds the channels of one group.
    shared: (usize, usize),
    of_a_group: usize,
    outputs: usize,
    inputs: usize,
    transposed: bool,
}

impl Channels {
    /// The output and the input channel of a value.
    fn of(&self, index: usize) -> (usize, usize) {
        let along = |(stride, len): (usize, usize)| index / stride % len;
        let whole = along(self.whole);
        let shared = whole / self.of_a_group * self.shared.1 + along(self.shared);
        match self.transposed {
            false => (whole, shared),
            true => (shared, whole),
        }
    }
}

/// Folds a trained batch norm into the linear layer or convolution before it, so that `weight'·u + bias' =
/// BN(weight·u + bias)`.
///
/// `bias` has one value for each output channel, where the layer was trained with one. Computed in f64 and rounded once.
///
/// ```
/// use wgpu_batchnorm::Parameters;
/// use wgpu_batchnorm::functional::{LinearWeight, Trained, fold_into_previous};
/// // γ = {2, 10}, β = {0, 1}, mean 0, variance 1, eps 0.
/// let parameters = Parameters::default().with_weight(&[2.0, 10.0][..]).with_bias(&[0.0, 1.0][..]);
/// let trained = Trained::new(parameters, &[0.0; 2], &[1.0; 2], 0.0);
/// // A transposed convolution's weight has the inputs first.
/// let weight = LinearWeight::transposed(&[1f32, 2.0, 3.0, 4.0], &[2, 2]);
/// let folded = fold_into_previous(&trained, &weight, None)?;
/// assert_eq!(folded.weight, [2.0, 20.0, 6.0, 40.0]);
/// assert_eq!(folded.bias, [0.0, 1.0]);
/// # Ok::<_, wgpu_batchnorm::Error>(())
/// ```
///
/// # Errors
/// A batch norm that has no channels, whose lengths differ, or with `eps` negative or not finite; a channel, which is
/// named, whose running variance is below 0 even with `eps`, whose running mean or variance is not finite, or whose running
/// variance and `eps` are both 0. A weight with other channels than the batch norm's on the axis of its outputs, or
/// with a length, axes or groups that its shape does not have; a folded value that its type does not hold.
pub fn fold_into_previous<T: Float>(
    trained: &Trained<'_>,
    weight: &LinearWeight<'_, T>,
    bias: Option<&[T]>,
) -> Result<Folded<T>, Error> {
    let steps = trained.steps()?;
    let channels = weight.channels()?;
    fits(weight, "output", channels.outputs, steps.len())?;
    bias.map_or(Ok(()), |b| check_len("bias", b.len(), channels.outputs))?;
    let values = weight.values.iter().enumerate();
    let values = values.map(|(k, w)| w.to_f64() * steps[channels.of(k).0][0]);
    let own = |c: usize| bias.map_or(0.0, |b| b[c].to_f64());
    // The mean is taken off before the product, which loses less where it is close to the layer's own bias.
    let shift = |c: usize| {
        let scale = steps[c][0];
        let beta = f64::from(trained.parameters.bias(c));
        (own(c) - f64::from(trained.mean[c])) * scale + beta
    };
    Ok(Folded {
        weight: rounded("weight", values)?,
        bias: rounded("bias", (0..steps.len()).map(shift))?,
    })
}

/// Folds a trained batch norm into the linear layer or convolution behind it, so that `weight'·u + bias' =
/// weight·BN(u) + bias`.
///
/// A layer that pads its input with zeros sees no shift there, and neither does a transposed convolution where terms are
/// missing at its border. `padded` says that the layer pads.
///
/// ```
/// use wgpu_batchnorm::Parameters;
/// use wgpu_batchnorm::functional::{LinearWeight, Trained, fold_into_next};
/// // y = {2, 10}·x + {1, −1}.
/// let parameters = Parameters::default().with_weight(&[2.0, 10.0][..]).with_bias(&[1.0, -1.0][..]);
/// let trained = Trained::new(parameters, &[0.0; 2], &[1.0; 2], 0.0);
/// let weight = LinearWeight::new(&[1f32, 2.0], &[1, 2]);
/// let folded = fold_into_next(&trained, &weight, Some(&[0.5]), false)?;
/// assert_eq!((folded.weight, folded.bias), (vec![2.0, 20.0], vec![-0.5]));
/// # Ok::<_, wgpu_batchnorm::Error>(())
/// ```
///
/// # Errors
/// As [`fold_into_previous`], with the axis of the weight's inputs; a padded layer or a transposed convolution behind a
/// batch norm that shifts a channel, which is named.
pub fn fold_into_next<T: Float>(
    trained: &Trained<'_>,
    weight: &LinearWeight<'_, T>,
    bias: Option<&[T]>,
    padded: bool,
) -> Result<Folded<T>, Error> {
    let steps = trained.steps()?;
    let channels = weight.channels()?;
    fits(weight, "input", channels.inputs, steps.len())?;
    bias.map_or(Ok(()), |b| check_len("bias", b.len(), channels.outputs))?;
    let border = match (padded, weight.transposed) {
        (true, _) => Some("a padded layer"),
        (false, true) => Some("a transposed convolution"),
        (false, false) => None,
    };
    let shifted = steps.iter().position(|&[_, shift]| shift != 0.0);
    if let (Some(layer), Some(channel)) = (border, shifted) {
        let shift = steps[channel][1];
        return Err(FoldError::Border {
            layer,
            channel,
            shift,
        }
        .into());
    }
    let mut shifts: Vec<f64> = match bias {
        Some(bias) => bias.iter().map(|b| b.to_f64()).collect(),
        None => vec![0.0; channels.outputs],
    };
    let values = weight.values.iter().enumerate().map(|(k, w)| {
        let (output, input) = channels.of(k);
        let [scale, shift] = steps[input];
        shifts[output] += w.to_f64() * shift;
        w.to_f64() * scale
    });
    Ok(Folded {
        weight: rounded("weight", values)?,
        bias: rounded("bias", shifts.into_iter())?,
    })
}

fn fits<T>(
    weight: &LinearWeight<'_, T>,
    side: &'static str,
    got: usize,
    expected: usize,
) -> Result<(), FoldError> {
    match got == expected {
        true => Ok(()),
        false => Err(FoldError::Channels {
            shape: weight.shape.to_vec(),
            side,
            got,
            expected,
        }),
    }
}

/// The values in their type; a finite one that it does not hold is refused.
fn rounded<T: Float>(
    tensor: &'static str,
    values: impl Iterator<Item = f64>,
) -> Result<Vec<T>, FoldError> {
    let round = |(index, got): (usize, f64)| match T::from_f64(got) {
        narrow if got.is_finite() && !narrow.to_f64().is_finite() => {
            Err(FoldError::Overflow { tensor, index, got })
        }
        narrow => Ok(narrow),
    };
    values.enumerate().map(round).collect()
}
