//! The functional forms, as in the paper and `tf.nn`: moments over any axes, normalization with
//! given statistics, and folding a trained layer into the weights before it.

use crate::api_error::Error;
use crate::bindings::{Slot, Step, bind};
use crate::check::{self, Check, Report};
use crate::error::{ConfigError, ShapeError};
use crate::gpu::Gpu;
use crate::params::{Params, flags};
use crate::reduction::Reduction;
use crate::reference;
use crate::shaders::{Kernel, Role};
use crate::stats::{Moments, Parameters};
use crate::tensor::Tensor;

/// Moments on the device: what [`moments`] gives and [`normalize`] takes.
#[derive(Clone, Debug)]
pub struct DeviceMoments {
    reduction: Reduction,
    keep_dims: bool,
    /// pivot, offset and m2, a row each.
    rows: Tensor,
    /// The comparison with the reference, where one was asked for.
    pub report: Option<Report>,
}

impl DeviceMoments {
    /// The shape of mean and variance: the kept axes, and 1 for each reduced one where
    /// `keep_dims` was asked for.
    pub fn shape(&self) -> Vec<usize> {
        self.reduction.statistics_shape(self.keep_dims)
    }

    /// Values behind each mean.
    pub fn count(&self) -> usize {
        self.reduction.counts().0
    }

    /// pivot, offset and m2, `[3][K]`, on the device.
    pub fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// Copies the moments to the host.
    ///
    /// # Errors
    /// A device that was lost or reported a fault.
    pub async fn read(&self) -> Result<Moments, Error> {
        let rows = self.rows.read().await?;
        let mut rows = rows.chunks_exact(self.reduction.counts().1);
        let mut row = || rows.next().unwrap_or_default().to_vec();
        Ok(Moments {
            count: self.count() as u64,
            pivot: row(),
            offset: row(),
            m2: row(),
        })
    }

    /// Blocking twin of [`DeviceMoments::read`].
    ///
    /// # Errors
    /// As [`DeviceMoments::read`].
    #[cfg(feature = "blocking")]
    pub fn read_blocking(&self) -> Result<Moments, Error> {
        pollster::block_on(self.read())
    }
}

/// Mean and biased variance of `x` over `axes` (negative ones count from the end):
/// `tf.nn.moments`. Two dispatches.
///
/// # Errors
/// Axes out of range or named twice; a tensor too large; a failed check; a failed device.
pub async fn moments(
    x: &Tensor,
    axes: &[isize],
    keep_dims: bool,
    check: Check,
) -> Result<DeviceMoments, Error> {
    let gpu = x.gpu();
    let context = gpu.context();
    let reduction = Reduction::over(x.shape(), axes)?;
    let schedule = reduction.plan(context)?;
    let rows = Tensor::empty(gpu, &[3, reduction.counts().1])?;
    let workspace = gpu.storage("wgpu-batchnorm workspace", schedule.workspace_bytes());
    let step = |kernel, grid| Step {
        kernel,
        grid,
        params: Params::new(&schedule, &grid),
    };
    let steps = [
        step(Kernel::Moments, schedule.reduce),
        step(Kernel::MomentsFinish, schedule.merge),
    ];
    let slots = [
        slot(Role::X, "x", x, false),
        slot(Role::Statistics, "moments", &rows, true),
        Slot {
            role: Role::Partials,
            name: "workspace",
            slice: workspace.slice(..),
            bytes: workspace.size(),
            written: true,
        },
    ];
    let binding = bind(context, &schedule, &steps, &slots)?;
    gpu.submit(|_| {}, |pass| binding.encode(pass));
    let mut moments = DeviceMoments {
        reduction,
        keep_dims,
        rows,
        report: None,
    };
    if check != Check::Off {
        let got = moments.read().await?;
        let round = |v: Vec<f64>| -> Vec<f32> { v.into_iter().map(|v| v as f32).collect() };
        let (mean, variance) = (round(got.mean()), round(got.variance()));
        let report = check_moments(&x.read().await?, x.shape(), axes, &mean, &variance)?;
        moments.report = enforce(check, report)?;
    }
    Ok(moments)
}

