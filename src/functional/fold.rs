//! A trained layer folded into the linear layer or convolution before or behind it.

mod trained;
mod weight;

use crate::error::{Error, FoldError};
use crate::shape::check_len;
pub use trained::Trained;
pub use weight::{Float, LinearWeight};

/// The weight and bias of a linear layer or a convolution with a trained batch norm folded in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Folded<T> {
    /// The layer's weight, in the shape that it had.
    pub weight: Vec<T>,
    /// The bias, one value for each output channel. It replaces the bias of the layer itself and contains it.
    pub bias: Vec<T>,
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
