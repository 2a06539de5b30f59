//! `tf.nn.batch_normalization`.

use super::DeviceMoments;
use crate::binding::Binding;
use crate::bindings::{Request, bind};
use crate::canary::Canary;
use crate::config::{Affine, Config};
use crate::element::Element;
use crate::error::Error;
use crate::error::{ConfigError, ShapeError};
use crate::gpu::Gpu;
use crate::operation::{Asked, Operation};
use crate::reduction::Reduction;
use crate::shape::{same_element, same_shape};
use crate::tensor::Tensor;

/// What [`normalize`] subtracts and divides by.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Statistics<'a> {
    /// What [`moments`](super::moments()) gave: pivot and offset keep the accuracy of large means.
    Moments(&'a DeviceMoments),
    /// Plain f32 arrays that broadcast over `x` as in NumPy. Checks take them as exact.
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

/// The affine step of [`normalize`]: the paper's scale and shift, γ and β, shaped as the mean.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AffineStep<'a> {
    /// Multiplied first: γ, the weight.
    pub scale: Option<&'a Tensor>,
    /// Added last: β, the bias.
    pub shift: Option<&'a Tensor>,
}

impl<'a> AffineStep<'a> {
    /// Multiplies by `scale`, γ, shaped as the mean.
    pub fn with_scale(mut self, scale: impl Into<Option<&'a Tensor>>) -> Self {
        self.scale = scale.into();
        self
    }

    /// Adds `shift`, β, shaped as the mean. `tf.nn.batch_normalization` calls it `offset`.
    pub fn with_shift(mut self, shift: impl Into<Option<&'a Tensor>>) -> Self {
        self.shift = shift.into();
        self
    }
}

/// `(x − mean)/√(variance + eps)·scale + shift`: `tf.nn.batch_normalization`. One dispatch, submitted and not
/// waited for. The result has the shape and the element type of `x`.
///
/// The moments may be of another batch, if that tensor has as many axes and its kept axes are as long.
///
/// # Errors
/// Shapes that do not broadcast; `eps` negative or not finite; a tensor too large; a tensor that was destroyed or that
/// cannot be copied from, by its name; no memory; a lost device, where wgpu tells it at once.
pub fn normalize<'a>(
    x: &Tensor,
    statistics: impl Into<Statistics<'a>>,
    affine: AffineStep<'_>,
    eps: f32,
) -> Result<Tensor, Error> {
    let prepared = PreparedNormalize::new(x, statistics.into(), affine, eps)?;
    prepared.submit(None)?;
    Ok(prepared.y)
}

/// What [`normalize`] submits, and where its result will be.
#[cfg(feature = "internals")]
pub fn bind_normalize(
    x: &Tensor,
    statistics: Statistics<'_>,
    affine: AffineStep<'_>,
    eps: f32,
) -> Result<(Binding, Tensor), Error> {
    let prepared = PreparedNormalize::new(x, statistics, affine, eps)?;
    Ok((prepared.binding, prepared.y))
}

/// What is submitted, and where its result will be.
pub(crate) struct PreparedNormalize {
    binding: Binding,
    pub(crate) y: Tensor,
}

impl PreparedNormalize {
    pub(crate) fn new(
        x: &Tensor,
        statistics: Statistics<'_>,
        affine: AffineStep<'_>,
        eps: f32,
    ) -> Result<Self, Error> {
        if !(eps.is_finite() && eps >= 0.0) {
            return Err(ConfigError::Eps { got: eps }.into());
        }
        let gpu = x.gpu();
        let context = gpu.context();
        let reduction = statistics.split_of(x)?;
        if let (Statistics::Moments(moments), false) = (statistics, x.is_empty())
            && moments.count() == 0.0
        {
            return Err(ConfigError::Count { got: 0, least: 1 }.into());
        }
        let rows = statistics_rows(x, &reduction, statistics)?;
        let own_shapes = match statistics {
            Statistics::Moments(_) => [false, true].map(|keep| reduction.statistics_shape(keep)),
            Statistics::Plain { mean, .. } => [mean.shape().to_vec(), mean.shape().to_vec()],
        };
        let affine_rows = affine_rows(x, &reduction, &own_shapes, affine)?;
        let operation = Operation::Normalize;
        let schedule = reduction.plan(x.element(), &operation.needs(), context.machine())?;
        let y = Tensor::empty_as(gpu, x.shape(), x.element())?;
        let config = Config::pytorch().without_running().with_eps(eps);
        let config = config.with_affine(match (affine.scale, affine.shift) {
            (Some(_), Some(_)) => Affine::Both,
            (Some(_), None) => Affine::Weight,
            (None, Some(_)) => Affine::Bias,
            (None, None) => Affine::None,
        });
        let has_affine = config.affine != Affine::None;
        let moments = match statistics {
            Statistics::Moments(moments) => Some(moments),
            Statistics::Plain { .. } => None,
        };
        let request = Request {
            operation,
            config: &config,
            schedule: &schedule,
            asked: Asked {
                from_moments: moments.is_some(),
                // Sums of squares are divided by the count of their own batch.
                count: moments.map(DeviceMoments::divisor),
                ..Asked::default()
            },
            buffers: &[
                ("x", Some(x.slice())),
                ("y", Some(y.slice())),
                ("statistics", Some(rows.slice())),
                ("affine", has_affine.then(|| affine_rows.slice())),
            ],
            textures: &[],
        };
        let binding = bind(context, &request)?;
        Ok(Self { binding, y })
    }