/// [`moments`] on the CPU path, of a tensor on the host: with the shape of mean and variance.
///
/// # Errors
/// Axes out of range or named twice; another number of values than `shape` has.
#[cfg(feature = "cpu")]
pub fn cpu_moments(
    x: &[f32],
    shape: &[usize],
    axes: &[isize],
    keep_dims: bool,
) -> Result<(Moments, Vec<usize>), ShapeError> {
    let reduction = Reduction::over(shape, axes)?;
    reduction.check_len("x", x)?;
    let moments = match reduction.dense() {
        Some(view) => crate::cpu::moments(&view, x),
        None => {
            let (gathered, view) = reduction.gather(x);
            crate::cpu::moments(&view, &gathered)
        }
    };
    Ok((moments, reduction.statistics_shape(keep_dims)))
}

/// Compares mean and variance of `x` over `axes`, wherever they come from, with the reference.
///
/// # Errors
/// As [`moments`], and lengths that do not fit.
pub fn check_moments(
    x: &[f32],
    shape: &[usize],
    axes: &[isize],
    mean: &[f32],
    variance: &[f32],
) -> Result<Report, ShapeError> {
    let reduction = Reduction::over(shape, axes)?;
    reduction.check_len("x", x)?;
    let (gathered, view) = reduction.gather(x);
    Ok(check::moments(&view, &gathered, mean, variance))
}

/// What [`normalize`] subtracts and divides by.
#[derive(Clone, Copy, Debug)]
pub enum Statistics<'a> {
    /// What [`moments`] gave: pivot and offset keep the accuracy of large means.
    Moments(&'a DeviceMoments),
    /// Plain f32 arrays that broadcast over `x` as in NumPy; errors are relative to these.
    Plain {
        /// The mean.
        mean: &'a Tensor,
        /// The variance.
        variance: &'a Tensor,
    },
}

impl<'a> From<&'a DeviceMoments> for Statistics<'a> {
    fn from(moments: &'a DeviceMoments) -> Self {
        Self::Moments(moments)
    }
}

impl<'a> From<(&'a Tensor, &'a Tensor)> for Statistics<'a> {
    fn from((mean, variance): (&'a Tensor, &'a Tensor)) -> Self {
        Self::Plain { mean, variance }
    }
}

/// The affine step of [`normalize`], in `tf.nn.batch_normalization`'s words; shaped as the mean.
#[derive(Clone, Copy, Debug, Default)]
pub struct AffineStep<'a> {
    /// Added last: β, the bias.
    pub offset: Option<&'a Tensor>,
    /// Multiplied before: γ, the weight.
    pub scale: Option<&'a Tensor>,
}

/// `(x − mean)/√(variance + eps)·scale + offset`: `tf.nn.batch_normalization`. One dispatch.
///
/// # Errors
/// Shapes that do not broadcast; `eps` negative or not finite; a tensor too large; a failed
/// check; a failed device.
pub async fn normalize(
    x: &Tensor,
    statistics: impl Into<Statistics<'_>>,
    affine: AffineStep<'_>,
    eps: f32,
    check: Check,
) -> Result<(Tensor, Option<Report>), Error> {
    if !(eps.is_finite() && eps >= 0.0) {
        return Err(ConfigError::Eps { got: eps }.into());
    }
    let gpu = x.gpu();
    let context = gpu.context();
    let statistics = statistics.into();
    let reduction = match statistics {
        Statistics::Moments(moments) => moments.reduction.clone(),
        Statistics::Plain { mean, .. } => Reduction::broadcast(x.shape(), "mean", mean.shape())?,
    };
    if reduction.shape() != x.shape() {
        return Err(ShapeError::Mismatch {
            tensor: "x",
            got: x.shape().to_vec(),
            expected: reduction.shape().to_vec(),
        }
        .into());
    }
    let rows = statistics_rows(x, &reduction, statistics)?;
    let affine_rows = affine_rows(x, &reduction, affine)?;
    let schedule = reduction.plan(context)?;
    let y = Tensor::empty(gpu, x.shape())?;
    let params = Params::new(&schedule, &schedule.map)
        .with_eps(eps)
        .with_flag(flags::HAS_WEIGHT, affine.scale.is_some())
        .with_flag(flags::HAS_BIAS, affine.offset.is_some())
        .with_flag(
            flags::FROM_MOMENTS,
            matches!(statistics, Statistics::Moments(_)),
        );
    let steps = [Step {
        kernel: Kernel::Inference,
        grid: schedule.map,
        params,
    }];
    let slots = [
        slot(Role::X, "x", x, false),
        slot(Role::Out, "y", &y, true),
        slot(Role::Statistics, "statistics", &rows, false),
        slot(Role::Affine, "affine", &affine_rows, false),
    ];
    let binding = bind(context, &schedule, &steps, &slots)?;
    gpu.submit(|_| {}, |pass| binding.encode(pass));
    if check == Check::Off {
        return Ok((y, None));
    }
    let report = check_normalize(x, &y, &reduction, statistics, affine, eps).await?;
    Ok((y, enforce(check, report)?))
}

