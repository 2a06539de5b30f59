//! `tf.nn.batch_normalization`.

use super::DeviceMoments;
use crate::binding::Binding;
use crate::bindings::{Request, bind};
use crate::canary::Proof;
use crate::check::{self, Check, Report};
use crate::config::{Affine, Config};
use crate::element::Element;
use crate::error::Error;
use crate::error::{ConfigError, ShapeError};
use crate::gpu::Gpu;

use crate::operation::{Asked, Operation};
use crate::reduction::Reduction;
use crate::reference;
use crate::shape::{same_element, same_shape};
use crate::stats::Parameters;
use crate::tensor::Tensor;

/// What [`normalize`] subtracts and divides by.
#[derive(Clone, Copy, Debug)]
pub enum Statistics<'a> {
    /// What [`moments`](super::moments()) gave: pivot and offset keep the accuracy of large means.
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
    let statistics = statistics.into();
    let (binding, y) = bind_normalize(x, statistics, affine, eps)?;
    let submit = |canary| x.gpu().submit(|_| {}, |pass| binding.encode(pass), canary);
    if check == Check::Off {
        submit(None);
        return Ok((y, None));
    }
    let proof = Proof::before(x.gpu(), &[("y before the run", &y)]).await?;
    submit(Some(&proof.canary));
    let reduction = reduction_of(x, statistics)?;
    let report = check_normalize(x, &y, &reduction, statistics, affine, eps).await?;
    let report = proof.complete(report).await?;
    Ok((y, check.apply(report)?))
}

/// What [`normalize`] submits, and where its result will be.
pub fn bind_normalize(
    x: &Tensor,
    statistics: Statistics<'_>,
    affine: AffineStep<'_>,
    eps: f32,
) -> Result<(Binding, Tensor), Error> {
    if !(eps.is_finite() && eps >= 0.0) {
        return Err(ConfigError::Eps { got: eps }.into());
    }
    let gpu = x.gpu();
    let context = gpu.context();
    let reduction = reduction_of(x, statistics)?;
    same_shape("x", x.shape(), reduction.shape())?;
    let rows = statistics_rows(x, &reduction, statistics)?;
    let own_shapes = match statistics {
        Statistics::Moments(_) => [false, true].map(|keep| reduction.statistics_shape(keep)),
        Statistics::Plain { mean, .. } => [mean.shape().to_vec(), mean.shape().to_vec()],
    };
    let affine_rows = affine_rows(x, &reduction, &own_shapes, affine)?;
    let schedule = reduction.plan(
        x.element(),
        &Operation::Normalize.needs(),
        context.machine(),
    )?;
    let y = Tensor::empty_as(gpu, x.shape(), x.element())?;
    let config = Config::pytorch().without_running().with_eps(eps);
    let config = config.with_affine(match (affine.scale, affine.offset) {
        (Some(_), Some(_)) => Affine::Both,
        (Some(_), None) => Affine::Weight,
        (None, Some(_)) => Affine::Bias,
        (None, None) => Affine::None,
    });
    let has_affine = config.affine != Affine::None;
    let request = Request {
        operation: Operation::Normalize,
        config: &config,
        schedule: &schedule,
        asked: Asked {
            from_moments: matches!(statistics, Statistics::Moments(_)),
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
    Ok((binding, y))
}

/// The axes that the statistics were taken over.
fn reduction_of(x: &Tensor, statistics: Statistics<'_>) -> Result<Reduction, ShapeError> {
    match statistics {
        Statistics::Moments(moments) => Ok(moments.reduction.clone()),
        Statistics::Plain { mean, .. } => Reduction::broadcast(x.shape(), "mean", mean.shape()),
    }
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
        epilogue: check::Epilogue {
            element: x.element(),
            ..Default::default()
        },
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
            stack(x.gpu(), 3, reduction, &[Some(mean), Some(variance)])
        }
    }
}

/// Scale and offset as rows on the device. They are shaped as the mean or broadcast as it does.
fn affine_rows(
    x: &Tensor,
    reduction: &Reduction,
    own_shapes: &[Vec<usize>],
    affine: AffineStep<'_>,
) -> Result<Tensor, Error> {
    for (name, tensor) in [("scale", affine.scale), ("offset", affine.offset)] {
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
        None,
    );
    Ok(stacked)
}