    pub(crate) fn submit(&self, canary: Option<&Canary>) -> Result<(), Error> {
        let encode = |pass: &mut wgpu::ComputePass<'_>| self.binding.encode(pass);
        Ok(self.y.gpu().submit("normalize", |_| {}, encode, canary)?)
    }
}

impl Statistics<'_> {
    /// The axes of `x` that the statistics stand for, and those they keep.
    pub(crate) fn split_of(self, x: &Tensor) -> Result<Reduction, ShapeError> {
        match self {
            Self::Moments(moments) => moments.split_of(x.shape()),
            Self::Plain { mean, .. } => Reduction::broadcast(x.shape(), "mean", mean.shape()),
        }
    }
}

/// The statistics as rows on the device: as they are, or mean and variance copied together.
fn statistics_rows(
    x: &Tensor,
    reduction: &Reduction,
    statistics: Statistics<'_>,
) -> Result<Tensor, Error> {
    match statistics {
        Statistics::Moments(moments) => {
            x.gpu().owns("moments", moments.rows.gpu())?;
            Ok(moments.rows.clone())
        }
        Statistics::Plain { mean, variance } => {
            x.gpu().owns("mean", mean.gpu())?;
            x.gpu().owns("variance", variance.gpu())?;
            same_shape("variance", variance.shape(), mean.shape())?;
            same_element("mean", mean.element(), Element::F32)?;
            same_element("variance", variance.element(), Element::F32)?;
            let rows = [("mean", Some(mean)), ("variance", Some(variance))];
            stack(x.gpu(), 3, reduction, rows)
        }
    }
}

/// Scale and shift as rows on the device. They are shaped as the mean or broadcast as it does.
fn affine_rows(
    x: &Tensor,
    reduction: &Reduction,
    own_shapes: &[Vec<usize>],
    affine: AffineStep<'_>,
) -> Result<Tensor, Error> {
    let rows = [("scale", affine.scale), ("shift", affine.shift)];
    for (name, tensor) in rows {
        let Some(tensor) = tensor else { continue };
        x.gpu().owns(name, tensor.gpu())?;
        same_element(name, tensor.element(), Element::F32)?;
        if own_shapes.iter().all(|own| own != tensor.shape()) {
            let spread = Reduction::broadcast(x.shape(), name, tensor.shape())?;
            if !spread.splits_like(reduction) {
                return Err(ShapeError::Mismatch {
                    tensor: name,
                    got: tensor.shape().to_vec(),
                    expected: own_shapes[0].clone(),
                }
                .into());
            }
        }
    }
    stack(x.gpu(), 2, reduction, rows)
}

/// Tensors of one length copied under each other.
fn stack(
    gpu: &Gpu,
    rows: usize,
    reduction: &Reduction,
    tensors: [(&'static str, Option<&Tensor>); 2],
) -> Result<Tensor, Error> {
    for (name, tensor) in tensors {
        let Some(tensor) = tensor else { continue };
        tensor.copies(wgpu::BufferUsages::COPY_SRC, name)?;
    }
    let len = reduction.counts().1;
    let stacked = Tensor::empty(gpu, &[rows, len])?;
    let bytes = len as u64 * 4;
    let submitted = gpu.submit(
        "normalize",
        |encoder| {
            for (k, (_, tensor)) in tensors.iter().enumerate() {
                let Some(tensor) = tensor else { continue };
                let at = k as u64 * bytes;
                encoder.copy_buffer_to_buffer(tensor.buffer(), 0, stacked.buffer(), at, bytes);
            }
        },
        |_| {},
        None,
    );
    submitted.map_err(|error| gpu.blame(error, tensors))?;
    Ok(stacked)
}