async fn check_normalize(
    x: &Tensor,
    y: &Tensor,
    reduction: &Reduction,
    statistics: Statistics<'_>,
    affine: AffineStep<'_>,
    eps: f32,
) -> Result<Report, Error> {
    let (gathered, view) = reduction.gather(&x.read().await?);
    let (result, _) = reduction.gather(&y.read().await?);
    let given = match statistics {
        Statistics::Moments(moments) => {
            let moments = moments.read().await?;
            reference::Moments {
                mean: moments.mean(),
                variance: moments.variance(),
            }
        }
        Statistics::Plain { mean, variance } => {
            let widen = |v: Vec<f32>| v.into_iter().map(f64::from).collect();
            reference::Moments {
                mean: widen(mean.read().await?),
                variance: widen(variance.read().await?),
            }
        }
    };
    let weight = match affine.scale {
        Some(scale) => Some(scale.read().await?),
        None => None,
    };
    let bias = match affine.offset {
        Some(offset) => Some(offset.read().await?),
        None => None,
    };
    let input = check::Input {
        view,
        x: &gathered,
        parameters: Parameters {
            weight: weight.as_deref(),
            bias: bias.as_deref(),
        },
        eps,
    };
    Ok(check::normalize(&input, &given, &result))
}

/// The statistics as rows on the device: as they are, or mean and variance copied together.
fn statistics_rows(
    x: &Tensor,
    reduction: &Reduction,
    statistics: Statistics<'_>,
) -> Result<Tensor, Error> {
    match statistics {
        Statistics::Moments(moments) => Ok(moments.rows.clone()),
        Statistics::Plain { mean, variance } => {
            same_shape("variance", variance, mean)?;
            stack(x.gpu(), 3, reduction, &[Some(mean), Some(variance)])
        }
    }
}

fn affine_rows(x: &Tensor, reduction: &Reduction, affine: AffineStep<'_>) -> Result<Tensor, Error> {
    for (name, tensor) in [("scale", affine.scale), ("offset", affine.offset)] {
        let Some(tensor) = tensor else { continue };
        let kept = reduction.statistics_shape(false);
        if tensor.shape() != kept && tensor.shape() != reduction.statistics_shape(true) {
            let spread = Reduction::broadcast(x.shape(), name, tensor.shape())?;
            if spread != *reduction {
                return Err(ShapeError::Mismatch {
                    tensor: name,
                    got: tensor.shape().to_vec(),
                    expected: kept,
                }
                .into());
            }
        }
    }
    stack(x.gpu(), 2, reduction, &[affine.scale, affine.offset])
}

/// Tensors of one length copied under each other.
fn stack(
    gpu: &Gpu,
    rows: usize,
    reduction: &Reduction,
    tensors: &[Option<&Tensor>],
) -> Result<Tensor, Error> {
    let len = reduction.counts().1;
    let stacked = Tensor::empty(gpu, &[rows, len])?;
    let bytes = len as u64 * 4;
    gpu.submit(
        |encoder| {
            for (k, tensor) in tensors.iter().enumerate() {
                let Some(tensor) = tensor else { continue };
                let at = k as u64 * bytes;
                encoder.copy_buffer_to_buffer(tensor.buffer(), 0, stacked.buffer(), at, bytes);
            }
        },
        |_| {},
    );
    Ok(stacked)
}

fn same_shape(name: &'static str, tensor: &Tensor, other: &Tensor) -> Result<(), ShapeError> {
    if tensor.shape() == other.shape() {
        return Ok(());
    }
    Err(ShapeError::Mismatch {
        tensor: name,
        got: tensor.shape().to_vec(),
        expected: other.shape().to_vec(),
    })
}

fn slot<'a>(role: Role, name: &'static str, tensor: &'a Tensor, written: bool) -> Slot<'a> {
    Slot {
        role,
        name,
        slice: tensor.slice(),
        bytes: tensor.buffer().size(),
        written,
    }
}

/// The report to hand out, or the error where a check is to be enforced.
pub(crate) fn enforce(check: Check, report: Report) -> Result<Option<Report>, Error> {
    if check == Check::Enforce {
        report.enforce()?;
    }
    Ok(Some(report))
}

/// The weights and bias of a linear or convolution layer with a trained batch norm folded in.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// The layer's weight, each output channel scaled by `γ/√(running_var + eps)`.
    pub weight: Vec<f32>,
    /// The one bias left, `[C]`: it takes in the layer's own, which is dropped.
    pub bias: Vec<f32>,
}

/// A trained batch norm as inference sees it, `[C]` each.
#[derive(Clone, Copy, Debug)]
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

/// Folds a trained batch norm into the linear or convolution layer before it, so that
/// `weight'·u + bias' = BN(weight·u + bias)`: the layer's own bias is dropped, as in the paper's
/// `z = g(BN(Wu))`.
///
/// `weight` is row-major with the C output channels first, `[C, …]`; `bias`, where the layer was
/// trained with one, `[C]`. Computed in f64 and rounded once.
///
/// # Errors
/// Lengths that do not fit C; a negative running variance; `eps` negative or not finite.
pub fn fold_into_linear(
    trained: &Trained<'_>,
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Result<Folded, Error> {
    let channels = trained.mean.len();
    if !(trained.eps.is_finite() && trained.eps >= 0.0) {
        return Err(ConfigError::Eps { got: trained.eps }.into());
    }
    let length = |tensor, got| match got == channels {
        true => Ok(()),
        false => Err(ShapeError::Length {
            tensor,
            got,
            expected: channels,
        }),
    };
    length("running_var", trained.variance.len())?;
    let parameters = trained.parameters;
    parameters.weight.map_or(Ok(()), |w| length("γ", w.len()))?;
    parameters.bias.map_or(Ok(()), |b| length("β", b.len()))?;
    bias.map_or(Ok(()), |b| length("bias", b.len()))?;
    if channels == 0 || weight.is_empty() || !weight.len().is_multiple_of(channels) {
        return Err(ShapeError::Length {
            tensor: "weight",
            got: weight.len(),
            expected: weight.len().next_multiple_of(channels.max(1)).max(channels),
        }
        .into());
    }
    let per_channel = weight.len() / channels;
    let mut folded = Folded {
        weight: Vec::with_capacity(weight.len()),
        bias: Vec::with_capacity(channels),
    };
    for (c, row) in weight.chunks_exact(per_channel).enumerate() {
        let variance = trained.variance[c];
        if variance < 0.0 {
            return Err(ConfigError::NegativeVariance {
                channel: c,
                got: variance,
            }
            .into());
        }
        let inv_std = 1.0 / (f64::from(variance) + f64::from(trained.eps)).sqrt();
        let scale = inv_std * f64::from(parameters.weight(c));
        let own = bias.map_or(0.0, |b| f64::from(b[c]));
        let shift = (own - f64::from(trained.mean[c])) * scale + f64::from(parameters.bias(c));
        folded
            .weight
            .extend(row.iter().map(|&w| (f64::from(w) * scale) as f32));
        folded.bias.push(shift as f32);
    }
    Ok(folded)
}

/// Blocking twins.
#[cfg(feature = "blocking")]
pub mod blocking {
    use super::{AffineStep, DeviceMoments, Statistics};
    use crate::api_error::Error;
    use crate::check::{Check, Report};
    use crate::tensor::Tensor;

    /// Blocking twin of [`super::moments`].
    ///
    /// # Errors
    /// As there.
    pub fn moments(
        x: &Tensor,
        axes: &[isize],
        keep_dims: bool,
        check: Check,
    ) -> Result<DeviceMoments, Error> {
        pollster::block_on(super::moments(x, axes, keep_dims, check))
    }

    /// Blocking twin of [`super::normalize`].
    ///
    /// # Errors
    /// As there.
    pub fn normalize<'a>(
        x: &Tensor,
        statistics: impl Into<Statistics<'a>>,
        affine: AffineStep<'_>,
        eps: f32,
        check: Check,
    ) -> Result<(Tensor, Option<Report>), Error> {
        pollster::block_on(super::normalize(x, statistics, affine, eps, check))
    }
}
